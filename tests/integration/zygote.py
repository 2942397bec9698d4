"""Runs `mlcore` commands in forks of one process that has imported everything, which takes longer than the job.

Reads a job a line, as JSON: `argv`, `cwd`, `out`, `err` (files), `deadly` (the write to die at, or null), `tell` (a
file for the number of writes, or null). Answers two lines: the process id, and later the exit code (negative: the
signal).
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import mlcore.cli
import mlcore.runs
from mlcore.journal import sink
from mlcore.store import draft, local

# What a job imports in its course.
for name in ("emloop_compat.hooks", "emloop_compat.runner", "sklearn.backend", "sklearn.canonical", "sklearn.model"):
    importlib.import_module(f"mlcore_{name}")
for name in ("datasets", "linear_model", "neural_network"):
    importlib.import_module(f"sklearn.{name}")


class Writes:
    """Counts what changes the store, and dies with SIGKILL at the one that is wanted.

    Before a draft gets its name, before a file is removed, when half of a journal's line is written, and when a folder
    is out of sight but not gone. What lies between two of these changes no name.
    """

    def __init__(self, deadly):
        self.deadly, self.number = deadly, 0
        for owner, name in (
            (draft.Draft, "replace"),
            (draft.Draft, "link"),
            (local.Local, "remove"),
            (local, "_remove"),
        ):
            self._watch(owner, name)
        self._watch(sink.LocalSink, "_write", half=True)

    def _watch(self, owner, name, *, half=False):
        real = getattr(owner, name)

        def watched(*args):
            self.number += 1
            if self.number == self.deadly:
                if half:
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        setattr(owner, name, watched)


def work(job):
    for number, path, flags in ((1, job["out"], os.O_WRONLY), (2, job["err"], os.O_WRONLY)):
        os.dup2(os.open(path, flags | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["cwd"])
    sys.path[0] = ""  # as for the installed command, where this file's folder is not on the path
    sys.argv = ["mlcore", *job["argv"]]
    writes = Writes(job["deadly"])
    try:
        mlcore.cli.main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - told, as Python would
        sys.excepthook(*sys.exc_info())
        code = 70
    else:
        code = 0
    if job["tell"]:
        Path(job["tell"]).write_text(str(writes.number))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve():
    for line in sys.stdin:
        child = os.fork()
        if not child:
            work(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
