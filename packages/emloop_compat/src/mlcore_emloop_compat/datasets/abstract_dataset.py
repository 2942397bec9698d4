"""The interface of a dataset: methods named `<stream>_stream` that return batches."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod


class AbstractDataset(metaclass=ABCMeta):
    """A source of streams of batches.

    A stream is a method `<name>_stream(self)` that returns an iterable of batches: mappings of source names to
    sequences of equal length. An optional property `num_batches` maps stream names to their numbers of batches.
    Datasets with state of their own (a generator, a cursor) may define `state_dict()` and `load_state_dict(state)` to
    be resumed.

    Args:
        config_str: The dataset's section of the config, as YAML.
    """

    @abstractmethod
    def __init__(self, config_str: str) -> None:
        """Take the configuration."""
