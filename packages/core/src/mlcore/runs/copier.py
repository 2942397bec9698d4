"""A process of its own that copies what a run prints into the run's log, and on to where it would have gone.

It is a process, not a thread, so that what was printed is kept whatever happens to the run's process, and so that code
which holds Python's lock while it prints cannot wait for itself. It imports nothing of mlcore: it must start quickly.

    copier.py LOG CONTROL REPLY SOURCE:TARGET…      all of them numbers of open files

A byte on CONTROL (or its end) asks for everything printed so far to be copied; what went wrong is written to REPLY,
which is then closed. After that it goes on for children that outlive the run, until all sources have ended.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
from collections.abc import Iterable
from contextlib import suppress

_CHUNK = 1 << 16
# What was written to a terminal arrives at its other end a moment later.
_MOMENT = 0.02
_SIZE = bytes(8)


class Copier:
    """Copies until told to stop.

    Args:
        log: Takes everything.
        control: See above.
        reply: See above.
        routes: From each source to its target.
    """

    def __init__(self, log: int, control: int, reply: int, routes: dict[int, int]) -> None:
        self._control, self._reply, self._routes = control, reply, routes
        self._broken: dict[int, str] = {}
        self._log = log
        self._sizes: dict[int, bytes] = {}

    def run(self) -> None:
        """Copy until nobody can write any more."""
        waiting = True
        while self._routes:
            watched = [*self._routes, *([self._control] if waiting else [])]
            ready, _, _ = select.select(watched, [], [], None if waiting or not self._reply else _MOMENT)
            if not ready:
                self._answer()
            for source in ready:
                if source == self._control:
                    waiting = False
                else:
                    self._copy(source)
        self._answer()

    def _copy(self, source: int) -> None:
        target = self._routes[source]
        try:
            data = os.read(source, _CHUNK)
        except OSError:  # how a terminal says that its other end is closed
            data = b""
        if not data:
            del self._routes[source]
            return
        self._follow_size(source, target)
        for place in (self._log, target):
            self._write(place, data)

    def _write(self, place: int, data: bytes) -> None:
        """Write all of it; a place that failed once gets no more."""
        while data and place not in self._broken:
            try:
                data = data[os.write(place, data) :]
            except BlockingIOError:
                select.select([], [place], [])
            except OSError as error:
                self._broken[place] = error.strerror or str(error)

    def _follow_size(self, source: int, target: int) -> None:
        """Make the terminal that the run sees as large as the real one."""
        if not os.isatty(source):
            return
        try:
            size = fcntl.ioctl(target, termios.TIOCGWINSZ, _SIZE)
            if size != self._sizes.get(source):
                fcntl.ioctl(source, termios.TIOCSWINSZ, size)
                self._sizes[source] = size
        except OSError:
            return  # the real one is gone

    def _answer(self) -> None:
        if self._reply:
            with suppress(OSError):  # the run's process may be dead
                os.write(self._reply, self._broken.get(self._log, "").encode())
            os.close(self._reply)
            self._reply = 0


def main(arguments: Iterable[str]) -> None:
    """Run the program."""
    log, control, reply, *pairs = arguments
    routes = [pair.split(":") for pair in pairs]
    Copier(int(log), int(control), int(reply), {int(source): int(target) for source, target in routes}).run()


if __name__ == "__main__":
    main(sys.argv[1:])
