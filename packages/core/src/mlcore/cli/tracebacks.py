"""Tracebacks as their readers need them: the user's code and the libraries that it called, without our own frames."""

from __future__ import annotations

import functools
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlcore.plugins.registry import PUBLISHED

_LIBRARIES = ("site-packages", "dist-packages")


def whole(error: BaseException) -> str:
    """Everything."""
    return "".join(traceback.format_exception(error))


def trimmed(error: BaseException) -> str | None:
    """The traceback without our frames; None where nothing else is left, so that it is no error of the user's code."""
    shown = traceback.TracebackException.from_exception(error)
    if not _foreign(shown.stack):
        return None
    each: Any = shown  # a TracebackException, or None at the end of the chain
    while each is not None:
        each.stack = traceback.StackSummary.from_list(_foreign(each.stack))
        each = each.__cause__ or each.__context__
    return "".join(shown.format())


def last_user_frame(error: BaseException) -> str | None:
    """Where the user's own code was when an error of ours was raised, if it was there at all."""
    own = [frame for frame in _foreign(traceback.extract_tb(error.__traceback__)) if _is_users(frame.filename)]
    return _place(own[-1]) if own else None


def last_frame(error: BaseException) -> str | None:
    """Where an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return _place(frames[-1]) if frames else None


def _place(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    known = [Path.cwd(), *(folder.parent for folder in _our_folders())]
    shown = next((path.relative_to(folder) for folder in known if path.is_relative_to(folder)), path)
    return f"{shown}:{frame.lineno} in {frame.name}"


def _foreign(frames: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The frames that are not ours; of the standard library those that foreign ones called."""
    kept: list[traceback.FrameSummary] = []
    after_ours = True
    for frame in frames:
        if not _is_standard(frame.filename):
            after_ours = _is_ours(frame.filename)
        if not after_ours:
            kept.append(frame)
    return kept


def _is_users(filename: str) -> bool:
    return not _is_standard(filename) and not any(part in _LIBRARIES for part in Path(filename).parts)


@functools.cache
def _is_ours(filename: str) -> bool:
    return any(Path(filename).is_relative_to(folder) for folder in _our_folders())


def _our_folders() -> list[Path]:
    """Where the packages that we publish were imported from: the core, and its plugins that are in use."""
    published = {name.replace("-", "_") for kind in PUBLISHED.values() for name in kind.values()}
    modules = [sys.modules[name] for name in ("mlcore", *published) if name in sys.modules]
    return [Path(module.__file__).parent for module in modules if module.__file__]


def _is_standard(filename: str) -> bool:
    if filename.startswith("<frozen"):
        return True
    path = Path(filename)
    inside = path.is_relative_to(sysconfig.get_path("stdlib"))
    return inside and not any(part in _LIBRARIES for part in path.parts)
