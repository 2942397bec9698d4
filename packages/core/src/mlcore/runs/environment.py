"""What a run was started with: command, code, packages, machine. Gathered once a process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mlcore.config import hide


def describe() -> dict[str, Any]:  # JSON values
    """Everything that helps to see why two runs differ."""
    return {
        "command": [hide(word) for word in sys.argv],
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "machine": _machine(),
        "git": _git(str(Path.cwd())),
        "packages": _packages(),
    }


@cache
def _machine() -> dict[str, Any]:  # JSON values
    return {
        "system": platform.system(),
        "release": platform.release(),
        "arch": platform.machine(),
        "cpus": os.cpu_count(),
    }


@cache
def _packages() -> dict[str, str]:
    found = ((dist.metadata["Name"], dist.version) for dist in metadata.distributions())
    return dict(sorted((name, version) for name, version in found if name))


@cache
def _git(directory: str) -> dict[str, Any] | None:  # JSON values
    commit = _ask(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {
        "commit": commit,
        "branch": _ask(directory, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(_ask(directory, "status", "--porcelain", "--untracked-files=no")),
    }


def _ask(directory: str, *words: str) -> str | None:
    """What git says; None where there is no git, no repository, or no answer."""
    try:
        done = subprocess.run(["git", "-C", directory, *words], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
