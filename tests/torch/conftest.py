"""torch is no dependency of anything but its backend: these tests run where it is installed, in `nox -s torch`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

collect_ignore_glob = [] if find_spec("torch") and find_spec("mlcore_torch") else ["test_*.py"]

# The modules that the tests train are imported by their name, as a user's are.
sys.path.append(str(Path(__file__).parent))
