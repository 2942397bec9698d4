"""Which process this is, and whether another one is still alive.

A process is named by its machine (host, boot, pid namespace), its pid and its start time, so that neither a reboot
nor a reused pid makes a dead process look alive.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Process:
    """A process of some machine.

    Args:
        host: The machine's name.
        boot: Identifies this start of the machine, and the pid namespace of a container.
        pid: Process id.
        started: When it started, in the system's own words; only compared for equality.
    """

    host: str
    boot: str
    pid: int
    started: str | None

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(platform.node(), _boot(), os.getpid(), _started(os.getpid()))

    def alive(self) -> bool | None:
        """Whether it still runs; None when it belongs to another machine, so that nobody here can tell."""
        if self.host != platform.node():
            return None
        if self.boot != _boot():
            # The same host name: an earlier boot is gone, but another container's pids are not ours to judge.
            return None if self.boot.partition("/")[0] == _boot().partition("/")[0] else False
        return _started(self.pid) == self.started and self.started is not None


@cache
def _boot() -> str:
    return f"{_boot_id()}/{_pid_namespace()}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # macOS
        return _output("sysctl", "-n", "kern.bootsessionuuid") or "unknown"


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started; None when there is none, or only its unreaped remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else _output("ps", "-o", "lstart=", "-p", str(pid))
    except OSError:
        return None
    # proc(5): the command name may hold blanks and brackets; after its last bracket come state (3rd) … start (22nd).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _output(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
