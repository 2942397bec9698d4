"""Fills the slot of the ruler `dist.py` with the executor `process`.

    dist.py --backend benchmarks/plugs/dist.py:Backend

The ruler submits calls one by one and the executor maps: a thread maps whatever has been submitted by then, again and
again, and gives the outcomes to futures. What is submitted while a `map` has read its last payload waits for the next.
"""

import queue
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

from mlcore.execution import ProcessExecutor, Result

sys.path.append(str(Path(__file__).resolve().parent))  # workers find `dist_calls` there


class Backend:
    """Futures on top of `map`."""

    def start(self):
        self._executor = ProcessExecutor(workers=2)
        self._submitted = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, function, *arguments):
        future = Future()
        self._submitted.put((future, (function, arguments)))
        return future

    def result(self, future, timeout=60):
        return future.result(timeout)

    def pids(self):
        return []

    def stop(self):
        self._executor.close()

    def _work(self):
        while True:
            futures = []
            payloads = self._payloads(self._submitted.get(), futures)
            for number, outcome in self._executor.map("dist_calls:call", payloads):
                _settle(futures[number], outcome)

    def _payloads(self, item, futures):
        while item:
            future, payload = item
            futures.append(future)
            yield payload
            item = None if self._submitted.empty() else self._submitted.get()


def _settle(future, outcome):
    if isinstance(outcome, Result):
        future.set_result(outcome.value)
    else:
        future.set_exception(RuntimeError(f"{outcome.error}: {outcome.message}"))
