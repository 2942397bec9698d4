"""What a run was started with: command, code, packages, machine, variables. All but the variables once a process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mlcore.config import hide, hide_command, hide_setting

# A longer difference from the commit is cut.
DIFF_LIMIT = 1 << 20


def describe(source: Path | None = None) -> dict[str, Any]:  # JSON values
    """Everything that helps to see why two runs differ, but for secrets.

    Args:
        source: The folder that the code comes from; the working folder by default.
    """
    return {
        "command": hide_command(sys.argv),
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "machine": _machine(),
        "git": _git(str(source or Path.cwd())),
        "packages": _packages(),
        "variables": {name: _shown(name, value) for name, value in sorted(os.environ.items())},
    }


@cache
def difference(source: str) -> bytes | None:
    """What differs from the commit in tracked files, secrets blanked; None where nothing does."""
    facts = _git(source)
    if not facts or not facts["dirty"]:
        return None
    base = "HEAD" if facts["commit"] else "--cached"
    text = _ask(source, "diff", "--no-color", "--no-ext-diff", "--no-textconv", base, limit=DIFF_LIMIT + 1)
    if text is None:
        return None
    cut = "\n(cut here: it is longer than 1 MB)\n" if len(text) > DIFF_LIMIT else ""
    return (hide(text[:DIFF_LIMIT]) + cut).encode("utf-8", "surrogateescape")


_shown = cache(hide_setting)


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
    """Commit, branch, and whether tracked files differ from it; None outside of a repository."""
    said = _ask(directory, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if said is None:
        return None
    lines = said.splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = heads.get("branch.oid"), heads.get("branch.head")
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("#") for line in lines),
    }


def _ask(directory: str, *words: str, limit: int = 1 << 20) -> str | None:
    """The beginning of what git says; None where there is no git, no repository, or no answer in time."""
    command = ["git", "--no-optional-locks", "-C", directory, *words]
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(command, stdout=output, stderr=subprocess.DEVNULL, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        output.seek(0)
        return output.read(limit).decode("utf-8", "surrogateescape") if done.returncode == 0 else None
