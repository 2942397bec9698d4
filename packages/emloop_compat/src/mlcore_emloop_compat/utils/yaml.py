"""YAML in and out, safely."""

from __future__ import annotations

from io import StringIO
from typing import Any


def parse(text: str) -> Any:  # any YAML value
    """Parse YAML without constructing anything but plain values."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def dump(value: Any) -> str:  # any YAML value
    """Write a value as YAML."""
    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared as None
    yaml.dump(value, stream)
    return stream.getvalue()
