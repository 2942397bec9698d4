"""Configuration: YAML with positions, overrides, references and validation. `Config` is the one door.

`hide` and `without_secret` blank secrets in what is recorded of a command line.
"""

from __future__ import annotations

from mlcore.config.config import Config
from mlcore.config.overrides import without_secret
from mlcore.config.secrets import hide

__all__ = ["Config", "hide", "without_secret"]
