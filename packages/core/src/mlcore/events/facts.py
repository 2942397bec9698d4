"""The events that mlcore knows. Add a field at the end, with a default, and who builds the event need not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class RunStarted:
    """An attempt of a run begins to work.

    Attributes:
        run_id: The run's id.
        name: The run's name.
        attempt: 1 for the first start, one more for each resume.
        resumed: Whether the attempt goes on from an earlier one's checkpoint.
    """

    run_id: str
    name: str
    attempt: int
    resumed: bool


@dataclass(slots=True)
class RunFinished:
    """The run has ended without an error.

    Attributes:
        status: `finished`, or `stopped` when a listener or the user asked for it.
        reason: Why it ended, where somebody said so.
    """

    status: str
    reason: str | None = None


@dataclass(slots=True)
class RunFailed:
    """The run has ended with an error. Its listeners cannot fail: see `Channel.emit`.

    Attributes:
        error: What ended it. It is raised again after the listeners have run.
    """

    error: BaseException


@dataclass(slots=True)
class EpochStarted:
    """An epoch begins.

    Attributes:
        number: Counted from 1 over all attempts; 0 is an evaluation before the first training epoch.
    """

    number: int


@dataclass(slots=True)
class EpochFinished:
    """All streams of an epoch are through.

    Attributes:
        number: As in `EpochStarted`.
        metrics: Values by stream, then by name: `{"valid": {"loss": 0.3}}`.
        seconds: Wall-clock time of the epoch.
    """

    number: int
    metrics: Mapping[str, Mapping[str, float]]
    seconds: float


@dataclass(slots=True)
class StreamStarted:
    """One pass over a stream of batches begins.

    Attributes:
        stream: The stream's name: `train`, `valid`.
        epoch: Number of the epoch.
        train: Whether the model learns from it.
        total: How many batches will come; None when nobody knows.
    """

    stream: str
    epoch: int
    train: bool
    total: int | None


@dataclass(slots=True)
class BatchFinished:
    """The model has seen one batch.

    Attributes:
        number: Counted from 1 within the stream, over all its epochs and all attempts of the run.
        stream: The stream's name.
        epoch: Number of the epoch.
        batch: Inputs and the model's outputs by name. It belongs to the loop: copy what you keep.
        train: Whether the model learned from it.
    """

    number: int
    stream: str
    epoch: int
    batch: Mapping[str, Any]  # arrays of the model's framework
    train: bool


@dataclass(slots=True)
class MetricsLogged:
    """Numbers were given to `run.log`.

    Attributes:
        step: The step that the caller gave.
        values: Values by series: `{"valid.loss": 0.3}`.
    """

    step: float
    values: Mapping[str, float]


@dataclass(slots=True)
class ModelSaved:
    """A version of a model was stored, with all its files.

    Attributes:
        name: The model's name.
        version: The version's number, from 1.
        aliases: Version aliases that now point at it: `("best",)`.
        digest: Digest of the contents, `sha256:…`.
        url: Where the version's bundle is.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    digest: str
    url: str


@dataclass(slots=True)
class CheckpointSaved:
    """A checkpoint is complete.

    Attributes:
        step: The step after which the run can go on from it.
        url: Where the checkpoint's bundle is.
    """

    step: int
    url: str


@dataclass(slots=True)
class ArtifactStored:
    """A file or folder of the run was stored.

    Attributes:
        name: Its name in the run.
        url: Where it is.
        digest: Digest of its contents, `sha256:…`.
    """

    name: str
    url: str
    digest: str


@dataclass(slots=True)
class ItemsPredicted:
    """A model has predicted stored items.

    Attributes:
        count: How many, in this call.
        model: The model's name.
    """

    count: int
    model: str


@dataclass(slots=True)
class Progress:
    """How far a lengthy task is.

    Attributes:
        task: What is being done: `upload`, `epoch 3`.
        done: How much of it, in units.
        total: How much there is in all; None when nobody knows.
        unit: What is counted: `batches`, `bytes`, `items`.
    """

    task: str
    done: int
    total: int | None
    unit: str


@dataclass(slots=True)
class Warned:
    """Something is worth telling the user, who need not act at once.

    Attributes:
        message: One line, with what to do about it.
    """

    message: str
