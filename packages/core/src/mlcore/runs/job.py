"""A config file as a job: chosen runner, checked config, and its execution as a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mlcore.config import Config
from mlcore.errors import ConfigError, MlcoreError
from mlcore.plugins import PluginHost, current_host
from mlcore.runs.interrupt import Interruption, interruptible
from mlcore.runs.run import Run
from mlcore.runs.runner import Runner, RunSettings
from mlcore.runs.start import check_resumable, go_on, start_run, stored_config
from mlcore.runs.view import RunView
from mlcore.store import Store


@dataclass(frozen=True)
class Job:
    """A config that passed every check; nothing has been created for it yet."""

    config: Config
    settings: RunSettings
    runner_name: str
    runner: Runner
    source: Path
    overrides: tuple[str, ...]
    default_name: str


def plan_job(path: str | Path, overrides: Iterable[str] = (), host: PluginHost | None = None) -> Job:
    """Read and check a config file.

    Raises:
        ConfigError: Where and what is wrong, and what to write instead.
        PluginError: A plugin that it needs is missing or broken.
    """
    overrides = tuple(overrides)
    config = Config.read(path, overrides=overrides)
    source = Path(path).resolve()
    folder = source if source.is_dir() else source.parent
    return _check(config, folder, overrides, folder.name if source.stem == "config" else source.stem, host)


def _check(config: Config, source: Path, overrides: tuple[str, ...], name: str, host: PluginHost | None) -> Job:
    host = host or current_host()
    runner_name = _choose(config, host)
    runner: Runner = host.runners.resolve(runner_name)()
    with importable(source):
        settings = config.validate(runner.schema)
        runner.check(config)
    return Job(config, settings, runner_name, runner, source, overrides, name)


def _choose(config: Config, host: PluginHost) -> str:
    """The runner that the config names, or the only one whose sections it has."""
    named = config.get("runner", None)
    if named is not None:
        if not isinstance(named, str):
            raise config.error("runner", f"a runner is named by a word, not {named!r}")
        return named
    fitting = [
        entry.name
        for entry in host.runners.values()
        if entry.options.get("sections")
        and all(config.get(section, None) is not None for section in entry.options["sections"])
    ]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(sorted(host.runners)) or "none is installed; pip install mlcore-emloop-compat"
    what = (
        f"it has the sections of several runners: {', '.join(fitting)}"
        if fitting
        else "no runner is known by its sections"
    )
    raise ConfigError(what, where=config.name, hint=f"add a line `runner: NAME` (runners: {known})")


def start_job(
    job: Job,
    *,
    store: Store | str | None = None,
    name: str | None = None,
    seed: int | None = None,
    host: PluginHost | None = None,
) -> Run:
    """Make the run of a job; nothing is executed yet."""
    seed = job.settings.seed if seed is None else seed
    return start_run(
        job.config,
        store=store,
        name=name or job.settings.name or job.default_name,
        seed=seed,
        runner=job.runner_name,
        source=job.source,
        overrides=job.overrides,
        host=host,
    )


def resume_job(
    view: RunView,
    overrides: Iterable[str] = (),
    *,
    takeover: bool = False,
    host: PluginHost | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Job, Run]:
    """Check a stored run's config as it would be now, then make its next attempt; see `resume_run`."""
    overrides = tuple(overrides)
    check_resumable(view, overrides, takeover=takeover, say=say)
    config = stored_config(view, overrides)
    source = Path(view.header.source or Path.cwd())
    try:
        job = _check(config, source, overrides, view.name, host)
    except MlcoreError as error:
        if not source.is_dir():
            error.add_note(
                f"the run was started from {source}, which is gone; resume it from a folder with its modules"
            )
        raise
    return job, go_on(view, config, overrides, host=host, say=say)


def execute_job(job: Job, run: Run) -> Interruption:
    """Execute a run to its end, or until a signal stops it."""
    with importable(job.source), run, interruptible(run) as interruption:
        job.runner.execute(run)
    return interruption


def run_file(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    store: Store | str | None = None,
    name: str | None = None,
    seed: int | None = None,
    host: PluginHost | None = None,
) -> RunView:
    """Run a config file: what `mlcore run` does, from Python.

    Args:
        path: YAML or JSON.
        overrides: `KEY=VALUE`, values as YAML.
        store: Where the run is kept.
        name: Of the run.
        seed: Of everything random.
        host: The plugins to use.
    """
    job = plan_job(path, overrides, host)
    run = start_job(job, store=store, name=name, seed=seed, host=host)
    execute_job(job, run)
    return RunView(run.store, run.folder)


@contextmanager
def importable(source: Path) -> Iterator[None]:
    """Import modules from a config's folder and from the working folder.

    Modules that an earlier job imported from its folder are forgotten: in another folder others may have their names.
    """
    for name in [name for name, home in _homes.items() if home != source]:
        sys.modules.pop(name, None)
        del _homes[name]
    before, added = set(sys.modules), [str(source), str(Path.cwd())]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)
        _homes.update((name, source) for name in sys.modules.keys() - before if _lies_in(sys.modules[name], source))


# Modules that jobs imported from the folders of their configs.
_homes: dict[str, Path] = {}


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether it is the user's own, not a library of a virtual environment there."""
    file = Path(getattr(module, "__file__", None) or "/").resolve()
    return file.is_relative_to(folder) and "site-packages" not in file.relative_to(folder).parts
