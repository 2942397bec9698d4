"""What every test starts from: no settings of the person who runs it, and hypothesis without a clock."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A shell starts background jobs with Ctrl+C ignored, and every program that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("mlcore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "mlcore")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path_factory):
    for name in [name for name in os.environ if name.startswith("MLCORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("MLCORE_SPOOL", str(tmp_path_factory.getbasetemp() / "spool"))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def empty_memory():
    """Nothing is left in `memory://`, which is one place for the whole process."""
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
