"""What every backend must do, as tests: for ours and for strangers'.

In a test file, with pytest:

    class TestMyBackend(BackendConformance):
        backend = "my_package.backend:MyBackend"
        make_object = "test_my_backend:make_object"     # no arguments, the same object each time: seed it
        batch = {"x": np.zeros((8, 3)), "y": np.arange(8) % 2}
        options = {"input_names": ["x"], "target_names": ["y"], "labels": [0, 1]}

or, with any test runner, `check_backend(backend, make_object, batch, **options)`. Backend and object are named by path,
because a fresh process must be able to make them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from mlcore.bundle import Bundle
from mlcore.errors import ModelError
from mlcore.model import Backend, Batch, Model, as_model, import_object, label_map, restore_model, save_model
from mlcore.plugins import PluginHost
from mlcore.store import as_folder
from mlcore.testing.fresh import Registration, in_fresh_process, saved, train
from mlcore.testing.functions import FunctionBackend, FunctionModel, function_backend
from mlcore.testing.suites import require, run_suite

__all__ = [
    "BackendConformance",
    "FunctionBackend",
    "FunctionModel",
    "backend_suite",
    "check_backend",
    "function_backend",
]

MEMBERS = ("recognises", "wrap", "load", "rng_state", "set_rng_state")
FOREIGN: tuple[object, ...] = (object(), {"a": 1}, {}, "text", None, 1.5, [1, 2])


def check_backend(
    backend: object,
    make_object: str | Callable[[], object],
    batch: Batch,
    **options: Any,  # what the backend's `wrap` takes
) -> None:
    """Run the whole suite on a backend.

    Args:
        backend: Path of what makes it (`module:Class`), or an instance whose class can be imported.
        make_object: Path of a function (`module:function`), or that function: it makes the object to wrap, without
            arguments and the same each time.
        batch: Arrays and lists to train on: inputs and targets, at least 4 examples.
        options: Names, labels and whatever else `as_model` takes.

    Raises:
        AssertionError: The backend breaks the contract; the message starts with the check's name.
    """
    run_suite(backend_suite(backend, make_object, batch, **options))


def backend_suite(
    backend: object,
    make_object: str | Callable[[], object],
    batch: Batch,
    **options: Any,  # what the backend's `wrap` takes
) -> BackendConformance:
    """Make the suite of a backend; the arguments are those of `check_backend`."""
    own = {"backend": _path(backend), "make_object": _path(make_object), "batch": batch, "options": options}
    suite: BackendConformance = type("Suite", (BackendConformance,), own)()
    return suite


class BackendConformance:
    """The suite; see the module's page. Every test stands alone."""

    backend: ClassVar[str]
    make_object: ClassVar[str]
    batch: ClassVar[Batch]
    options: ClassVar[Mapping[str, Any]] = {}  # what the backend's `wrap` takes

    def test_members(self) -> None:
        """It has a name and the protocol's methods."""
        backend = self._backend
        require(isinstance(backend.name, str) and backend.name != "", f"its name is {backend.name!r}, not a word")
        for member in MEMBERS:
            require(callable(getattr(backend, member, None)), f"it has no method {member!r}")

    def test_recognition(self) -> None:
        """It recognises its own objects and Models, and no others."""
        require(self._backend.recognises(self._object()), "it does not recognise the object")
        require(self._backend.recognises(self._model()), "it does not recognise the Model that it made")
        for foreign in FOREIGN:
            require(not self._backend.recognises(foreign), f"it recognises {foreign!r}, which is not its own")

    def test_wrapping(self) -> None:
        """It makes a Model with the given names and labels, once."""
        model = self._model()
        require(isinstance(model, Model), f"wrap returned {type(model).__qualname__}, which is no Model")
        require(as_model(model, host=self._host) is model, "wrapping a Model again made another")
        for name in ("input_names", "target_names", "output_names"):
            given = self.options.get(name)
            require(given is None or list(given) == list(getattr(model, name)), f"{name} are not those given")
        require(_labels(model) == dict(label_map(self.options.get("labels")) or {}), "labels are not those given")

    def test_outputs(self) -> None:
        """Outputs have an entry an example, known names, and none that a source has."""
        model = self._trained()
        for mode in (True, False):
            outputs = model.run(self.batch, train=mode)
            unknown = set(outputs) - set(model.output_names)
            require(not unknown, f"outputs {sorted(unknown)} are not among output_names")
            clash = set(outputs) & set(self.batch)
            require(not clash, f"outputs {sorted(clash)} have the names of sources")
            for name, value in outputs.items():
                require(len(value) == self._examples, f"output {name!r} has {len(value)} entries, not one an example")

    def test_prediction_without_targets(self) -> None:
        """Targets are needed to train, not to predict."""
        model = self._trained()
        inputs = {name: self.batch[name] for name in model.input_names}
        require(len(model.run(inputs, train=False)) > 0, "without targets there are no outputs at all")

    def test_same_bytes(self) -> None:
        """The same state gives the same bytes: saved twice, and made twice."""
        model = self._trained()
        with _folder() as folder:
            for training in (True, False):
                first = saved(model, folder / f"first-{training}", training=training)
                require(bool(first), "save wrote no file")
                _equal_files(first, saved(model, folder / f"second-{training}", training=training), "saved twice")
                again = saved(self._trained(), folder / f"again-{training}", training=training)
                _equal_files(first, again, "made and trained twice")

    def test_evaluation_leaves_the_state(self) -> None:
        """`run(train=False)` learns nothing, and gives the same again."""
        model = self._trained()
        with _folder() as folder:
            before = saved(model, folder / "before", training=True)
            first = model.run(self.batch, train=False)
            require(_same(first, model.run(self.batch, train=False)), "the same batch gave other outputs")
            require(saved(model, folder / "after", training=True) == before, "run(train=False) changed the state")

    def test_fresh_process(self) -> None:
        """Another process writes the same bytes, for a model that it made and for one that it restored."""
        model = self._trained()
        with _folder() as folder:
            here = saved(model, folder / "here", training=True)
            save_model(model, folder / "bundle", training=True, host=self._host)
            in_fresh_process(
                folder,
                backend=(self._backend.name, self.backend),
                make_object=self.make_object,
                batch=self.batch,
                options=self.options,
            )
            _equal_files(here, _files(folder / "made"), "made in a fresh process")
            _equal_files(here, _files(folder / "restored"), "restored in a fresh process")

    def test_reload(self) -> None:
        """A restored model has the same names, labels, outputs and bytes."""
        model = self._trained()
        with _folder() as folder:
            restored = self._restored(model, folder / "bundle")
            for name in ("input_names", "target_names", "output_names"):
                own, back = list(getattr(model, name)), list(getattr(restored, name))
                require(own == back, f"{name} were {own} and came back as {back}")
            require(_labels(model) == _labels(restored), "the labels did not come back")
            outputs = model.run(self.batch, train=False), restored.run(self.batch, train=False)
            require(_same(*outputs), "the restored model gives other outputs")
            first = saved(model, folder / "first", training=True)
            _equal_files(first, saved(restored, folder / "second", training=True), "restored")

    def test_resume(self) -> None:
        """Training goes on after a restart as if there had been none, bit for bit."""
        model = self._trained()
        with _folder() as folder:
            restored = self._restored(model, folder / "bundle")
            state = deepcopy(self._backend.rng_state())
            train(model, self.batch)
            if state is not None:
                self._backend.set_rng_state(state)
            train(restored, self.batch)
            outputs = model.run(self.batch, train=False), restored.run(self.batch, train=False)
            require(_same(*outputs), "a restored model, trained on, gives other outputs")
            first = saved(model, folder / "first", training=True)
            _equal_files(first, saved(restored, folder / "second", training=True), "restored and trained on")

    def test_generators(self) -> None:
        """The state of global generators is plain data, and comes back."""
        state = self._backend.rng_state()
        if state is None:
            return
        require(_plain(state), "rng_state holds more than JSON values and arrays")
        before = deepcopy(state)
        np.random.random(1000)  # more than numpy draws at once, so that all of its state moves
        train(self._model(), self.batch)
        require(_same(before, state), "rng_state returned something that training changes later")
        self._backend.set_rng_state(state)
        require(_same(before, self._backend.rng_state()), "set_rng_state did not put the state back")

    @cached_property
    def _host(self) -> PluginHost:
        return Registration(self._backend.name, self.backend).host()

    @cached_property
    def _backend(self) -> Backend:
        backend: Backend = import_object(self.backend)()
        return backend

    @property
    def _examples(self) -> int:
        return len(next(iter(self.batch.values())))

    def _object(self) -> object:
        made: object = import_object(self.make_object)()
        return made

    def _model(self) -> Model:
        return as_model(self._object(), host=self._host, **self.options)

    def _trained(self) -> Model:
        model = self._model()
        train(model, self.batch)
        return model

    def _restored(self, model: Model, folder: Path) -> Model:
        save_model(model, folder, training=True, host=self._host)
        return restore_model(Bundle(as_folder(folder)), host=self._host)


def _path(thing: object) -> str:
    """The path of a class, a function or an instance's class; a fresh process must find it."""
    if isinstance(thing, str):
        return thing
    named: Any = thing if hasattr(thing, "__qualname__") else type(thing)
    path = f"{named.__module__}:{named.__qualname__}"
    try:
        found = import_object(path)
    except ModelError:
        found = None
    require(found is named, f"{path} cannot be imported from elsewhere; name it as 'module:Name'")
    return path


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mlcore-") as directory:
        yield Path(directory)


def _files(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def _equal_files(first: Mapping[str, bytes], second: Mapping[str, bytes], how: str) -> None:
    different = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    require(not different, f"{how}, the same state gives other bytes in {', '.join(different)}")


def _labels(model: Model) -> dict[str, int | str]:
    return dict(getattr(model, "labels", None) or {})


def _same(first: Any, second: Any) -> bool:  # JSON values and arrays
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    one, other = np.asarray(first), np.asarray(second)
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return same_kind and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.ndarray)
