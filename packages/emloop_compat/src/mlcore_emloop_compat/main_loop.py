"""The main loop: passes over streams of batches, and the hooks that see them.

It knows no console, tracker or checkpoint. In a run it says on the run's bus what happens, and `state_dict` holds what it
needs to go on; whoever executes the run does the rest.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from mlcore.errors import MlcoreError, nearest
from mlcore.events import BatchFinished, Bus, EpochFinished, EpochStarted, StreamStarted
from mlcore.runs import current_run
from mlcore_emloop_compat.constants import EL_DEFAULT_TRAIN_STREAM
from mlcore_emloop_compat.datasets import StreamWrapper
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.metrics import scalars
from mlcore_emloop_compat.types import Batch, BatchError, EpochData, OverlapError, Stream, TrainingTerminated

log = logging.getLogger(__name__)


class MainLoop:
    """Trains and evaluates a model on the streams of a dataset.

    Args:
        model: An AbstractModel, or any Model of the core.
        dataset: Has a method `<name>_stream` for each stream.
        hooks: Called at each event, in their order.
        train_stream_name: The stream to train on.
        extra_streams: Streams to evaluate after each training pass.
        buffer: Batches to read ahead in a thread, for each stream; 0 for none.
        on_empty_batch: What to do with a batch without examples: `ignore`, `warn` or `error`; it is skipped.
        on_empty_stream: The same for a stream without batches.
        on_unused_sources: The same for sources that are no inputs of the model; told once.
        on_incorrect_config: The same for arguments that do not exist.
        epochs_count: Training epochs to do.
        fixed_batch_size: Skip batches of any other length.
        fixed_epoch_size: Batches in a training epoch; the next one goes on where it stopped.
        skip_zeroth_epoch: Begin with training, instead of an evaluation of all streams.
        kwargs: See on_incorrect_config.
    """

    EMPTY_ACTIONS = ("ignore", "warn", "error")
    UNUSED_SOURCE_ACTIONS = ("ignore", "warn", "error")
    INCORRECT_CONFIG_ACTIONS = ("ignore", "warn", "error")

    def __init__(
        self,
        model: Any,  # an AbstractModel or a Model: both are called for what they offer
        dataset: Any,  # anything with streams
        hooks: Iterable[AbstractHook] = (),
        train_stream_name: str = EL_DEFAULT_TRAIN_STREAM,
        extra_streams: Iterable[str] = (),
        buffer: int = 0,
        on_empty_batch: str = "error",
        on_empty_stream: str = "error",
        on_unused_sources: str = "warn",
        on_incorrect_config: str = "error",
        epochs_count: int | None = None,
        fixed_batch_size: int | None = None,
        fixed_epoch_size: int | None = None,
        skip_zeroth_epoch: bool = False,
        **kwargs: Any,  # see on_incorrect_config
    ) -> None:
        _check_action("on_empty_batch", on_empty_batch, self.EMPTY_ACTIONS)
        _check_action("on_empty_stream", on_empty_stream, self.EMPTY_ACTIONS)
        _check_action("on_unused_sources", on_unused_sources, self.UNUSED_SOURCE_ACTIONS)
        _check_action("on_incorrect_config", on_incorrect_config, self.INCORRECT_CONFIG_ACTIONS)
        for name in kwargs:
            valid = inspect.signature(MainLoop).parameters.keys() - {"kwargs"}
            _act(on_incorrect_config, f"the main loop has no argument {name!r}; {nearest(name, valid)}")
        self._model, self._dataset, self._hooks = model, dataset, list(hooks)
        self._train_stream_name, self._extra_streams = train_stream_name, list(extra_streams)
        self._buffer, self._fixed_batch_size, self._fixed_epoch_size = buffer, fixed_batch_size, fixed_epoch_size
        self._on_empty_batch, self._on_empty_stream = on_empty_batch, on_empty_stream
        self._on_unused_sources, self._unused_told = on_unused_sources, False
        self._epochs_count, self._skip_zeroth_epoch = epochs_count, skip_zeroth_epoch
        self._training_epochs_done = 0
        self._epoch_profile: dict[str, list[float]] = {}
        self._streams: dict[str, StreamWrapper] = {}
        self._batches: dict[str, int] = {}
        self._before_continuing: Callable[[], None] | None = None
        self._bus = Bus()
        self.stopping: str | None = None
        for hook in self._hooks:
            hook.register_mainloop(self)

    # --- properties ---

    @property
    def training_epochs_done(self) -> int:
        """How many epochs the model was trained."""
        return self._training_epochs_done

    @property
    def fixed_epoch_size(self) -> int | None:
        """Batches in a training epoch, where that is fixed."""
        return self._fixed_epoch_size

    @property
    def extra_streams(self) -> list[str]:
        """Streams that are evaluated after each training pass."""
        return self._extra_streams

    # --- streams ---

    def get_stream(self, stream_name: str) -> StreamWrapper:
        """The dataset's stream of that name.

        Raises:
            AttributeError: The dataset has none.
        """
        if stream_name not in self._streams:
            size = self._fixed_epoch_size if stream_name == self._train_stream_name else None
            method = self._stream_method(stream_name)
            self._streams[stream_name] = StreamWrapper(
                method, self._buffer, size or -1, stream_name, self._epoch_profile
            )
        return self._streams[stream_name]

    def _stream_method(self, name: str) -> Callable[[], Stream]:
        try:
            method: Callable[[], Stream] = getattr(self._dataset, f"{name}_stream")
        except AttributeError as error:
            kind = type(self._dataset)
            streams = [attribute.removesuffix("_stream") for attribute in dir(kind) if attribute.endswith("_stream")]
            raise StreamMissingError(
                f"the dataset {kind.__qualname__} has no method `{name}_stream`", hint=nearest(name, streams)
            ) from error
        return method

    def prepare_streams(self, streams: Iterable[str | StreamWrapper | Stream], base_name: str) -> list[StreamWrapper]:
        """Wrap streams given by name, as wrappers, or as iterables of batches.

        Args:
            streams: In any of these forms.
            base_name: Iterables are called `<base_name>_<number>`.

        Raises:
            ValueError: Two of them have one name.
        """
        found = [self._wrap(stream, f"{base_name}_{number}") for number, stream in enumerate(streams)]
        names = [stream.name for stream in found]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"several streams have the name {', '.join(map(str, twice))}")
        return found

    def _wrap(self, stream: str | StreamWrapper | Stream, name: str) -> StreamWrapper:
        if isinstance(stream, str):
            return self.get_stream(stream)
        if isinstance(stream, StreamWrapper):
            return stream
        return StreamWrapper(lambda: stream, self._buffer, name=name, profile=self._epoch_profile)

    # --- an epoch ---

    def epoch(
        self,
        train_streams: Iterable[str | StreamWrapper | Stream],
        eval_streams: Iterable[str | StreamWrapper | Stream],
    ) -> None:
        """Train on some streams, evaluate others, and call the hooks; to be used in `with main_loop:`.

        Args:
            train_streams: Names, wrappers or iterables of batches.
            eval_streams: Likewise.
        """
        training = self.prepare_streams(train_streams, "unnamed_train")
        evaluated = self.prepare_streams(eval_streams, "unnamed_eval")
        self._run_epoch(training, evaluated)

    def _run_epoch(self, training: Sequence[StreamWrapper], evaluated: Sequence[StreamWrapper]) -> None:
        began = time.perf_counter()
        number = self._training_epochs_done + 1 if training else self._training_epochs_done
        self._emit(EpochStarted(number))
        self._epoch_profile.clear()
        names = [str(stream.name) for stream in (*training, *evaluated)]
        epoch_data: EpochData = OrderedDict((name, OrderedDict()) for name in names)
        for stream in training:
            self._run_stream(stream, number, train=True)
        for stream in evaluated:
            self._run_stream(stream, number, train=False)
        self._training_epochs_done = number
        ending = self._call_epoch_hooks(epoch_data, names)
        self._emit(EpochFinished(number, scalars(epoch_data), time.perf_counter() - began))
        if ending is not None:
            raise ending

    def _call_epoch_hooks(self, epoch_data: EpochData, names: Sequence[str]) -> TrainingTerminated | None:
        """Call all hooks; one that ends the training does so after the others had their turn."""
        epoch_id, ending = self._training_epochs_done, None
        began = time.perf_counter()
        for hook in self._hooks:
            try:
                hook.after_epoch(epoch_id=epoch_id, epoch_data=epoch_data)
            except TrainingTerminated as terminated:
                ending = terminated
        self._epoch_profile["after_epoch_hooks"] = [time.perf_counter() - began]
        for hook in self._hooks:
            hook.after_epoch_profile(epoch_id=epoch_id, profile=self._epoch_profile, streams=names)
        return ending

    def _run_stream(self, stream: StreamWrapper, epoch: int, *, train: bool) -> None:
        """One pass over a stream."""
        name = str(stream.name)
        self._emit(StreamStarted(name, epoch, train, self._total(name)))
        self._continue()
        batches = stream.begin()
        try:
            accepted = self._run_batches(batches, stream, name, epoch, train=train)
        finally:
            if isinstance(batches, Iterator) and self._buffer:
                stream.__exit__(None, None, None)
        if not accepted:
            _act(self._on_empty_stream, f"the stream {name!r} of {type(self._dataset).__qualname__} has no batches")

    def _run_batches(
        self, batches: Iterator[Batch], stream: StreamWrapper, name: str, epoch: int, *, train: bool
    ) -> int:
        """The hot loop: everything that does not change within a pass is fetched before it."""
        clock, control = time.perf_counter, current_run() or self
        read, evaluate, hooked = (self._profiled(f"{part}_{name}") for part in ("read_batch", "eval_batch", "after_batch_hooks"))
        step = self._step(stream, train=train)
        after_batch = [hook.after_batch for hook in self._hooks if type(hook).after_batch is not AbstractHook.after_batch]
        channel = self._bus.channel(BatchFinished)
        inputs, size = self._expected(), self._fixed_batch_size
        number = before = self._batches.get(name, 0)
        while True:
            if control.stopping is not None:
                raise TrainingTerminated(f"stopped: {control.stopping}")
            began = clock()
            batch = next(batches, None)
            if batch is None:
                break
            fetched = clock()
            lengths = {len(values) for values in batch.values()}
            if len(lengths) != 1 or 0 in lengths:
                self._check_lengths(batch, name)
                continue
            if batch.keys() != inputs:
                self._check_sources(batch, inputs, name)
            if size is not None and size not in lengths:
                log.debug("a batch of %s examples is skipped, as fixed_batch_size is %s", lengths, size)
                continue
            outputs = step(batch)
            evaluated = clock()
            if not isinstance(outputs, Mapping) or not batch.keys().isdisjoint(outputs):
                raise self._bad_outputs(batch, outputs)
            data = {**batch, **outputs}
            number += 1
            for call in after_batch:
                call(stream_name=name, batch_data=data)
            if channel.listeners:
                self._batches[name] = number
                channel.emit(BatchFinished(number, name, epoch, data, train))
            read(fetched - began)
            evaluate(evaluated - fetched)
            hooked(clock() - evaluated)
        self._batches[name] = number
        return number - before

    def _profiled(self, key: str) -> Callable[[float], None]:
        return self._epoch_profile.setdefault(key, []).append

    def _step(self, stream: StreamWrapper, *, train: bool) -> Callable[[Batch], Any]:
        """How to call the model: emloop's models take the stream as well, the core's do not."""
        run = self._model.run
        parameters = inspect.signature(run).parameters
        if parameters.get("train") is not None and parameters["train"].kind is inspect.Parameter.KEYWORD_ONLY:
            return partial(run, train=train)
        if len(parameters) == 2 and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
            return lambda batch: run(batch, train)
        return lambda batch: run(batch, train, stream)

    def _expected(self) -> frozenset[str]:
        """Sources that the model reads: inputs, and targets where it names them apart."""
        return frozenset((*self._model.input_names, *getattr(self._model, "target_names", ())))

    def _total(self, name: str) -> int | None:
        if name == self._train_stream_name and self._fixed_epoch_size:
            return self._fixed_epoch_size
        totals = getattr(self._dataset, "num_batches", None) or {}
        return totals.get(name)

    # --- checks ---

    def _check_lengths(self, batch: Batch, stream: str) -> None:
        """A batch is either empty, which may be allowed, or ragged, which never is."""
        lengths = {name: len(values) for name, values in batch.items()}
        if not any(lengths.values()):
            _act(self._on_empty_batch, f"a batch of the stream {stream!r} is empty: {lengths or 'it has no sources'}")
            return
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BatchError(f"the sources of a batch of the stream {stream!r} are of unequal length: {shown}")

    def _check_sources(self, batch: Batch, expected: frozenset[str], stream: str) -> None:
        if missing := sorted(expected - batch.keys()):
            raise BatchError(
                f"the model needs the source {missing[0]!r}, which a batch of the stream {stream!r} does not have",
                hint=nearest(missing[0], batch),
            )
        if not self._unused_told:
            self._unused_told = True
            unused = ", ".join(sorted(batch.keys() - expected))
            _act(self._on_unused_sources, f"the model does not use the sources {unused} of the stream {stream!r}")

    def _bad_outputs(self, batch: Batch, outputs: object) -> MlcoreError:
        kind = type(self._model).__qualname__
        if not isinstance(outputs, Mapping):
            return BatchError(f"{kind}.run returned a {type(outputs).__name__} instead of a mapping of output names to values")
        both = ", ".join(sorted(batch.keys() & outputs.keys()))
        return OverlapError(f"{kind}.run returned outputs with names of sources: {both}", hint="rename the outputs")

    # --- a training ---

    def run_training(self) -> None:
        """Train until a hook, a limit or the user ends it; from where it stopped, if a state was loaded."""
        with self:
            self._until_terminated(self._train)

    def _train(self) -> None:
        train, extra = [self._train_stream_name], self._extra_streams
        if not self._skip_zeroth_epoch and not self._training_epochs_done:
            self.epoch([], [*train, *extra])
        while self._epochs_count is None or self._training_epochs_done < self._epochs_count:
            self.epoch(train, extra)
        raise TrainingTerminated(f"training terminated after {self._training_epochs_done} epochs")

    def run_evaluation(self, stream_name: str) -> None:
        """Evaluate a stream once; the model is left alone."""
        with self:
            self._until_terminated(lambda: self.epoch([], [stream_name]))

    def _until_terminated(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TrainingTerminated as terminated:
            log.info("%s", terminated)

    def __enter__(self) -> Self:
        run = current_run()
        self._bus = run.bus if run else Bus()
        for hook in self._hooks:
            hook.before_training()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for stream in self._streams.values():
            stream.__exit__(kind, error, trace)
        failures = [failure for hook in self._hooks if (failure := _after_training(hook, kind is None))]
        for failure in failures:
            if error is None:
                raise failure
            error.add_note(f"then after_training failed: {failure!r}")

    def _emit(self, event: EpochStarted | EpochFinished | StreamStarted) -> None:
        channel = self._bus.channel(type(event))
        if channel.listeners:
            channel.emit(event)

    # --- going on after a stop ---

    def state_dict(self) -> dict[str, Any]:  # JSON values and arrays
        """Where the loop is: epochs and batches done, the state of hooks, streams and dataset that declare one."""
        streams = {name: stream.state_dict() for name, stream in self._streams.items()}
        own = getattr(self._dataset, "state_dict", None)
        return {
            "epochs_done": self._training_epochs_done,
            "batches": self._batches,
            "hooks": [[_name(hook), hook.state_dict()] for hook in self._hooks],
            "streams": {name: state for name, state in streams.items() if state is not None},
            "dataset": own() if own else None,
        }

    def load_state_dict(self, state: Mapping[str, Any], before_continuing: Callable[[], None] | None = None) -> list[str]:
        """Go on from a state.

        Args:
            state: What `state_dict` returned.
            before_continuing: Called once, right before the first batch: the place to restore random generators.

        Returns:
            Names of hooks that declare no state, and begin anew.

        Raises:
            MlcoreError: The hooks are not those whose state was kept.
        """
        kept, own = [name for name, _ in state["hooks"]], [_name(hook) for hook in self._hooks]
        if kept != own:
            raise MlcoreError(
                f"the checkpoint was made with the hooks {', '.join(kept)}, but now there are {', '.join(own)}",
                hint="resume with the hooks that the run was started with",
            )
        self._training_epochs_done, self._batches = state["epochs_done"], dict(state["batches"])
        self._before_continuing = before_continuing
        for name, stream_state in state["streams"].items():
            self.get_stream(name).load_state_dict(stream_state)
        if state["dataset"] is not None:
            self._dataset.load_state_dict(state["dataset"])
        return [name for hook, (name, hook_state) in zip(self._hooks, state["hooks"], strict=True) if not _load(hook, hook_state)]

    def _continue(self) -> None:
        if self._before_continuing is not None:
            self._before_continuing()
            self._before_continuing = None


class StreamMissingError(MlcoreError, AttributeError):
    """The dataset has no stream of that name."""


def _name(hook: AbstractHook) -> str:
    return type(hook).__name__


def _load(hook: AbstractHook, state: Mapping[str, Any] | None) -> bool:
    if state is not None:
        hook.load_state_dict(state)
    return state is not None


def _after_training(hook: AbstractHook, success: bool) -> Exception | None:  # noqa: FBT001 - as emloop passes it
    """Call a hook at the end; its failure must not keep the others from theirs."""
    try:
        hook.after_training(success)
    except Exception as error:
        return error
    return None


def _check_action(name: str, action: str, valid: Sequence[str]) -> None:
    if action not in valid:
        raise OverlapError(f"{name} is {action!r}; it is one of {', '.join(valid)}")


def _act(action: str, message: str) -> None:
    """Ignore, warn or raise."""
    if action == "error":
        raise BatchError(message)
    if action == "warn":
        log.warning("%s", message)
