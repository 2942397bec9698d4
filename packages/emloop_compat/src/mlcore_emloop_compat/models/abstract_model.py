"""The interface of a model."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlcore_emloop_compat.types import Batch

if TYPE_CHECKING:
    from mlcore_emloop_compat.datasets import AbstractDataset, StreamWrapper


class AbstractModel(metaclass=ABCMeta):
    """A model that the main loop can train and evaluate.

    Args:
        dataset: May be asked for shapes and sizes.
        log_dir: The run's folder for files.
        restore_from: Where a saved model is to be restored from; None for a new one.
        kwargs: The model's section of the config.
    """

    @abstractmethod
    def __init__(
        self, dataset: AbstractDataset | None, log_dir: str | None, restore_from: str | None = None, **kwargs: Any
    ) -> None:
        """Make a new model, or restore one."""

    @property
    @abstractmethod
    def input_names(self) -> Iterable[str]:
        """Sources that must be in every batch."""

    @property
    @abstractmethod
    def output_names(self) -> Iterable[str]:
        """Variables that `run` returns."""

    @abstractmethod
    def run(self, batch: Batch, train: bool, stream: StreamWrapper | None) -> Mapping[str, Any]:
        """Evaluate a batch, and learn from it when `train` is true.

        Args:
            batch: Sources by name.
            train: Whether to update the model.
            stream: Where the batch comes from.
        """

    @abstractmethod
    def save(self, name_suffix: str) -> str:
        """Save the model into its log_dir.

        Args:
            name_suffix: To be part of the file's name.

        Returns:
            The path of what was written: a file or a folder.
        """

    @classmethod
    def restore_fallback(cls) -> type[AbstractModel] | None:
        """The class that can restore what this class saved when this class is gone; None when there is none."""
        return None
