"""What every plugin with `mlcore_subscribe` must do, as tests.

In a test file, with pytest:

    class TestMyListener(ListenerConformance):
        def make_host(self) -> PluginHost:
            host = PluginHost(allow=()).load()
            host.add("mine", my_package.plugin)
            return host

The run that the listeners follow trains nothing: it says what a main loop says, four epochs long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from mlcore.events import BatchFinished, EpochFinished, EpochStarted, StreamStarted
from mlcore.plugins import PluginHost
from mlcore.runs import Run, RunView, resume_run, start_run
from mlcore.testing.rehearsal import CutShort, Witness
from mlcore.testing.suites import require

__all__ = ["ListenerConformance", "listener_suite"]

EPOCHS = 4


def listener_suite(host: PluginHost) -> ListenerConformance:
    """Make the suite of the listeners that a host's plugins attach."""
    suite: ListenerConformance = type("Suite", (ListenerConformance,), {"make_host": lambda self: host})()
    return suite


class ListenerConformance:
    """The suite; see the module's page. Every test stands alone."""

    def make_host(self) -> PluginHost:
        """Give the plugins that subscribe."""
        raise NotImplementedError

    def test_a_run_is_followed(self) -> None:
        """A run that they follow finishes."""
        with _folder() as folder:
            require(self._whole(folder).status == "finished", "the run did not finish")

    def test_a_resume_repeats_nothing(self) -> None:
        """Files of the run have the same lines, whether it ran through or was cut and resumed (see `run.append`)."""
        with _folder() as whole, _folder() as folder:
            wanted = _lines(self._whole(whole))
            for at in range(2, 5 * EPOCHS, 3):
                found = _lines(self._resumed(folder / str(at), at))
                for name in sorted(wanted.keys() | found.keys()):
                    require(
                        wanted.get(name) == found.get(name),
                        f"{name} of a resumed run has {found.get(name)} lines, not {wanted.get(name)}: write it by "
                        "`run.append`, which cuts off what was written after the checkpoint",
                    )

    def _whole(self, folder: Path) -> RunView:
        run = self._start(folder)
        with run:
            _train(run)
        return RunView(run.store, run.folder)

    def _resumed(self, folder: Path, at: int) -> RunView:
        run = self._start(folder)
        Witness(run, at)
        with contextlib.suppress(CutShort), run:
            _train(run)
        with resume_run(RunView(run.store, run.folder), host=self._host) as resumed:
            _train(resumed)
        return RunView(run.store, run.folder)

    def _start(self, folder: Path) -> Run:
        return start_run(store=str(folder), name="conformance", seed=1, host=self._host)

    @cached_property
    def _host(self) -> PluginHost:
        return self.make_host()


def _train(run: Run) -> None:
    """Say what a main loop says."""
    restored = run.restore()
    for epoch in range(restored.step + 1 if restored else 1, EPOCHS + 1):
        run.bus.channel(EpochStarted).emit(EpochStarted(epoch))
        run.bus.channel(StreamStarted).emit(StreamStarted("train", epoch, train=True, total=1))
        batch = {"x": [1.0, 2.0], "loss": [0.5, 1 / epoch]}
        run.bus.channel(BatchFinished).emit(BatchFinished(epoch, "train", epoch, batch, train=True))
        run.bus.channel(EpochFinished).emit(EpochFinished(epoch, {"train": {"loss": 1 / epoch}}, seconds=0.1))
        run.checkpoint({"epoch": epoch}, step=epoch)


def _lines(view: RunView) -> dict[str, int]:
    """How many lines each of the run's files has."""
    files = view.folder / "files"
    return {entry.key: files.read_bytes(entry.key).count(b"\n") for entry in files.list(recursive=True)}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mlcore-") as directory:
        yield Path(directory)
