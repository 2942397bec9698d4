"""Programs for `test_store_faults.py`: real processes that race and die. Run as `store_processes.py WHAT FOLDER N`."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time

from mlcore.errors import KeyExistsError
from mlcore.store import Folder

# Large enough that a kill often falls between its two writes.
CONTENT = bytes(range(256)) * 8192


def race(url: str, rounds: int) -> None:
    """Two processes create the same keys; each writes down which it won."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    racers = [context.Process(target=_race, args=(url, rounds, barrier, name)) for name in ("one", "two")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    sys.exit(max(racer.exitcode or 0 for racer in racers))


def _race(url: str, rounds: int, barrier, name: str) -> None:
    folder, won = Folder(url), []
    for number in range(rounds):
        barrier.wait(timeout=60)
        try:
            folder.create(f"keys/{number}", name.encode(), sync=False)
        except KeyExistsError:
            continue
        won.append(str(number))
    folder.put_bytes(name, "\n".join(won).encode())


def kill(url: str, times: int) -> None:
    """Start writers and kill each at a random moment."""
    moments = random.Random(7)
    for number in range(times):
        child = os.fork()
        if not child:
            _write(Folder(url), number)
        time.sleep(moments.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _write(folder: Folder, writer: int) -> None:
    for number in range(1_000_000):
        folder.create(f"created/{writer}-{number}", CONTENT, sync=False)
        folder.put_bytes(f"put/{writer % 3}", CONTENT, sync=False)


if __name__ == "__main__":
    {"race": race, "kill": kill}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
