"""Which store a command uses, and why."""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "MLCORE_STORE"
_PROJECT = "pyproject.toml"
_DEFAULT = ".mlcore"
_current: ContextVar[str | None] = ContextVar("mlcore_store", default=None)


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """A store's URL, and what chose it.

    Args:
        url: An absolute path, or a URL.
        reason: For people: `--store`, `the current run`, `MLCORE_STORE`, `[tool.mlcore] in pyproject.toml`, `default`.
    """

    url: str
    reason: str


def find_store(
    explicit: str | os.PathLike[str] | None = None, cwd: str | os.PathLike[str] | None = None
) -> StoreChoice:
    """Choose a store; touch nothing.

    The first of these: what was asked for, the store of the run that this code is in, `MLCORE_STORE`, `store` below
    `[tool.mlcore]` in the nearest `pyproject.toml` upward, `.mlcore` beside that file, `.mlcore` in the working folder.

    Args:
        explicit: What was asked for (`--store`).
        cwd: The working folder; that of the process by default.

    Raises:
        ConfigError: `pyproject.toml` cannot be read, or its `store` is no text.
    """
    here = Path(cwd or Path.cwd()).absolute()
    if explicit:
        return StoreChoice(_absolute(os.fspath(explicit), here), "--store")
    if (current := _current.get()) is not None:
        return StoreChoice(current, "the current run")
    if named := os.environ.get(VARIABLE):
        return StoreChoice(_absolute(named, here), VARIABLE)
    project = next((folder for folder in (here, *here.parents) if (folder / _PROJECT).is_file()), None)
    if project and (configured := _configured(project / _PROJECT)):
        return StoreChoice(_absolute(configured, project), f"[tool.mlcore] in {_PROJECT}")
    return StoreChoice(str((project or here) / _DEFAULT), "default")


@contextmanager
def use_store(url: str) -> Iterator[None]:
    """Let `find_store` answer with this store within the block, as a run does with its own."""
    token = _current.set(url)
    try:
        yield
    finally:
        _current.reset(token)


def _absolute(url: str, base: Path) -> str:
    """A path seen from `base`; a URL as it is."""
    if "://" in url or "::" in url:
        return url
    return os.path.abspath(base / Path(url).expanduser())  # noqa: PTH100 - Path keeps `..`


def _configured(path: Path) -> str | None:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not valid TOML: {error}", where=_place(path, error), hint=_hint()) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"this file cannot be read: {error}", where=str(path), hint=_hint()) from error
    tool = document.get("tool", {})
    section = tool.get("mlcore", {}) if isinstance(tool, dict) else {}
    store = section.get("store") if isinstance(section, dict) else section
    if store is None or (isinstance(store, str) and store):
        return store
    raise ConfigError(
        f"[tool.mlcore] store is {store!r}, not a path or URL", where=str(path), hint='write store = "path/or/url"'
    )


def _place(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """File, line and column; before Python 3.14 these are known from the message only."""
    found = re.search(r"line (\d+), column (\d+)", str(error))
    if found:
        return f"{path}:{found[1]}:{found[2]}"
    return f"{path}:{len(path.read_text(encoding='utf-8').splitlines())}" if "end of" in str(error) else str(path)


def _hint() -> str:
    return "mend the file, or name a store with --store"
