"""Run one function over many independent payloads.

Payloads are plain data and URLs, and the function is named by a string, so that an executor may work in other processes
or on other machines. `serial` works here and now, `process` in other processes of this machine; plugins bring more (see
`mlcore_register_executors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcore.execution.functions import import_function
from mlcore.execution.keys import Key, Keys
from mlcore.execution.outcomes import Failure, Outcome, Result, call
from mlcore.execution.protocol import Executor, check_retries, open_executor, use_executor
from mlcore.execution.serial import SerialExecutor

if TYPE_CHECKING:
    from mlcore.execution.process import ProcessExecutor

__all__ = [
    "Executor",
    "Failure",
    "Key",
    "Keys",
    "Outcome",
    "ProcessExecutor",
    "Result",
    "SerialExecutor",
    "call",
    "check_retries",
    "import_function",
    "open_executor",
    "use_executor",
]


def __getattr__(name: str) -> object:
    # Loaded when asked for: it brings `subprocess` and `selectors`, which its own workers and `serial` do without.
    if name == "ProcessExecutor":
        from mlcore.execution.process import ProcessExecutor

        return ProcessExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
