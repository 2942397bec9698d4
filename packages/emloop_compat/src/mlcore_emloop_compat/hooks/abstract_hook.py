"""The interface of a loop hook."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlcore_emloop_compat.types import EpochData, TimeProfile, TrainingTerminated

if TYPE_CHECKING:
    from mlcore_emloop_compat.main_loop import MainLoop

log = logging.getLogger(__name__)


class AbstractHook:
    """Does something at the main loop's events. Override the events you need; the main loop calls no others.

    To be resumed exactly, a hook declares its state: `state_dict()` returns what it must remember, `{}` for nothing.

    Args:
        kwargs: `dataset`, `model` and `output_dir`, which every hook of a config gets. Any other keyword that reaches
            this constructor was understood by no class; it is warned about.
    """

    EL_HOOK_INIT_ARGS = ("dataset", "model", "output_dir")

    def __init__(self, **kwargs: Any) -> None:  # whatever the config says
        self._main_loop: MainLoop | None = None
        for name in kwargs.keys() - set(self.EL_HOOK_INIT_ARGS):
            log.warning("%s does not know the argument `%s`", type(self).__name__, name)

    def register_mainloop(self, main_loop: MainLoop) -> None:
        """Take note of the main loop; it calls this when it is made.

        Raises:
            ValueError: The hook belongs to another main loop.
        """
        if self._main_loop is not None:
            raise ValueError(f"{type(self).__name__} is registered in a main loop already")
        self._main_loop = main_loop

    def before_training(self) -> None:
        """Before the first epoch, also before epoch 0."""

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:  # arrays of any kind
        """After each batch of each stream.

        Args:
            stream_name: The stream.
            batch_data: The batch's sources and the model's outputs; shared by all hooks.
        """

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """After all streams of an epoch.

        Args:
            epoch_id: Number of training epochs done; 0 after an evaluation.
            epoch_data: By stream; hooks write their results into it, in their order.
        """

    def after_epoch_profile(self, epoch_id: int, profile: TimeProfile, streams: Sequence[str]) -> None:
        """After all hooks have seen `after_epoch`.

        Args:
            epoch_id: Number of training epochs done.
            profile: Seconds by `read_batch_<stream>`, `eval_batch_<stream>`, `after_batch_hooks_<stream>` and
                `after_epoch_hooks`.
            streams: Names of the epoch's streams.
        """

    def after_training(self, success: bool) -> None:
        """At the end.

        Args:
            success: Whether the training ended without an error.
        """

    def state_dict(self) -> Mapping[str, Any] | None:  # JSON values and arrays
        """What the hook must remember to go on after a resume; None declares nothing."""
        return None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` returned."""


__all__ = ["AbstractHook", "TrainingTerminated"]
