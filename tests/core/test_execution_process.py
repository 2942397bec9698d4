"""The executor `process`: what the suite for every executor does not ask."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlcore.errors import MlcoreError
from mlcore.execution import Failure, ProcessExecutor, Result, open_executor
from mlcore.plugins import PluginHost

CALLS = "mlcore.testing.calls"
MODULE = """
import os, signal, subprocess, sys, time

def environment(name):
    return os.environ.get(name)

def plugins(_):
    from mlcore.plugins import current_host
    return [record.name for record in current_host().records if record.status == "loaded"]

def leave(status):
    sys.exit(status)

def crash(_):
    os.abort()

def speak(word):
    print(word)
    print(word, file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)

def with_child(path):
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    open(path, "w").write(f"{os.getpid()} {child.pid}")
    time.sleep(600)

def hold(path):
    open(f"{path}-{os.getpid()}", "w").close()
    time.sleep(600)

class Own:
    def __init__(self, number): self.number = number
    def __eq__(self, other): return self.number == other.number
    def __hash__(self): return 0

def unreadable(_):
    return Unreadable()

class Unreadable:
    def __reduce__(self): return (int, ("no number",))

class Silent(Exception):
    def __str__(self): raise RuntimeError

def silent(_):
    raise Silent
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_functions.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_functions"
    sys.modules.pop("own_functions", None)


@pytest.fixture
def executor():
    with ProcessExecutor(workers=2) as executor:
        yield executor


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def gone(process):
    """Whether a process has ended; one that nobody has reaped has."""
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
        return listed.stdout.strip()[:1] in {"", "Z"}
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


def run(program, *arguments, **options):
    command = [sys.executable, *arguments, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_a_payload_that_kills_is_told_in_words(executor):
    found = dict(executor.map(f"{CALLS}:act", [{"kills": 99}, {"value": 2}], key=lambda step: f"v{step.get('value')}"))
    assert found["v2"].value == 2
    failure = found["vNone"]
    assert (failure.error, failure.deaths, failure.attempts) == ("WorkerDied", 3, 3)
    assert failure.message == "payload 'vNone' ended 3 workers, the last of which was killed by SIGKILL"


def test_deaths_can_be_chosen():
    with ProcessExecutor(workers=1, deaths=1) as executor:
        ((_, failure),) = executor.map(f"{CALLS}:act", [{"kills": 99}])
    assert failure.message == "payload 0 ended a worker, which was killed by SIGKILL"
    assert failure.deaths == 1


def test_other_ends_are_named(executor, module, capfd):
    ((_, left),) = executor.map(f"{module}:leave", [7])
    ((_, crashed),) = executor.map(f"{module}:crash", [0])
    assert "ended with exit status 7" in left.message
    assert "was killed by SIGABRT" in crashed.message


def test_deaths_and_exceptions_are_counted_apart(executor, tmp_path):
    step = {"log": str(tmp_path / "log"), "kills": 2, "fails": 3, "value": "at last"}
    ((_, outcome),) = executor.map(f"{CALLS}:act", [step], retries=1)
    assert outcome.value == "at last"


def test_many_deaths_among_many_quick_calls(executor, tmp_path):
    steps = [{"value": number} for number in range(2000)]
    for number in range(0, 2000, 100):
        steps[number] |= {"log": str(tmp_path / str(number)), "kills": 1}
    found = dict(executor.map(f"{CALLS}:act", steps))
    assert {key: outcome.value for key, outcome in found.items()} == {number: number for number in range(2000)}
    for number in range(0, 2000, 100):
        assert (tmp_path / str(number)).read_text() == "xx", "the wrong call was blamed or made again"


def test_a_call_that_has_ended_is_not_made_again(executor, tmp_path):
    steps = [{"log": str(tmp_path / str(number)), "value": number} for number in range(300)]
    steps.insert(299, {"kills": 99})
    list(executor.map(f"{CALLS}:act", steps))
    assert {(tmp_path / str(number)).read_text() for number in range(300)} == {"x"}


def test_a_worker_killed_between_two_maps_is_replaced(executor):
    ((_, first),) = executor.map(f"{CALLS}:process", [1])
    os.kill(first.value, signal.SIGKILL)
    outcomes = [outcome for _, outcome in executor.map(f"{CALLS}:process", range(20))]
    assert all(isinstance(outcome, Result) and outcome.value != first.value for outcome in outcomes)


def test_workers_are_kept_between_maps(executor):
    seen = {outcome.value for _ in range(20) for _, outcome in executor.map(f"{CALLS}:process", range(5))}
    assert 1 <= len(seen) <= 2


def test_quick_calls_behind_a_long_one_go_to_others(executor):
    steps = [*({"value": 0} for _ in range(2000)), {"sleep": 600}, *({"value": 0} for _ in range(2000))]
    outcomes = executor.map(f"{CALLS}:act", steps)
    assert sum(1 for _ in itertools.islice(outcomes, 4000)) == 4000


def test_timeout_is_kept_with_words_and_retries(executor, tmp_path):
    step = {"log": str(tmp_path / "log"), "sleep": 600}
    ((_, failure),) = executor.map(f"{CALLS}:act", [step], timeout=0.5, retries=1)
    assert (failure.error, failure.attempts, failure.deaths) == ("TimeoutError", 2, 0)
    assert failure.message == "the call took longer than 0.5 s, and its worker was ended"
    assert (tmp_path / "log").read_text() == "xx"


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "1", True])
def test_timeout_must_be_a_time(executor, timeout):
    with pytest.raises(MlcoreError, match="is no positive number of seconds"):
        executor.map(f"{CALLS}:same", [], timeout=timeout)


def test_what_cannot_be_sent_names_its_key(executor):
    payloads = {"good": 1, "lock": threading.Lock(), "better": 2}
    keys = iter(payloads)
    found = dict(executor.map(f"{CALLS}:same", payloads.values(), key=lambda _: next(keys)))
    assert (found["good"].value, found["better"].value) == (1, 2)
    assert found["lock"].message.startswith("payload 'lock' is no plain data: cannot pickle")
    assert (found["lock"].error, found["lock"].attempts) == ("TypeError", 0)


def test_what_a_worker_cannot_read_names_its_key(executor, module, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "Own", type("Own", (), {"__module__": "__main__"}), raising=False)
    found = dict(executor.map(f"{CALLS}:same", [1, sys.modules["__main__"].Own()]))
    assert found[0].value == 1
    assert "the payload is no plain data, a worker cannot read it: Can't get attribute 'Own'" in found[1].message
    assert found[1].attempts == 0


def test_results_that_cannot_be_sent_name_their_key(executor, module):
    ((_, there),) = executor.map(f"{CALLS}:odd", [0])
    ((_, here),) = executor.map(f"{module}:unreadable", ["x"], key=str)
    assert there.message.startswith("the result is no plain data: ")
    assert here.message.startswith("the result for payload 'x' is no plain data, it cannot be read here: ")


def test_an_exception_that_cannot_say_what_it_is(executor, module):
    ((_, failure),) = executor.map(f"{module}:silent", [0])
    assert failure.error == "own_functions.Silent"
    assert failure.message == "<its message cannot be read: RuntimeError>"


def test_large_payloads_and_results(executor):
    blobs = [os.urandom(3_000_000) for _ in range(6)]
    found = dict(executor.map(f"{CALLS}:same", blobs))
    assert [found[number].value for number in range(6)] == blobs


def test_the_path_and_environment_of_now_reach_workers(module, monkeypatch):
    monkeypatch.setenv("MLCORE_PLUGINS", "")
    monkeypatch.setenv("SOMETHING", "of now")
    with ProcessExecutor(workers=1) as executor:
        ((_, plugins),) = executor.map(f"{module}:plugins", [0])
        ((_, value),) = executor.map(f"{module}:environment", ["SOMETHING"])
    assert plugins.value == ["core"]
    assert value.value == "of now"


def test_a_path_added_later_reaches_warm_workers(executor, tmp_path, monkeypatch):
    list(executor.map(f"{CALLS}:same", [1]))
    (tmp_path / "come_later.py").write_text("def fn(_): return 'found'")
    monkeypatch.syspath_prepend(tmp_path)
    ((_, outcome),) = executor.map("come_later:fn", [1])
    assert outcome.value == "found"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("import what_is_not_there", "a worker cannot import 'broken:fn': ModuleNotFoundError: No module named"),
        ("raise ValueError('odd')", "a worker cannot import 'broken:fn': ValueError: odd"),
        ("class E(Exception):\n  def __init__(self, a, b): pass\nraise E(1, 2)", "a worker cannot import 'broken:fn'"),
        ("fun = 1", "module 'broken' has no function 'fn'"),
        ("fn = 1", "'broken:fn' is no function but 1"),
        ("import os; os._exit(3)", "3 workers in a row ended before .* the last one ended with exit status 3"),
    ],
)
def test_a_function_that_cannot_be_imported(executor, tmp_path, monkeypatch, text, wrong):
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        with pytest.raises(MlcoreError, match=wrong):
            executor.map("broken:fn", iter(lambda: pytest.fail("payloads were read"), None))
    (tmp_path / "broken.py").write_text("def fn(payload): return payload")
    assert len(list(executor.map(f"{CALLS}:same", [1]))) == 1, "the executor is of no more use"


def test_a_module_that_is_here_only_gets_a_hint(executor):
    with pytest.raises(MlcoreError, match="there is no module 'nowhere'") as caught:
        executor.map("nowhere:fn", [])
    assert (
        caught.value.hint == "a worker imports it by its name: it must be in a file in one of the folders of sys.path"
    )


def test_the_main_module_is_refused(executor):
    with pytest.raises(MlcoreError, match="'__main__:fn' is part of the program itself") as caught:
        executor.map("__main__:fn", [])
    assert caught.value.hint == "put the function into a module of its own"


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5"])
def test_a_wrong_number_of_workers(wrong):
    with pytest.raises(MlcoreError, match=r"workers=.* is no positive integer"):
        ProcessExecutor(wrong)
    with pytest.raises(MlcoreError, match="workers=0"):
        ProcessExecutor(workers=0)
    with pytest.raises(MlcoreError, match="deaths=0"):
        ProcessExecutor(deaths=0)


def test_it_is_opened_by_name():
    host = PluginHost(allow=()).load()
    with open_executor("process", host=host) as executor:
        assert executor.workers == os.cpu_count()
    with open_executor("process://3", host=host) as executor:
        assert executor.workers == 3


def test_output_passes_through(module, tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mlcore.execution import ProcessExecutor\n"
        "with ProcessExecutor(workers=1, deaths=1) as executor: list(executor.map('own_functions:speak', ['hello']))\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("hello\n", "hello\n")


def test_in_a_thread():
    found = []

    def work():
        with ProcessExecutor(workers=1) as executor:
            found.extend(outcome.value for _, outcome in executor.map(f"{CALLS}:same", [1, 2]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1, 2]


def test_a_main_module_without_guard_is_not_run_again(tmp_path):
    (tmp_path / "main.py").write_text(
        "print('once')\nfrom mlcore.execution import ProcessExecutor\n"
        "print(sorted(o.value for _, o in ProcessExecutor(workers=2).map('math:sqrt', [1, 4])))\n"
    )
    command = [sys.executable, "-W", "error", tmp_path / "main.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("once\n[1.0, 2.0]\n", "")


def test_mlcore_found_by_a_path_of_the_program_only(tmp_path):
    import mlcore

    source = str(Path(mlcore.__file__).parents[1])
    program = (
        f"import sys; sys.path.append({source!r})\nfrom mlcore.execution import ProcessExecutor\n"
        "with ProcessExecutor(workers=1) as executor: print(*executor.map('math:sqrt', [9]))"
    )
    done = run(program, "-S", env={})
    assert "Result(key=0, value=3.0" in done.stdout, done.stderr


def test_close_from_another_thread_ends_who_waits():
    executor = ProcessExecutor(workers=2)
    outcomes = executor.map(f"{CALLS}:act", [{"sleep": 600}] * 5)
    found = []
    thread = threading.Thread(target=lambda: found.append(list(outcomes)))
    thread.start()
    time.sleep(0.2)
    executor.close()
    thread.join(60)
    assert found == [[]]


def test_cancel_from_another_thread_ends_after_the_calls_that_run(executor, tmp_path):
    log = tmp_path / "log"
    outcomes = executor.map(f"{CALLS}:act", ({"log": str(log), "sleep": 0.2} for _ in itertools.count()))
    found = []
    thread = threading.Thread(target=lambda: found.extend(outcomes))
    thread.start()
    wait_until(log.exists)
    executor.cancel()
    thread.join(60)
    assert not thread.is_alive()
    assert len(log.read_text()) == len(found)


@pytest.mark.parametrize("where", ["payloads", "key"])
@pytest.mark.parametrize("what", ["cancel", "close"])
def test_ending_while_payloads_are_read(what, where):
    with ProcessExecutor(workers=2) as executor:

        def end(number):
            if number == 50:
                getattr(executor, what)()
            return number

        numbers = itertools.count()
        payloads = map(end, numbers) if where == "payloads" else numbers
        found = list(executor.map(f"{CALLS}:same", payloads, key=end if where == "key" else None))
        assert len(found) <= 51
        assert all(isinstance(outcome, Result) for _, outcome in found)


def test_what_a_call_has_started_ends_with_its_worker(executor, module, tmp_path):
    ((_, failure),) = executor.map(f"{module}:with_child", [str(tmp_path / "pids")], timeout=2)
    assert failure.error == "TimeoutError"
    for process in (tmp_path / "pids").read_text().split():
        wait_until(lambda process=process: gone(process))


def test_a_worker_is_missed_though_its_child_holds_the_pipes(module, tmp_path):
    with ProcessExecutor(workers=1, deaths=1) as executor:
        outcomes = executor.map(f"{module}:with_child", [str(tmp_path / "pids")])
        thread = threading.Thread(target=lambda: found.extend(outcomes))
        found = []
        thread.start()
        wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
        os.kill(int((tmp_path / "pids").read_text().split()[0]), signal.SIGKILL)
        thread.join(60)
        assert isinstance(found[0][1], Failure)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_program(module, tmp_path, end):
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom mlcore.execution import ProcessExecutor\n"
        f"list(ProcessExecutor(workers=2).map('own_functions:hold', [{str(tmp_path / 'pid')!r}] * 4))"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    driver.send_signal(end)
    _, said = driver.communicate(timeout=60)
    assert said.count("Traceback") == (end == signal.SIGINT), "the workers speak too"
    for path in tmp_path.glob("pid-*"):
        wait_until(lambda path=path: gone(path.name.partition("-")[2]))


def test_an_executor_that_is_dropped_ends_its_workers():
    executor = ProcessExecutor(workers=1)
    ((_, outcome),) = executor.map(f"{CALLS}:process", [0])
    files = open_files()
    del executor
    wait_until(lambda: gone(outcome.value))
    assert open_files() < files


def test_an_error_among_the_outcomes_leaves_nothing():
    before = open_files()
    executor = ProcessExecutor(workers=2)

    def interrupted():
        with executor:
            for _ in executor.map(f"{CALLS}:act", itertools.repeat({"sleep": 0.01})):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert open_files() == before


def test_memory_stays_constant_over_endless_payloads(executor):
    ahead = []
    read = itertools.count()
    taken = 0
    payloads = (last := next(read) for _ in itertools.count())
    last = 0
    for taken, _ in enumerate(itertools.islice(executor.map(f"{CALLS}:same", payloads), 30_000)):
        ahead.append(last - taken)
    assert taken == 29_999
    assert max(ahead) < 2_000
