"""Datasets and their streams."""

from mlcore_emloop_compat.datasets.abstract_dataset import AbstractDataset
from mlcore_emloop_compat.datasets.array_stream import ArrayStream
from mlcore_emloop_compat.datasets.base_dataset import BaseDataset
from mlcore_emloop_compat.datasets.stream_wrapper import StreamWrapper

__all__ = ["AbstractDataset", "ArrayStream", "BaseDataset", "StreamWrapper"]
