"""The runner `script`: any Python program as a run, by `mlcore run train.py -- ARGUMENTS` or from a config."""

from __future__ import annotations

import runpy
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ConfigDict, Field

from mlcore.config import Config
from mlcore.errors import ConfigError, nearest
from mlcore.events import Warned
from mlcore.runs.console import Console
from mlcore.runs.run import Run
from mlcore.runs.runner import RunSettings
from mlcore.runs.source import source_folder

# What scripts print, below a run's `directory`.
CONSOLE = "console.log"


class ScriptSettings(RunSettings):
    """The config of a script."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    script: str = Field(description="A Python file; a relative path begins at the config's folder")
    arguments: list[str] = Field([], description="What the script finds in sys.argv, after its own name")


def script_config(path: Path, arguments: Iterable[str], compat: Iterable[str] = ()) -> Config:
    """The config of a script that was named on the command line, as if it lay in the script's folder."""
    # What refers to something in a config is plain text in an argument.
    escaped = [word.replace("${", "$${") for word in arguments]
    given = {"compat": list(compat)} if compat else {}
    return Config.of({"runner": "script", "script": path.name, "arguments": escaped, **given})


class ScriptRunner:
    """Runs a Python program in this process, as `python` would."""

    schema: type[RunSettings] = ScriptSettings
    has_borders = False

    def check(self, config: Config) -> None:
        """See whether there is such a program, and whether it is Python."""
        path = _path(config.validate(ScriptSettings))
        if not path.is_file():
            here = [other.name for other in path.parent.glob("*.py")]
            hint = nearest(path.name, here) if here else f"there is no Python file in {path.parent}"
            raise config.error("script", f"there is no file {path}", hint)
        try:
            _compile(path)
        except OSError as error:
            raise config.error("script", f"{path} cannot be read: {error.strerror}") from error

    def plan(self, config: Config) -> Iterable[str]:
        """Name the program."""
        settings = config.validate(ScriptSettings)
        yield " ".join([f"script   {_path(settings)}", *settings.arguments])

    def execute(self, run: Run) -> None:
        """Run it, and keep what it prints."""
        settings = run.config.validate(ScriptSettings)
        path, log = _path(settings), run.directory / CONSOLE
        if run.attempt.number > 1:
            _add(log, f"--- attempt {run.attempt.number} ---\n")
        console = Console(log)
        try:
            with console:
                _run(path, settings.arguments)
        except KeyboardInterrupt:
            if run.stopping is None:
                raise
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name and error.name in run.host.standins:
                error.add_note(f"{run.host.standins[error.name].target} can stand in for it: --compat={error.name}")
            _add(log, _told(error, path))
            raise
        if console.trouble:
            run.bus.channel(Warned).emit(Warned(f"{CONSOLE} is not complete: {console.trouble}"))


def _path(settings: ScriptSettings) -> Path:
    return Path(source_folder(), settings.script)


def _compile(path: Path) -> None:
    """See whether it is Python.

    Raises:
        ConfigError: It is not.
    """
    with warnings.catch_warnings(action="ignore"):  # they come when it runs
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            text = (getattr(error, "text", None) or "").strip()
            where = f"{path}:{line}:{getattr(error, 'offset', None) or 1}" if line else str(path)
            what = f"this is no Python: {getattr(error, 'msg', error)}"
            raise ConfigError(what, where=where, hint=f"look at: {text}" if text else None) from error


def _run(path: Path, arguments: Sequence[str]) -> None:
    """Run a program to its end; one that does not exit with 0 raises SystemExit with its code."""
    with _as_main(path, arguments):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ending:
            if ending.code is not None and not isinstance(ending.code, int):
                print(ending.code, file=sys.stderr)  # noqa: T201 - so does Python
                raise SystemExit(1) from ending
            if ending.code:
                raise


@contextmanager
def _as_main(path: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Let `sys` look as it does for a program's first line."""
    argv, folder = sys.argv, str(path.parent)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv = argv
        if folder in sys.path:
            sys.path.remove(folder)


def _told(error: Exception, path: Path) -> str:
    """The traceback from the program's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _add(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
