"""The main loop: passes over streams of batches, and the hooks that see them.

It knows no console, tracker or checkpoint. In a run it says on the run's bus what happens, and `state_dict` holds what
it needs to go on; whoever executes the run does the rest.
"""

from __future__ import annotations

import inspect
import logging
import operator
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from types import TracebackType
from typing import Any, Self

from mlcore.events import BatchFinished, Bus, EpochFinished, EpochStarted, StreamStarted
from mlcore.runs import current_run
from mlcore_emloop_compat.backend import looked_at
from mlcore_emloop_compat.checks import ACTIONS, BatchChecks, act, check_action, check_arguments
from mlcore_emloop_compat.constants import EL_DEFAULT_TRAIN_STREAM
from mlcore_emloop_compat.datasets import StreamWrapper
from mlcore_emloop_compat.hook_chain import HookChain
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.metrics import scalars
from mlcore_emloop_compat.streams import AnyStream, Streams, check_names
from mlcore_emloop_compat.types import Batch, EpochData, TrainingTerminated

log = logging.getLogger(__name__)
_END: Any = object()  # whatever a stream gives, it is not this


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

    Attributes:
        stopping: Why to stop at the next border, where there is no run to ask.
        ending: Why the last training or evaluation ended.
    """

    EMPTY_ACTIONS = UNUSED_SOURCE_ACTIONS = INCORRECT_CONFIG_ACTIONS = ACTIONS

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
        check_action("on_empty_batch", on_empty_batch, self.EMPTY_ACTIONS)
        check_action("on_empty_stream", on_empty_stream, self.EMPTY_ACTIONS)
        check_action("on_unused_sources", on_unused_sources, self.UNUSED_SOURCE_ACTIONS)
        check_action("on_incorrect_config", on_incorrect_config, self.INCORRECT_CONFIG_ACTIONS)
        check_arguments(kwargs, inspect.signature(MainLoop).parameters.keys() - {"kwargs"}, on_incorrect_config)
        self._model, self._dataset, self._hooks = model, dataset, HookChain(hooks)
        self._train_stream_name, self._extra_streams = train_stream_name, list(extra_streams)
        self._buffer, self._fixed_batch_size, self._fixed_epoch_size = buffer, fixed_batch_size, fixed_epoch_size
        self._epochs_count, self._skip_zeroth_epoch = epochs_count, skip_zeroth_epoch
        self._on_empty_stream = on_empty_stream
        self._checks = BatchChecks(model, on_empty_batch, on_unused_sources)
        self._epoch_profile: dict[str, list[float]] = {}
        self._streams = Streams(dataset, buffer, {train_stream_name: fixed_epoch_size}, self._epoch_profile)
        self._training_epochs_done = 0
        self._batches: dict[str, int] = {}
        self._ended: str | None = None
        self._before_continuing: Callable[[], None] | None = None
        self.ending: str | None = None
        self._bus = Bus()
        self.stopping: str | None = None
        self._hooks.register(self)

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
        return self._streams.get(stream_name)

    def prepare_streams(self, streams: Iterable[AnyStream], base_name: str) -> list[StreamWrapper]:
        """Wrap streams given by name, as wrappers, or as iterables of batches.

        Args:
            streams: In any of these forms.
            base_name: Iterables are called `<base_name>_<number>`.

        Raises:
            ValueError: Two of them have one name.
        """
        found = self._streams.prepare(streams, base_name)
        check_names(found)
        return found

    # --- an epoch ---

    def epoch(self, train_streams: Iterable[AnyStream], eval_streams: Iterable[AnyStream]) -> None:
        """Train on some streams, evaluate others, and call the hooks; to be used in `with main_loop:`.

        Args:
            train_streams: Names, wrappers or iterables of batches.
            eval_streams: Likewise.

        Raises:
            ValueError: Two of them have one name.
        """
        training = self._streams.prepare(train_streams, "unnamed_train")
        evaluated = self._streams.prepare(eval_streams, "unnamed_eval")
        check_names([*training, *evaluated])
        self._check_stop()
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
        self._ended = None if ending is None else str(ending)
        self._emit(EpochFinished(number, scalars(epoch_data), time.perf_counter() - began))
        if ending is not None:
            raise ending

    def _call_epoch_hooks(self, epoch_data: EpochData, names: Sequence[str]) -> TrainingTerminated | None:
        number, began = self._training_epochs_done, time.perf_counter()
        ending = self._hooks.after_epoch(number, epoch_data)
        self._epoch_profile["after_epoch_hooks"] = [time.perf_counter() - began]
        return self._hooks.after_epoch_profile(number, self._epoch_profile, names) or ending

    def _run_stream(self, stream: StreamWrapper, epoch: int, *, train: bool) -> None:
        """One pass over a stream."""
        name = str(stream.name)
        self._emit(StreamStarted(name, epoch, train, self._total(name)))
        self._continue()
        before = self._batches.get(name, 0)
        try:
            self._run_batches(stream, name, epoch, train=train)
        finally:
            stream.end_epoch()
        if self._batches[name] == before:
            act(self._on_empty_stream, f"the stream {name!r} of {type(self._dataset).__qualname__} has no batches")

    def _run_batches(self, stream: StreamWrapper, name: str, epoch: int, *, train: bool) -> None:
        """The hot loop: everything that does not change within a pass is fetched before it."""
        clock, control = time.perf_counter, current_run() or self
        step = looked_at(self._model, self._step(stream, train=train))
        checks, size = self._checks, self._fixed_batch_size
        after_batch, channel = self._hooks.after_batch(), self._bus.channel(BatchFinished)
        number = self._batches[name] = self._batches.get(name, 0)
        checked: Set[str] | None = None
        arrays = True
        times = [clock()]
        batches: Iterator[Any] = stream.begin()  # batches, if the dataset is as it should be
        while True:
            if control.stopping is not None:
                self._check_stop()  # raises
            batch = next(batches, _END)
            if batch is _END:
                break
            fetched = clock()
            try:
                # Where all sources are arrays, their shapes are quicker than len().
                lengths = {values.shape[0] for values in batch.values()} if arrays else set(map(len, batch.values()))
            except (AttributeError, IndexError, TypeError) as error:
                arrays, lengths = False, checks.measure(batch, name, error)
            if len(lengths) != 1 or 0 in lengths:
                checks.lengths(batch, name)
                continue
            if batch.keys() != checked:
                checked = checks.sources(batch, name, train=train)
            if size is not None and size not in lengths:
                log.debug("a batch of %s examples is skipped, as fixed_batch_size is %s", lengths, size)
                continue
            outputs = step(batch)
            evaluated = clock()
            try:
                data = {**batch, **outputs}
            except TypeError as error:
                checks.refuse_outputs(batch, outputs, error)
            if len(data) != len(batch) + len(outputs):
                checks.refuse_outputs(batch, outputs)
            self._batches[name] = number = number + 1
            try:
                for call in after_batch:
                    call(stream_name=name, batch_data=data)
            finally:  # also when a hook ends the training: the model has seen the batch
                if channel.listeners:
                    channel.emit(BatchFinished(number, name, epoch, data, train))
            times += (fetched, evaluated, clock())
        self._keep_times(name, times)

    def _keep_times(self, name: str, times: Sequence[float]) -> None:
        """From clock readings (a first one, then after reading, evaluation and hooks of each batch) to seconds."""
        ends, fetched, evaluated = times[::3], times[1::3], times[2::3]
        for part, later, earlier in (
            ("read_batch", fetched, ends),
            ("eval_batch", evaluated, fetched),
            ("after_batch_hooks", ends[1:], evaluated),
        ):
            self._epoch_profile[f"{part}_{name}"] = list(map(operator.sub, later, earlier))

    def _step(self, stream: StreamWrapper, *, train: bool) -> Callable[[Batch], Any]:
        """How to call the model: emloop's models take the stream as well, the core's do not."""
        run = self._model.run
        parameters = inspect.signature(run).parameters
        if parameters.get("train") is not None and parameters["train"].kind is inspect.Parameter.KEYWORD_ONLY:
            return partial(run, train=train)
        if len(parameters) == 2 and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
            return lambda batch: run(batch, train)
        return lambda batch: run(batch, train, stream)

    def _total(self, name: str) -> int | None:
        if name == self._train_stream_name and self._fixed_epoch_size:
            return self._fixed_epoch_size
        totals = getattr(self._dataset, "num_batches", None) or {}
        return totals.get(name)

    # --- a training ---

    def run_training(self) -> None:
        """Train until a hook, a limit or the user ends it; from where it stopped, if a state was loaded."""
        self._until_terminated(self._train)

    def _train(self) -> None:
        train, extra = [self._train_stream_name], self._extra_streams
        if self._ended is not None:
            raise TrainingTerminated(self._ended)
        if not self._skip_zeroth_epoch and not self._training_epochs_done:
            self.epoch([], [*train, *extra])
        while self._epochs_count is None or self._training_epochs_done < self._epochs_count:
            self.epoch(train, extra)
        raise TrainingTerminated(f"training terminated after {self._training_epochs_done} epochs")

    def run_evaluation(self, stream_name: str) -> None:
        """Evaluate a stream once; the model is left alone."""
        self._until_terminated(lambda: self.epoch([], [stream_name]))

    def _until_terminated(self, work: Callable[[], None]) -> None:
        try:
            with self:
                work()
        except TrainingTerminated as terminated:
            self.ending = str(terminated)
            log.info("%s", terminated)

    def _check_stop(self) -> None:
        if (reason := (current_run() or self).stopping) is not None:
            raise TrainingTerminated(f"stopped: {reason}")

    def __enter__(self) -> Self:
        run = current_run()
        self._bus = run.bus if run else Bus()
        try:
            self._hooks.before_training()
        except BaseException as error:
            self._hooks.after_training(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._streams.close()
        self._hooks.after_training(error)

    def _emit(self, event: EpochStarted | EpochFinished | StreamStarted) -> None:
        channel = self._bus.channel(type(event))
        if channel.listeners:
            channel.emit(event)

    # --- going on after a stop ---

    def state_dict(self) -> dict[str, Any]:  # JSON values and arrays
        """Where the loop is: epochs and batches done, the state of hooks, streams and dataset that declare one."""
        own = getattr(self._dataset, "state_dict", None)
        return {
            "epochs_done": self._training_epochs_done,
            "ended": self._ended,
            "batches": self._batches,
            "hooks": self._hooks.state_dict(),
            "streams": self._streams.state_dict(),
            "dataset": own() if own else None,
        }

    def load_state_dict(
        self, state: Mapping[str, Any], before_continuing: Callable[[], None] | None = None
    ) -> list[str]:
        """Go on from a state.

        Args:
            state: What `state_dict` returned.
            before_continuing: Called once, right before the first batch: the place to restore random generators.

        Returns:
            What declares no state, and begins anew: `hook NAME`, `stream NAME`.

        Raises:
            ValueError: The hooks are not those whose state was kept.
        """
        hooks = self._hooks.load_state_dict(state["hooks"])
        streams = self._streams.load_state_dict(state["streams"])
        self._training_epochs_done, self._batches = state["epochs_done"], dict(state["batches"])
        self._ended, self._before_continuing = state["ended"], before_continuing
        if state["dataset"] is not None:
            self._dataset.load_state_dict(state["dataset"])
            streams = []  # the dataset answers for its streams
        return [f"hook {name}" for name in hooks] + [f"stream {name}" for name in streams]

    def _continue(self) -> None:
        if self._before_continuing is not None:
            self._before_continuing()
            self._before_continuing = None
