"""Configuration: YAML with positions, overrides, references and validation. `Config` is the one door."""

from __future__ import annotations

from mlcore.config.config import Config

__all__ = ["Config"]
