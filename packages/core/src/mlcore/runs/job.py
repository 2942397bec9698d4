"""A config file as a job: chosen runner, checked config, and its execution as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlcore.config import Config
from mlcore.errors import ConfigError, MlcoreError, RunError, StoreError
from mlcore.events import Warned
from mlcore.plugins import PluginHost, current_host, use_host
from mlcore.runs.choice import choose_runner
from mlcore.runs.interrupt import Interruption, interruptible
from mlcore.runs.run import Run
from mlcore.runs.runner import Runner, RunSettings
from mlcore.runs.source import importable
from mlcore.runs.start import check_resumable, go_on, start_run, stored_config
from mlcore.runs.view import RunView
from mlcore.standins import standing_in
from mlcore.store import Store
from mlcore.versions import model_name


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


def plan_job(
    path: str | Path,
    overrides: Iterable[str] = (),
    host: PluginHost | None = None,
    *,
    arguments: Iterable[str] = (),
    compat: Iterable[str] = (),
) -> Job:
    """Read and check a config file, or a Python script.

    Args:
        path: Of either.
        overrides: `KEY=VALUE` changes of a config.
        host: The plugins to use.
        arguments: Of a script.
        compat: Import names of other projects that our packages stand in for; `mlcore.standins`.

    Raises:
        ConfigError: Where and what is wrong, and what to write instead.
        PluginError: A plugin that it needs is missing or broken.
    """
    overrides, arguments, compat = tuple(overrides), tuple(arguments), tuple(compat)
    source = _resolved(path)
    if source.suffix == ".py":
        return _check(_script(path, overrides, arguments, compat), source.parent, (), _name_of(source), host)
    if arguments:
        raise ConfigError(f"{path} is a config, which takes no arguments", hint=_set_arguments(arguments))
    if compat:
        overrides = (*overrides, f"compat=[{', '.join(compat)}]")
    config = Config.read(path, overrides=overrides)
    folder = source if source.is_dir() else source.parent
    return _check(config, folder, overrides, _name_of(folder if source.stem == "config" else source), host)


def _resolved(path: str | Path) -> Path:
    try:
        found = Path(path).resolve()
        with suppress(FileNotFoundError):  # whoever reads it says so, and what is there instead
            found.stat()
    except (ValueError, OSError, RuntimeError) as error:  # a null byte, a circle of links, a folder that is closed
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{str(path)!r} is no path to a config: {reason}") from error
    return found


def _script(
    path: str | Path, overrides: tuple[str, ...], arguments: tuple[str, ...], compat: tuple[str, ...]
) -> Config:
    from mlcore.runs.script import script_config

    if overrides:
        what = f"{overrides[0]!r} would change a config, but {path} is a script"
        raise ConfigError(what, hint=f"arguments of a script come after --: mlcore run {path} -- {' '.join(overrides)}")
    return script_config(Path(path), arguments, compat)


def _set_arguments(arguments: tuple[str, ...]) -> str:
    return f"for a script's config: arguments='[{', '.join(arguments)}]'"


def _name_of(path: Path) -> str:
    """A run's name by its config's path; none where that could not be stored."""
    with suppress(StoreError):
        return model_name(path.stem)
    return ""


def _check(config: Config, source: Path, overrides: tuple[str, ...], name: str, host: PluginHost | None) -> Job:
    host = host or current_host()
    runner_name, runner = choose_runner(config, host)
    with importable(source), use_host(host):
        settings = config.validate(runner.schema)
        with standing_in(settings.compat, host):
            runner.check(config)
    return Job(config, settings, runner_name, runner, source, overrides, name)


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
    """Execute a run to its end, or until a signal stops it.

    Raises:
        SystemExit: A script ended with that code.
    """
    at_once = not getattr(job.runner, "has_borders", True)
    with importable(job.source), run, standing_in(job.settings.compat, run.host) as hidden:
        for line in hidden:
            run.bus.channel(Warned).emit(Warned(line))
        with interruptible(run, at_once=at_once) as interruption:
            job.runner.execute(run)
    return interruption


def run_file(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    arguments: Iterable[str] = (),
    compat: Iterable[str] = (),
    store: Store | str | None = None,
    name: str | None = None,
    seed: int | None = None,
    host: PluginHost | None = None,
) -> RunView:
    """Run a config file or a script: what `mlcore run` does, from Python.

    Args:
        path: YAML, JSON or Python.
        overrides: `KEY=VALUE`, values as YAML.
        arguments: Of a script.
        compat: Import names of other projects that our packages stand in for.
        store: Where the run is kept.
        name: Of the run.
        seed: Of everything random.
        host: The plugins to use.

    Raises:
        RunError: A script ended with an exit code other than 0.
    """
    job = plan_job(path, overrides, host, arguments=arguments, compat=compat)
    run = start_job(job, store=store, name=name, seed=seed, host=host)
    try:
        execute_job(job, run)
    except SystemExit as ending:
        raise RunError(f"{path} ended with exit code {ending.code}", hint=f"mlcore runs log {run.id}") from ending
    return RunView(run.store, run.folder)
