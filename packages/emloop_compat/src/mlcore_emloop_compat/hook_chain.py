"""The hooks of one main loop, called in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.types import EpochData, HookError, TimeProfile, TrainingTerminated


class HookChain:
    """Hooks, and which of them have begun.

    Args:
        hooks: In the order to call them.
    """

    def __init__(self, hooks: Iterable[AbstractHook]) -> None:
        self._hooks = list(hooks)
        self._begun: list[AbstractHook] = []

    def register(self, main_loop: Any) -> None:  # a MainLoop, which imports this module
        """Tell them whose they are."""
        for hook in self._hooks:
            hook.register_mainloop(main_loop)

    def before_training(self) -> None:
        """Begin."""
        self._begun = []
        for hook in self._hooks:
            hook.before_training()
            self._begun.append(hook)

    def after_batch(self) -> list[Callable[..., None]]:
        """The methods to call after each batch: only of hooks that do something then, as most do not."""
        return [hook.after_batch for hook in self._hooks if _listens(hook)]

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> TrainingTerminated | None:
        """Call all; one that ends the training does so after the others had their turn."""
        ending = None
        for hook in self._hooks:
            try:
                hook.after_epoch(epoch_id=epoch_id, epoch_data=epoch_data)
            except TrainingTerminated as terminated:
                ending = terminated
        return ending

    def after_epoch_profile(
        self, epoch_id: int, profile: TimeProfile, streams: Sequence[str]
    ) -> TrainingTerminated | None:
        """Likewise."""
        ending = None
        for hook in self._hooks:
            try:
                hook.after_epoch_profile(epoch_id=epoch_id, profile=profile, streams=streams)
            except TrainingTerminated as terminated:
                ending = terminated
        return ending

    def after_training(self, error: BaseException | None) -> None:
        """End those that have begun; the failure of one must not keep the others from it, nor hide `error`."""
        success = error is None or isinstance(error, TrainingTerminated)
        failures = [failure for hook in self._begun if (failure := _end(hook, success))]
        if failures and (success or error is None):
            raise _with_notes(failures[0], failures[1:])
        if error is not None:
            _with_notes(error, failures)

    def state_dict(self) -> list[list[Any]]:  # names and states: JSON values and arrays
        """Their names and states; None for those that declare none."""
        return [[_name(hook), hook.state_dict()] for hook in self._hooks]

    def load_state_dict(self, state: Sequence[Sequence[Any]]) -> list[str]:
        """Give them their states back.

        Returns:
            Names of those that declare none, and begin anew.

        Raises:
            ValueError: They are not those whose state was kept.
        """
        kept, own = [name for name, _ in state], [_name(hook) for hook in self._hooks]
        if kept != own:
            raise HookError(
                f"the state was kept with the hooks {', '.join(kept)}, but now there are {', '.join(own)}",
                hint="resume with the hooks that the run was started with",
            )
        for hook, (_, hook_state) in zip(self._hooks, state, strict=True):
            if hook_state is not None:
                hook.load_state_dict(hook_state)
        return [name for name, hook_state in state if hook_state is None]


def _name(hook: AbstractHook) -> str:
    return type(hook).__name__


def _listens(hook: AbstractHook) -> bool:
    return getattr(hook.after_batch, "__func__", None) is not AbstractHook.after_batch


def _end(hook: AbstractHook, success: bool) -> Exception | None:
    try:
        hook.after_training(success)
    except Exception as error:  # noqa: BLE001 - raised by the caller, when all have ended
        return error
    return None


def _with_notes(error: BaseException, later: Iterable[Exception]) -> BaseException:
    for failure in later:
        error.add_note(f"then after_training failed: {failure!r}")
    return error
