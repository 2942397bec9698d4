"""Writing an epoch's results to the log."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.hooks.arguments import as_list, check_choice
from mlcore_emloop_compat.types import EpochData, HookKeyError, HookTypeError

log = logging.getLogger(__name__)


class LogVariables(AbstractHook):
    """Logs scalars of `epoch_data`, and mappings of aggregations to scalars.

    Args:
        variables: Which ones; all by default.
        on_unknown_type: What to do with anything else: `error`, `warn`, `str` (log it as text) or `ignore`.
        kwargs: See `AbstractHook`.
    """

    UNKNOWN_TYPE_ACTIONS = ("error", "warn", "str", "ignore")

    def __init__(self, variables: Iterable[str] | None = None, on_unknown_type: str = "ignore", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._on_unknown_type = check_choice(self, "on_unknown_type", on_unknown_type, self.UNKNOWN_TYPE_ACTIONS)
        self._variables = None if variables is None else as_list(self, "variables", variables)

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Log a line for each variable."""
        log.info("After epoch %s", epoch_id)
        for stream_name, stream_data in epoch_data.items():
            if isinstance(stream_data, Mapping):
                self._log_stream(stream_name, stream_data)

    def _log_stream(self, stream: str, data: Mapping[str, Any]) -> None:  # whatever hooks wrote
        for variable in data if self._variables is None else self._variables:
            if variable not in data:
                raise HookKeyError(
                    f"LogVariables finds no variable {variable!r} in stream {stream!r}",
                    hint=f"it has: {', '.join(data)}",
                )
            self._log_variable(f"{stream} {variable}", data[variable])

    def _log_variable(self, label: str, value: Any) -> None:  # whatever hooks wrote
        if isinstance(value, numbers.Real):
            log.info("\t%s: %f", label, value)
        elif isinstance(value, Mapping) and all(isinstance(item, numbers.Real) for item in value.values()):
            for aggregation, number in value.items():
                log.info("\t%s %s: %f", label, aggregation, number)
        else:
            self._log_unknown(label, value)

    def _log_unknown(self, label: str, value: Any) -> None:  # whatever hooks wrote
        message = f"{label} is a {type(value).__name__}, which LogVariables cannot log as a number"
        if self._on_unknown_type == "error":
            raise HookTypeError(message, hint="name the variables to log, or set on_unknown_type")
        if self._on_unknown_type == "warn":
            log.warning(message)
        if self._on_unknown_type == "str":
            log.info("\t%s: %s", label, value)

    def state_dict(self) -> Mapping[str, Any]:
        """It remembers nothing."""
        return {}
