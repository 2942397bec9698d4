"""Fixtures for the tests of plugins and projects.

In `conftest.py`:

    pytest_plugins = ["mlcore.testing.pytest_plugin"]

Nothing loads it unasked: an entry point would do so in every session of everybody who has mlcore installed, whatever
they test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcore.plugins import PluginHost, use_host
from mlcore.runs import Run, start_run
from mlcore.store import Store

__all__ = ["mlcore_host", "mlcore_run", "mlcore_store"]


@pytest.fixture
def mlcore_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which everything in the test uses that is not told of another."""
    path = tmp_path / "store"
    monkeypatch.setenv("MLCORE_STORE", str(path))
    return Store(str(path))


@pytest.fixture
def mlcore_host() -> Iterator[PluginHost]:
    """The plugins of the test: the core, and what it adds by `mlcore_host.add("name", module)`."""
    with use_host(PluginHost(allow=(), strict=True).load()) as host:
        yield host


@pytest.fixture
def mlcore_run(mlcore_store: Store, mlcore_host: PluginHost) -> Iterator[Run]:
    """A run in that store with these plugins, seeded, and the current one."""
    with start_run(store=mlcore_store, name="test", seed=1, host=mlcore_host) as run:
        yield run
