"""Configuration: YAML with positions, overrides, references and validation. `Config` is the one door.

`hide` and its like blank secrets in what is recorded of a command line and of its surroundings.
"""

from __future__ import annotations

from mlcore.config.config import Config
from mlcore.config.interpolation import fill_environment
from mlcore.config.overrides import without_secret
from mlcore.config.secrets import hide, hide_command, hide_setting

__all__ = ["Config", "fill_environment", "hide", "hide_command", "hide_setting", "without_secret"]
