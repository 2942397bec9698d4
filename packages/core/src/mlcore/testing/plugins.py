"""The checks of what a plugin registers: what `mlcore plugins --check` runs, and what a plugin's own tests can run.

In a test file, with pytest:

    host = PluginHost(allow=("mine",), strict=True).load()

    @pytest.mark.parametrize("check", plugin_checks(host, "mine"), ids=str)
    def test_conformance(check):
        check()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlcore.errors import PluginError, nearest
from mlcore.execution import open_executor
from mlcore.plugins import Entry, PluginHost, import_target
from mlcore.testing.suites import checks_of

if TYPE_CHECKING:
    from mlcore.testing.samples import BackendSample, RunnerSample


@dataclass(frozen=True)
class Check:
    """One check of one thing that a plugin registered. Calling it runs it.

    Attributes:
        subject: Kind and name: `backend sklearn`; with the sample's name where there are several.
        name: Of the check: `same_bytes`.
        run: Raises when the check fails; None when there is nothing to run.
        why_not: Why nothing can be run.
    """

    subject: str
    name: str = ""
    run: Callable[[], object] | None = None
    why_not: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.name or 'not checked'}"

    def __call__(self) -> None:
        """Run it.

        Raises:
            AssertionError: It failed, or there is nothing to run.
        """
        if self.run is None:
            raise AssertionError(f"{self.subject} is not checked: {self.why_not}")
        self.run()


def plugin_checks(host: PluginHost, plugin: str) -> list[Check]:
    """The checks of all that a plugin registered; no suite runs yet.

    Args:
        host: Has loaded the plugin.
        plugin: Its name.

    Raises:
        PluginError: There is no such plugin, or it failed to load.
    """
    record = next((record for record in host.records if record.name == plugin), None)
    if record is None:
        raise PluginError(f"there is no plugin {plugin!r}", hint=nearest(plugin, (each.name for each in host.records)))
    if record.status != "loaded":
        raise PluginError(f"it is {record.status}: {record.error}", where=record.label) from record.exception
    found = [check for kind, name in record.offers for check in _offered(host, kind, name)]
    return found + ([*_listeners(host, plugin)] if "mlcore_subscribe" in record.hooks else [])


def _offered(host: PluginHost, kind: str, name: str) -> Iterable[Check]:
    subject = f"{kind} {name}"
    if kind == "executor":
        return _executor(host, host.executors[name], subject)
    if kind == "stand-in":
        return [Check(subject, "imports", partial(host.standins.resolve, name))]
    entry = (host.backends if kind == "backend" else host.runners)[name]
    if "samples" not in entry.options:
        return [Check(subject, why_not='register it with samples="module:function" (see mlcore.testing.samples)')]
    make = _backend if kind == "backend" else _runner
    try:
        samples = list(import_target(entry.options["samples"])())
        several = len(samples) > 1
        found = [
            check
            for sample in samples
            for check in make(host, entry, f"{subject} ({sample})" if several else subject, sample)
        ]
    except Exception as error:  # noqa: BLE001  it is what this check finds
        return [Check(subject, "samples", _raising(error))]
    return found or [Check(subject, why_not=f"{entry.options['samples']} gives no sample")]


def _raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def _backend(host: PluginHost, entry: Entry, subject: str, sample: BackendSample) -> Iterator[Check]:
    from mlcore.testing.backends import backend_suite

    return _suite(subject, backend_suite(entry.target, sample.make_object, sample.batch, **sample.options))


def _runner(host: PluginHost, entry: Entry, subject: str, sample: RunnerSample) -> Iterator[Check]:
    from mlcore.testing.runners import runner_suite

    return _suite(subject, runner_suite(entry.name, sample.config, host))


def _executor(host: PluginHost, entry: Entry, subject: str) -> Iterator[Check]:
    from mlcore.testing.executors import ExecutorConformance

    make = staticmethod(lambda: open_executor(entry.name, host=host))
    own = {"make_executor": make, "kills": entry.options.get("kills", False)}
    return _suite(subject, type("Suite", (ExecutorConformance,), own)())


def _listeners(host: PluginHost, plugin: str) -> Iterator[Check]:
    from mlcore.testing.listeners import listener_suite

    return _suite("listener", listener_suite(host))


def _suite(subject: str, suite: Any) -> Iterator[Check]:  # an object with checks
    for name, run in checks_of(suite).items():
        yield Check(subject, name, run)
