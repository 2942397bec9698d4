"""Random generators of a run: named ones of its own, and the state of the global ones.

A run's generators depend on its seed and their name only, never on the order in which they are asked for.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlcore.plugins import PluginHost

if TYPE_CHECKING:
    import numpy as np


def draw_seed() -> int:
    """A seed for a run that was given none: 32 bits."""
    return random.SystemRandom().getrandbits(32)


def generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for a seed and a name; NumPy's SeedSequence mixes them."""
    import numpy as np

    return np.random.default_rng([seed, *name.encode()])


def seed_everything(seed: int, host: PluginHost) -> None:
    """Seed the global generators of Python, NumPy and the frameworks in use."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    for _, backend in _backends_in_use(host):
        if hasattr(backend, "seed"):
            backend.seed(seed)


def global_state(host: PluginHost) -> dict[str, Any]:  # states as the checkpoint keeps them
    """The state of every global generator: Python's, NumPy's, and those of the frameworks in use."""
    import numpy as np

    backends = {name: backend.rng_state() for name, backend in _backends_in_use(host)}
    return {"python": random.getstate(), "numpy": np.random.get_state(), "backends": backends}


def set_global_state(state: Mapping[str, Any], host: PluginHost) -> None:
    """Put back what `global_state` returned."""
    import numpy as np

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    kept = state["backends"]
    for name, backend in _backends_in_use(host, kept):
        if kept.get(name) is not None:
            backend.set_rng_state(kept[name])


def _backends_in_use(host: PluginHost, wanted: Mapping[str, Any] | None = None) -> list[tuple[str, Any]]:
    """Backends whose framework is imported: asking the others would import theirs for nothing."""
    found = []
    for entry in host.backends.values():
        frameworks = entry.options.get("frameworks", ())
        if any(name in sys.modules for name in frameworks) or (wanted and wanted.get(entry.name) is not None):
            found.append((entry.name, host.backends.resolve(entry.name)()))
    return found
