"""A dataset that is configured by keyword arguments."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from mlcore_emloop_compat.datasets.abstract_dataset import AbstractDataset
from mlcore_emloop_compat.types import DatasetError
from mlcore_emloop_compat.utils.yaml import parse


class BaseDataset(AbstractDataset):
    """Parses the configuration and hands it to `_configure_dataset`.

    Args:
        config_str: The dataset's section of the config, as YAML.
    """

    def __init__(self, config_str: str) -> None:
        config = parse(config_str) or {}
        if not isinstance(config, Mapping):
            raise DatasetError(f"a dataset's config is a mapping, not a {type(config).__name__}: {config!r}")
        self._configure_dataset(**config)

    @abstractmethod
    def _configure_dataset(self, output_dir: str | None, **kwargs: Any) -> None:  # the config's values
        """Set the dataset up.

        Args:
            output_dir: The run's folder for files; None when there is none.
            kwargs: The dataset's section of the config.
        """
