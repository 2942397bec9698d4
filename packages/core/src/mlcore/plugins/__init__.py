"""Plugins: found by entry points, loaded one by one, asked for what they registered.

    host = PluginHost(block=("sweep",))
    host.load()
    host.records                         # what was found, and what became of it
    host.runners.resolve("main_loop")    # imports the class

A plugin that fails is a record and one line of warning. It is an error, with its cause, only for what needs it.
Importing this package loads no plugin, and not pluggy either.
"""

from __future__ import annotations

from mlcore.plugins.context import current_host, use_host
from mlcore.plugins.discovery import Command, command_entry_points
from mlcore.plugins.host import DISABLE, PluginHost
from mlcore.plugins.records import PluginRecord
from mlcore.plugins.registry import Entry, Registry
from mlcore.plugins.report import Finding, Report
from mlcore.plugins.targets import check_target, import_target

__all__ = [
    "DISABLE",
    "Command",
    "Entry",
    "Finding",
    "PluginHost",
    "PluginRecord",
    "Registry",
    "Report",
    "check_target",
    "command_entry_points",
    "current_host",
    "import_target",
    "use_host",
]
