"""The backend suite passes a right backend and catches wrong ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcore.errors import ModelError
from mlcore.model import Batch, Model
from mlcore.testing.backends import BackendConformance, FunctionBackend, FunctionModel, check_backend, function_backend

BATCH = {"x": np.random.default_rng(0).normal(size=(8, 3)), "y": np.arange(8) * 0.25}


def make_state() -> dict[str, np.ndarray]:
    return {"weights": np.zeros(3), "momentum": np.zeros(3)}


def train_step(state: Mapping[str, np.ndarray], batch: Batch) -> dict[str, np.ndarray]:
    gradient = batch["x"].T @ (batch["x"] @ state["weights"] - batch["y"]) / len(batch["y"])
    momentum = 0.9 * state["momentum"] + gradient
    return {"weights": state["weights"] - 0.1 * momentum, "momentum": momentum}


def predict(state: Mapping[str, np.ndarray], batch: Batch) -> dict[str, np.ndarray]:
    outputs = {"prediction": batch["x"] @ state["weights"]}
    return outputs | ({"loss": (outputs["prediction"] - batch["y"]) ** 2} if "y" in batch else {})


def make_backend() -> FunctionBackend:
    return function_backend(train_step, predict)


class TestFunctionBackend(BackendConformance):
    backend = f"{__name__}:make_backend"
    make_object = f"{__name__}:make_state"
    batch = BATCH
    options = {"output_names": ["prediction", "loss"], "labels": {"low": 0, "high": 1}}


class Wrong(FunctionBackend):
    """Right until a subclass changes one thing."""

    model: type[FunctionModel] = FunctionModel

    def __init__(self) -> None:
        super().__init__(train_step, predict, name="wrong")

    def wrap(self, obj: Any, **names: Any) -> FunctionModel:
        return obj if isinstance(obj, FunctionModel) else self.model(self, obj, **names)

    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        loaded = super().load(directory, manifest)
        return self.model(
            self,
            loaded.state,
            input_names=loaded.input_names,
            target_names=loaded.target_names,
            output_names=loaded.output_names,
            labels=loaded.labels,
        )


class SavesTime(Wrong):
    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            super().save(directory, training=training)
            (directory / "saved-at").write_text(str(time.time_ns()))


class SavesIdentities(Wrong):
    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            super().save(directory, training=training)
            (directory / "ids").write_text(str(id(self)))


class SavesProcess(Wrong):
    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            super().save(directory, training=training)
            (directory / "pid").write_text(str(os.getpid()))


class SavesSetOrder(Wrong):
    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            super().save(directory, training=training)
            (directory / "names").write_text(" ".join({f"name-{number}" for number in range(64)}))


class SavesNothing(Wrong):
    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            pass


class LearnsInEvaluation(Wrong):
    class model(FunctionModel):
        def run(self, batch: Batch, *, train: bool) -> Batch:
            return super().run(batch, train=train or "y" in batch)


class CountsInEvaluation(Wrong):
    class model(FunctionModel):
        def run(self, batch: Batch, *, train: bool) -> Batch:
            outputs = super().run(batch, train=train)
            self.state["calls"] = self.state.get("calls", np.array(0)) + 1
            return outputs


class NeedsTargets(Wrong):
    class model(FunctionModel):
        def run(self, batch: Batch, *, train: bool) -> Batch:
            return super().run({**batch, "y": batch["y"]}, train=train)


class GivesOneNumber(Wrong):
    class model(FunctionModel):
        def run(self, batch: Batch, *, train: bool) -> Batch:
            return {name: np.mean(value, keepdims=True) for name, value in super().run(batch, train=train).items()}


class ReturnsInputs(Wrong):
    class model(FunctionModel):
        output_names: Sequence[str]

        def run(self, batch: Batch, *, train: bool) -> Batch:
            self.output_names = ("prediction", "x")
            return {**super().run(batch, train=train), "x": batch["x"]}


class ReturnsUnknown(Wrong):
    class model(FunctionModel):
        def run(self, batch: Batch, *, train: bool) -> Batch:
            return {**super().run(batch, train=train), "extra": batch["x"]}


class RecognisesEverything(Wrong):
    def recognises(self, obj: object) -> bool:
        return True


class ForgetsItsModels(Wrong):
    def recognises(self, obj: object) -> bool:
        return isinstance(obj, dict) and super().recognises(obj)


class WrapsAgain(Wrong):
    def wrap(self, obj: Any, **names: Any) -> FunctionModel:
        return super().wrap(getattr(obj, "state", obj), **names)


class WrapsIntoNothing(Wrong):
    def wrap(self, obj: Any, **names: Any) -> Any:
        return obj


class IgnoresNames(Wrong):
    def wrap(self, obj: Any, **names: Any) -> FunctionModel:
        return super().wrap(obj)


class ForgetsMomentum(Wrong):
    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        model = super().load(directory, manifest)
        model.state["momentum"] = np.zeros(3)
        return model


class RoundsAtLoad(Wrong):
    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        model = super().load(directory, manifest)
        model.state["weights"] = model.state["weights"].astype(np.float32).astype(np.float64)
        return model


class HidesMomentum(Wrong):
    """Its optimizer's state is no part of what it saves, so that the bytes look right."""

    class model(FunctionModel):
        def save(self, directory: Path, *, training: bool = False) -> None:
            np.save(directory / "weights.npy", self.state["weights"])

    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        model = super().load(directory, manifest)
        model.state["momentum"] = np.zeros(3)
        return model


class ShufflesNames(Wrong):
    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        model = super().load(directory, manifest)
        model.output_names = tuple(reversed(model.output_names))
        return model


class LosesLabels(Wrong):
    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        model = super().load(directory, manifest)
        model.labels = None
        return model


class FailsElsewhere(Wrong):
    """Leans on the process that its tests run in."""

    def load(self, directory: Path, manifest: Any, *, trusted: Any = ()) -> FunctionModel:
        if sys.argv[0] == "-c":
            raise KeyError("registry")
        return super().load(directory, manifest)


class KeepsGenerator(Wrong):
    def rng_state(self) -> Any:
        return {"key": np.random.get_state()[1].copy()}


class ReturnsLiveGenerator(Wrong):
    def rng_state(self) -> Any:
        return {"generator": np.random.default_rng(0)}


class HasNoGenerator(Wrong):
    rng_state = None  # type: ignore[assignment]


class HasNoName(Wrong):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


WRONG = {
    SavesTime: "same_bytes: saved twice, the same state gives other bytes in saved-at",
    SavesIdentities: "same_bytes: made and trained twice, the same state gives other bytes in ids",
    SavesProcess: "fresh_process: made in a fresh process, the same state gives other bytes in pid",
    SavesSetOrder: "fresh_process: made in a fresh process, the same state gives other bytes in names",
    SavesNothing: "same_bytes: save wrote no file",
    LearnsInEvaluation: "evaluation_leaves_the_state: the same batch gave other outputs",
    CountsInEvaluation: r"evaluation_leaves_the_state: run\(train=False\) changed the state",
    NeedsTargets: "prediction_without_targets: 'y'",
    GivesOneNumber: "outputs: output 'prediction' has 1 entries, not one an example",
    ReturnsInputs: r"outputs: outputs \['x'\] have the names of sources",
    ReturnsUnknown: r"outputs: outputs \['extra'\] are not among output_names",
    RecognisesEverything: "recognition: it recognises <object",
    ForgetsItsModels: "recognition: it does not recognise the Model",
    WrapsAgain: "wrapping: wrapping a Model again made another",
    WrapsIntoNothing: "wrapping: wrap returned dict, which is no Model",
    IgnoresNames: "wrapping: output_names are not those given",
    ForgetsMomentum: "fresh_process: restored in a fresh process, .* momentum.npy",
    RoundsAtLoad: "fresh_process: restored in a fresh process, .* weights.npy",
    HidesMomentum: "resume: a restored model, trained on, gives other outputs",
    ShufflesNames: r"reload: output_names were \['prediction', 'loss'\] and came back as \['loss', 'prediction'\]",
    LosesLabels: "reload: the labels did not come back",
    FailsElsewhere: r"fresh_process: a fresh process fails where this one does not:[\s\S]*KeyError: 'registry'",
    KeepsGenerator: "generators: set_rng_state did not put the state back",
    ReturnsLiveGenerator: "generators: rng_state holds more than JSON values and arrays",
    HasNoGenerator: "members: it has no method 'rng_state'",
    HasNoName: "members: its name is '', not a word",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_backend_is_caught(wrong: type[Wrong]) -> None:
    with pytest.raises(AssertionError, match=WRONG[wrong]):
        check_backend(
            f"{__name__}:{wrong.__name__}",
            make_state,
            BATCH,
            output_names=["prediction", "loss"],
            labels={"low": 0, "high": 1},
        )


def test_a_backend_that_nobody_can_import_is_told() -> None:
    class Local(Wrong):
        pass

    with pytest.raises(AssertionError, match="Local cannot be imported from elsewhere"):
        check_backend(Local(), make_state, BATCH)


def test_an_instance_and_a_function_will_do() -> None:
    check_backend(Wrong(), make_state, BATCH)


def test_a_function_model_refuses_names_that_make_no_file(tmp_path: Path) -> None:
    model: Model = make_backend().wrap({"../up": np.zeros(1)})
    with pytest.raises(ModelError, match="cannot name a file"):
        model.save(tmp_path)
    assert not list(tmp_path.iterdir())
