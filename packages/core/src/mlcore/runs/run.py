"""A run: one piece of work with an id, a config, a seed, a bus and a place in a store."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Collection, Mapping
from contextvars import ContextVar, Token
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from mlcore.bundle import Bundle
from mlcore.checkpoint import Checkpoint, Checkpoints
from mlcore.config import Config
from mlcore.errors import MlcoreError, SupersededError
from mlcore.events import Bus, CheckpointSaved, MetricsLogged, ModelSaved, RunFailed, RunFinished, RunStarted
from mlcore.journal import JournalWriter
from mlcore.model import Labels, Model
from mlcore.plugins import PluginHost
from mlcore.runs.attempt import Attempt, Attempts
from mlcore.runs.files import RunFiles
from mlcore.runs.randomness import generator, global_state, set_global_state
from mlcore.runs.recorder import Recorder
from mlcore.runs.uses import Usable, look
from mlcore.store import Folder, Store, use_store
from mlcore.versions import Models, Version

if TYPE_CHECKING:
    import numpy as np

_current: ContextVar[Run | None] = ContextVar("mlcore_run", default=None)


def current_run() -> Run | None:
    """The run whose `with` block this code is in, if any."""
    return _current.get()


@dataclass(frozen=True)
class Header:
    """What never changes about a run; `run.json`.

    Args:
        id: Sorted by time.
        name: For people; need not be unique.
        runner: Which runner executes it; None for a run started from Python.
        created: Seconds since the epoch.
        seed: Of everything random in it.
        parent: The run that it continues or belongs to.
        source: The folder that its modules are imported from.
    """

    id: str
    name: str
    created: float
    seed: int
    runner: str | None = None
    parent: str | None = None
    source: str | None = None
    format: int = 1


@dataclass
class Restored:
    """What a resumed run goes on from.

    Args:
        step: Of the checkpoint.
        state: What was given to `Run.checkpoint`.
    """

    step: int
    state: Any  # what the caller of Run.checkpoint gave
    _checkpoint: Checkpoint = field(repr=False)
    _run: Run = field(repr=False)

    def model(self, name: str = "model", trusted: Collection[str] = (), *, into: object | None = None) -> Model:
        """Restore a model with its training state.

        Args:
            name: As given to `Run.checkpoint`.
            trusted: Full names of types that its files may use, besides those that its backend always trusts.
            into: A Model or an object that takes the saved state over; see `mlcore.restore_model`.
        """
        return self._checkpoint.model(name, trusted, into=into, host=self._run.host)

    def bundle(self, name: str = "model") -> Bundle:
        """The bundle of a model, for those who restore it themselves."""
        return Bundle(self._checkpoint.bundle.folder / name)

    def generators(self) -> None:
        """Put every generator back where it was; call it last, right before the work goes on."""
        kept = self._checkpoint.state["run"]
        set_global_state(kept["random"], self._run.host)
        for name, state in kept["generators"].items():
            self._run.rng(name).bit_generator.state = state


class Run:
    """One attempt at a piece of work. Made by `mlcore.start_run` or by resuming; used in a `with` block.

    Attributes:
        status: `running`, then what it ended as.
        stopping: Why it should stop at the next border of its work; None as long as it should not.
        reason: Why the work ended, for people. Whoever does the work may set it.

    Example:
        >>> with mlcore.start_run(store="memory://example", name="fit") as run:
        ...     run.log(step=1, loss=0.5)
        >>> run.status
        'finished'
    """

    def __init__(
        self,
        store: Store,
        folder: Folder,
        header: Header,
        *,
        attempt: Attempt,
        config: Config,
        host: PluginHost,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.store, self.folder, self.header, self.attempt = store, folder, header, attempt
        self.config, self.host = config, host
        self.id, self.name, self.seed = header.id, header.name, header.seed
        self.bus = Bus()
        self.status = "running"
        self.stopping: str | None = None
        self.reason: str | None = None
        self._from = checkpoint
        self._generators: dict[str, np.random.Generator] = {}
        self._attempts = Attempts(folder, header.id)
        self._step = checkpoint.step if checkpoint else None
        self._journal = JournalWriter(folder, attempt.number, guard=self._check)
        self._metrics = self.bus.channel(MetricsLogged)
        self._models = Models(store)
        self._files = RunFiles(folder, checkpoint.state["run"]["files"] if checkpoint else {})
        self._leave: Token[Run | None] | None = None
        self._context = contextlib.ExitStack()

    # --- life ---

    def __enter__(self) -> Self:
        self._leave = _current.set(self)
        self._context.enter_context(use_store(self.store.url))
        try:
            Recorder(self._journal).attach(self.bus)
            self._journal.write("status", sync=True, status="running")
            self.host.subscribe(self)
            self.bus.channel(RunStarted).emit(
                RunStarted(self.id, self.name, self.attempt.number, resumed=self._from is not None)
            )
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._end("stopped" if self.stopping else "finished", self.stopping or self.reason)
            else:
                self._end_with(error)
        except SupersededError:
            self.status = "superseded"
            raise
        finally:
            with contextlib.suppress(MlcoreError):  # it was told; what is not in the store yet stays in the spool
                self._journal.close()
            self.bus.close()
            self._files.close()
            self.store.writer.release()
            self._context.close()
            if self._leave:
                _current.reset(self._leave)

    def _end(self, status: str, reason: str | None) -> None:
        self.status = status
        try:
            self.bus.channel(RunFinished).emit(RunFinished(status, reason))
            self._files.ship()
        except Exception as error:
            self._end_with(error)
            raise
        self._journal.write("status", sync=True, status=status, reason=reason)
        self._journal.close()

    def _end_with(self, error: BaseException) -> None:
        """Record how the work ended; a failure to do so must not hide the error itself."""
        try:
            if isinstance(error, SupersededError):
                self.status = "superseded"
            elif isinstance(error, KeyboardInterrupt):
                self._end("stopped", self.stopping or "interrupted")
            elif isinstance(error, SystemExit):
                self._exit(error)
            else:
                self._fail(error, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
            self._journal.close()
        except Exception as second:  # noqa: BLE001 - told in a note of the error that is on its way
            error.add_note(f"the end of run {self.id} could not be recorded: {getattr(second, 'what', second)}")

    def _exit(self, ending: SystemExit) -> None:
        """What ends by `sys.exit` has finished, unless it says otherwise."""
        if not ending.code or self.stopping:
            self._end("stopped" if self.stopping else "finished", self.stopping)
        else:
            self._fail(ending, f"exit code {ending.code}" if isinstance(ending.code, int) else str(ending.code))

    def _fail(self, error: BaseException, reason: str, trace: str | None = None) -> None:
        self.status = "failed"
        self.bus.channel(RunFailed).emit(RunFailed(error))
        self._journal.write("status", sync=True, status="failed", reason=reason, traceback=trace)
        self._files.ship()

    def stop(self, reason: str) -> None:
        """Ask the run to stop at the next border of its work; it can be resumed from there.

        Args:
            reason: Shown to people, kept in the journal.
        """
        self.stopping = reason

    def _check(self) -> None:
        self.store.writer.claim()
        try:
            self._attempts.check_newest(self.attempt.number)
        except SupersededError as error:
            self.stop(error.what)  # the journal's heartbeat sees it, too: an epoch need not run to its end
            raise

    # --- what the work says ---

    def log(self, step: float, **values: float) -> None:
        """Log numbers of a step.

        Args:
            step: Where on the axis of the series; any number.
            values: One point for each series.
        """
        self._metrics.emit(MetricsLogged(step, values))

    def save_model(
        self,
        model: object,
        name: str | None = None,
        *,
        labels: Labels | None = None,
        metadata: Mapping[str, Any] | None = None,  # JSON values
        aliases: tuple[str, ...] = (),
        step: int | None = None,
    ) -> Version:
        """Store a version of a model, made by this run.

        Args:
            model: Anything that `mlcore.as_model` takes.
            name: Of the stored model; the run's name by default.
            labels: Class names to target values.
            metadata: JSON values to keep with the version.
            aliases: Version aliases to point at it.
            step: When in the run it was made.
        """
        self._check()
        made = {"run": self.id, "step": step, "metadata": dict(metadata or {})}
        version = self._models.save(model, name or self.name, aliases=aliases, labels=labels, made=made, host=self.host)
        facts: dict[str, Any] = {"name": version.record.name, "version": version.number}  # JSON values
        facts |= {"digest": version.digest, "url": version.url, "aliases": list(aliases)}
        self._journal.write("model", sync=True, step=step, **facts)
        channel = self.bus.channel(ModelSaved)
        if channel.listeners:
            channel.emit(
                ModelSaved(
                    version.record.name or version.record.id, version.number, aliases, version.digest, version.url
                )
            )
        return version

    def use(self, what: Usable) -> Path | Bundle | Version:
        """Keep on record which data or model the run uses: where it is, and the digest of its contents.

        Args:
            what: A path, a URL, `model:NAME@ALIAS`, a bundle, or a version of a model.

        Returns:
            The local path of a file or folder (of a URL: of a copy that is gone after the run), or else the bundle or
            version.
        """
        use, found = look(what, self.store, self._files.scratch)
        self._journal.write("use", sync=True, **asdict(use))
        return found

    # --- going on after a stop ---

    def checkpoint(
        self,
        state: Any,  # JSON values and arrays
        *,
        models: Mapping[str, object] | None = None,
        step: int | None = None,
        best: bool = False,
    ) -> None:
        """Keep everything that is needed to go on from here, whatever happens to this process.

        Args:
            state: JSON values and arrays, nested in dicts and lists.
            models: Models by name; they are kept with their training state.
            step: Rising; the one after the last by default.
            best: Keep this one until a better one comes; otherwise the last two are kept.
        """
        self._check()
        step = self._next_step(step)
        own = {
            "keep": {**self.attempt.keep, **self._journal.positions()},
            "files": self._files.lengths(),
            "generators": {name: rng.bit_generator.state for name, rng in self._generators.items()},
            "random": global_state(self.host),
            "config": self.config.digest,
        }
        both = {"run": own, "state": state}
        self._files.ship()
        bundle = self.checkpoints.save(step, both, models, best=best, before_commit=self._check, host=self.host)
        self._step = step
        self._journal.write("checkpoint", sync=True, step=step, best=best)
        channel = self.bus.channel(CheckpointSaved)
        if channel.listeners:
            channel.emit(CheckpointSaved(step, bundle.folder.url))

    def _next_step(self, step: int | None) -> int:
        if step is not None and self._step is not None and step < self._step:
            raise MlcoreError(f"checkpoint {step} comes after checkpoint {self._step}", hint="steps of a run rise")
        return (self._step or 0) + 1 if step is None else step

    def restore(self) -> Restored | None:
        """What the run goes on from; None when it begins at the beginning."""
        if self._from is None:
            return None
        return Restored(self._from.step, self._from.state["state"], self._from, self)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.folder / "checkpoints")

    # --- what belongs to it ---

    def rng(self, name: str) -> np.random.Generator:
        """A random generator of the run's own: it depends on the seed and the name only, and resumes where it was."""
        if name not in self._generators:
            self._generators[name] = generator(self.seed, name)
        return self._generators[name]

    @property
    def directory(self) -> Path:
        """A local folder for what people read; it belongs to the run."""
        return self._files.directory

    def append(self, name: str) -> TextIO:
        """Open a text file of the run for appending; a resumed run goes on where its checkpoint was made."""
        return self._files.append(name)
