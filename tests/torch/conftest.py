"""torch is no dependency of anything but its backend: these tests run where it is installed, in `nox -s torch`."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("mlcore_torch") else ["test_*.py"]
