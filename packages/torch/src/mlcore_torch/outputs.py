"""How the output of a module is read: as scores of classes, as logits, or as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from mlcore.errors import ModelError
from mlcore.model import Labels

Read: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

# These compare with the target, and are left out of a batch that has none.
NEED_TARGET = frozenset({"loss", "accuracy"})
KNOWN = ("prediction", "output", "probability", "loss", "accuracy")


@dataclass(frozen=True)
class Reading:
    """What an output means.

    Args:
        prediction: What is predicted.
        probability: How probable that is; None where the output says nothing about it.
    """

    prediction: Read
    probability: Read | None = None


def _best(output: torch.Tensor) -> torch.Tensor:
    return output.argmax(1)


READINGS = {
    "classes": Reading(_best, lambda output: output.softmax(1)),
    "log_classes": Reading(_best, torch.exp),
    "logits": Reading(lambda output: (output > 0).long(), torch.sigmoid),
    "probabilities": Reading(lambda output: (output > 0.5).long(), lambda output: output),
    "values": Reading(lambda output: output),
}


def default_outputs(reading: str, *, learns: bool, targets: int) -> tuple[str, ...]:
    """What is computed when nothing is asked for: all but the probabilities and the raw output."""
    graded = reading != "values" and targets == 1
    return ("prediction", *(["loss"] if learns else []), *(["accuracy"] if graded else []))


def check_outputs(names: Sequence[str], reading: str, *, targets: int) -> None:
    """Refuse outputs that cannot be; a name that we do not know may be one that the module gives.

    Raises:
        ModelError: Nothing gives one of them.
    """
    if "accuracy" in names and targets != 1:
        raise ModelError(f"there is no accuracy for {targets} targets", hint="name one target, or leave it out")
    wrong = {"probability", "accuracy"} & set(names) if reading == "values" else None
    if wrong:
        what = f"there is no {min(wrong)} of an output of values"
        raise ModelError(what, hint="give a loss for classes, like cross_entropy, or labels")


def check_labels(labels: Labels | None, reading: str) -> None:
    """Refuse labels that are no positions in an output of classes.

    Raises:
        ModelError: The values do not count from 0.
    """
    if labels and reading in ("classes", "log_classes") and set(labels.values()) != set(range(len(labels))):
        found = ", ".join(map(repr, labels.values()))
        raise ModelError(
            f"the labels of a torch classifier count from 0, but these are {found}",
            hint="number the classes 0, 1, 2 … in the dataset, as the positions in the output are",
        )


def accuracy(reading: Reading, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The part of right predictions in each example.

    Raises:
        ModelError: Prediction and target differ in shape.
    """
    prediction = reading.prediction(output)
    if target.shape == output.shape != prediction.shape:
        target = reading.prediction(target)  # it gives the probability of each class
    if target.numel() != prediction.numel():
        shapes = f"{tuple(prediction.shape)}, but the target {tuple(target.shape)}"
        raise ModelError(f"the prediction has the shape {shapes}", hint="look at the targets, and at the last layer")
    return by_example((prediction == target.reshape(prediction.shape)).float(), len(prediction))


def by_example(value: torch.Tensor, examples: int) -> torch.Tensor:
    """One value an example: the mean of its values, or the mean of all where the examples cannot be told apart."""
    if value.ndim == 0 or value.shape[0] != examples:
        return repeated(value.mean(), examples)
    if value.ndim == 1:
        return value
    return value.reshape(-1) if value.numel() == examples else value.flatten(1).mean(1)


def repeated(value: torch.Tensor, examples: int) -> torch.Tensor:
    """A value of the whole batch, once an example; anything else stays as it is."""
    return value.expand(examples) if value.ndim == 0 else value
