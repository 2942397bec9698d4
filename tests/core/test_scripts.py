"""Python scripts as runs: what they see, what is kept of what they print, and how they end."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.cli.app import app
from mlcore.errors import ConfigError, RunError
from mlcore.runs import list_runs
from mlcore.store import Store

PATIENCE = 120  # seconds; only what hangs takes so long


class Desk:
    def __init__(self, path):
        self.path, self.store = path, Store(str(path / "store"))

    def write(self, text, name="train.py"):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def argv(self, *words):
        """A command as a real process would get it; `--store` stands before the arguments of a script."""
        code = "from mlcore.cli import main; main()"
        return [sys.executable, "-c", code, words[0], "--store", self.store.url, *map(str, words[1:])]

    def start(self, *words, **options):
        return subprocess.Popen(self.argv(*words), cwd=self.path, text=True, stderr=subprocess.STDOUT, **options)

    def invoke(self, *words):
        """The same command in this process; what scripts print is not in the result, but goes to the descriptors."""
        return CliRunner().invoke(app, [words[0], "--store", self.store.url, *map(str, words[1:])])

    def runs(self):
        return list(list_runs(self.store))

    @property
    def run(self):
        """The only run."""
        (view,) = self.runs()
        return view

    def log(self):
        return self.run.folder.read_bytes("files/console.log").decode()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


# --- what a script sees ---


def test_a_script_is_main(desk):
    path = desk.write("""
        import json, sys
        import helper
        import mlcore
        run = mlcore.current_run()
        facts = {"name": __name__, "file": __file__, "argv": sys.argv, "path": sys.path[0], "main": False}
        facts["main"] = sys.modules["__main__"].facts is facts
        (run.directory / "facts.json").write_text(json.dumps({**facts, "run": run.id, "helper": helper.__name__}))
    """, "code/train.py")  # fmt: skip
    desk.write("", "code/helper.py")
    before = sys.argv, list(sys.path), sys.modules["__main__"], sys.stdout, sys.stderr
    view = mlcore.run("code/train.py", arguments=["--lr", "1", "a b", "${x}"], store=desk.store)
    assert json.loads(view.folder.read_bytes("files/facts.json")) == {
        "name": "__main__",
        "file": str(path),
        "argv": [str(path), "--lr", "1", "a b", "${x}"],
        "path": str(path.parent),
        "main": True,
        "run": view.id,
        "helper": "helper",
    }
    assert (sys.argv, sys.path, sys.modules["__main__"], sys.stdout, sys.stderr) == before
    assert (view.status, view.name, view.header.runner) == ("finished", "train", "script")


def test_a_script_may_start_processes_that_import_it(desk):
    desk.write("""
        import multiprocessing

        def double(x):
            return 2 * x

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2]))
    """)
    with desk.start("run", "train.py", stdout=subprocess.PIPE) as process:
        assert "[2, 4]" in process.communicate(timeout=PATIENCE)[0]
    assert desk.run.status == "finished"


def test_a_script_logs_and_saves_as_every_run_does(desk):
    desk.write("""
        import mlcore
        run = mlcore.current_run()
        run.log(step=1, loss=0.5)
        print(run.rng("noise").random(), __import__("random").random())
    """)
    for _ in range(2):
        assert desk.invoke("run", "train.py", "--seed", "3").exit_code == 0
    first, second = desk.runs()
    assert [(metric.name, metric.last) for metric in first.metrics] == [("loss", 0.5)]
    logs = [view.folder.read_bytes("files/console.log") for view in (first, second)]
    assert logs[0] == logs[1]


# --- what is kept of what it prints ---

PRINTS = """
    import os, subprocess, sys
    print("out 1")
    print("err 1", file=sys.stderr)
    os.write(1, b"raw\\n")
    subprocess.run([sys.executable, "-c", "import os; os.write(1, b'child out\\\\n'); os.write(2, b'child err\\\\n')"])
    print("out 2")
    print("err 2", file=sys.stderr)
    sys.stdout.buffer.write(b"\\xff\\n")
    print("\\u00fc", "end")
"""


def test_both_streams_are_shown_apart_and_kept_in_order(desk, capfdbinary):
    desk.write(PRINTS)
    assert desk.invoke("run", "train.py").exit_code == 0
    shown = capfdbinary.readouterr()
    assert shown.out.splitlines() == [b"out 1", b"raw", b"child out", b"out 2", b"\xff", "ü end".encode()]
    assert shown.err.splitlines() == [b"err 1", b"child err", b"err 2"]
    kept = desk.run.folder.read_bytes("files/console.log").splitlines()
    # What passes by Python's streams, and what a child prints, is in order in its own stream only.
    for stream in (shown.out, shown.err):
        lines = stream.splitlines()
        assert [line for line in kept if line in lines] == lines
    passing = (b"raw", b"child out", b"child err")
    python = [line for line in kept if line not in passing]
    assert python == [b"out 1", b"err 1", b"out 2", b"err 2", b"\xff", "ü end".encode()]


def test_one_place_for_both_streams_keeps_the_order_of_children_too(desk):
    desk.write("import subprocess\nsubprocess.run(['sh', '-c', 'for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done'])")
    with desk.start("run", "train.py", stdout=subprocess.PIPE) as process:
        shown = process.communicate(timeout=PATIENCE)[0]
    lines = [f"{stream}{number}" for number in range(1, 6) for stream in "oe"]
    assert desk.log().split() == lines
    assert [line for line in shown.splitlines() if line in lines] == lines


def test_order_holds_between_streams_that_go_to_two_places(desk, capfd):
    desk.write("""
        import sys
        for number in range(50):
            print("o", number)
            print("e", number, file=sys.stderr)
    """)
    desk.invoke("run", "train.py")
    assert desk.log() == "".join(f"o {number}\ne {number}\n" for number in range(50))


def test_a_flood_is_kept_whole(desk, capfd):
    desk.write("for number in range(100_000): print('line', number)")
    desk.invoke("run", "train.py")
    expected = "".join(f"line {number}\n" for number in range(100_000))
    assert desk.log() == expected
    assert capfd.readouterr().out == expected


def test_code_that_holds_the_lock_while_it_prints_does_not_wait_for_itself(desk):
    desk.write("""
        import ctypes
        libc = ctypes.PyDLL(None)  # keeps Python's lock during calls
        data = b"x" * (1 << 20)
        written = 0
        while written < len(data):
            written += libc.write(1, data[written:], len(data) - written)
    """)
    with (desk.path / "out").open("w") as out, desk.start("run", "train.py", stdout=out) as process:
        assert process.wait(timeout=PATIENCE) == 0
    assert desk.log() == "x" * (1 << 20) + "\n"


def test_what_was_printed_before_a_kill_is_kept(desk):
    desk.write("""
        import os
        for number in range(2000): print("line", number)
        os.kill(os.getpid(), 9)
    """)
    with desk.start("run", "train.py", stdout=subprocess.PIPE) as process:
        shown = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == -signal.SIGKILL
    assert desk.run.status == "lost"
    expected = "".join(f"line {number}\n" for number in range(2000))
    assert until(lambda: len(desk.log()) == len(expected))
    assert desk.log() == expected
    assert shown.endswith(expected)


def test_a_child_that_outlives_the_script_does_not_hold_the_run(desk):
    desk.write("""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "print('late', flush=True); import time; time.sleep(300)"])
        print(child.pid, flush=True)
        import time
        while "late" not in open(__import__("mlcore").current_run().directory / "console.log").read(): time.sleep(0.01)
    """)
    with (desk.path / "out").open("w") as out, desk.start("run", "train.py", stdout=out) as process:
        assert process.wait(timeout=PATIENCE) == 0
    pid = next(int(line) for line in desk.log().splitlines() if line.isdecimal())
    os.kill(pid, signal.SIGKILL)  # it was alive
    assert "late" in (desk.path / "out").read_text()


def test_a_reader_that_goes_away_does_not_stop_the_script(desk):
    desk.write("""
        import time
        import mlcore
        print("first", flush=True)
        while not (mlcore.current_run().directory / "go").exists(): time.sleep(0.01)
        for number in range(20_000): print("line", number)
        print("last")
    """)
    process = subprocess.Popen(
        desk.argv("run", "train.py"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=desk.path
    )
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    (desk.run.folder.local / "files" / "go").touch()
    process.wait(timeout=PATIENCE)
    assert desk.run.status == "finished"
    assert desk.log().endswith("last\n")


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stdout.close(); sys.stderr.write('still here')",
        "import os; os.close(1); os.write(2, b'still here')",
        "import sys, io; sys.stdout = io.StringIO(); sys.stderr.write('still here')",
    ],
)
def test_streams_that_a_script_breaks_are_whole_afterwards(desk, code, capfd):
    desk.write(code)
    result = desk.invoke("run", "train.py")
    assert result.exit_code == 0, result.output
    assert "still here" in desk.log()
    os.write(1, b"whole\n")
    assert "whole" in capfd.readouterr().out


def test_a_line_that_was_begun_is_ended(desk):
    desk.write("print('no end', end='')")
    with desk.start("run", "train.py", "--json", stdout=subprocess.PIPE) as process:
        shown = process.communicate(timeout=PATIENCE)[0]
    assert json.loads(shown.splitlines()[-1])["status"] == "finished"
    assert desk.log() == "no end\n"


def in_terminal(argv, cwd, answer=None):
    """Run a command in a terminal of 33 lines by 101 columns; give what it shows there, and its exit code."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(cwd)
        os.execv(argv[0], argv)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    shown, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        shown += data
        if not data:
            break
        if answer and answer[0] in shown:
            os.write(terminal, answer[1])
            answer = None
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_script_in_a_terminal_sees_one(desk):
    desk.write("""
        import os, subprocess, sys
        print(sys.stdout.isatty(), sys.stderr.isatty(), sys.stdin.isatty())
        print(*os.get_terminal_size())
        subprocess.run([sys.executable, "-c", "import os; print('child', os.isatty(1), *os.get_terminal_size())"])
        for number in range(20): print("o", number); print("e", number, file=sys.stderr)
        print("answer", input("? "))
    """)
    shown, code = in_terminal(desk.argv("run", "train.py"), desk.path, (b"? ", b"yes\n"))
    assert code == 0, shown
    order = "".join(f"o {number}\ne {number}\n" for number in range(20))
    assert desk.log() == f"True True True\n101 33\nchild True 101 33\n{order}? answer yes\n"
    assert order.replace("\n", "\r\n") in shown
    assert "\r\r" not in shown


# --- how it ends ---


@pytest.mark.parametrize(
    ("code", "exit_code", "status", "reason"),
    [
        ("pass", 0, "finished", None),
        ("import sys; sys.exit()", 0, "finished", None),
        ("import sys; sys.exit(0)", 0, "finished", None),
        ("import sys; sys.exit(3)", 3, "failed", "exit code 3"),
        ("import sys; sys.exit('no data')", 1, "failed", "exit code 1"),
        ("raise SystemExit", 0, "finished", None),
        ("1 / 0", 1, "failed", "ZeroDivisionError: division by zero"),
        ("import mlcore; mlcore.current_run().stop('enough')", 0, "stopped", "enough"),
        ("raise KeyboardInterrupt", 130, "stopped", "interrupted"),
    ],
)
def test_the_end_of_a_script(desk, code, exit_code, status, reason, capfd):
    desk.write(code)
    assert desk.invoke("run", "train.py").exit_code == exit_code
    assert (desk.run.status, desk.run.reason) == (status, reason)


def test_what_a_script_exits_with_is_printed_and_kept(desk, capfd):
    desk.write("import sys; sys.exit('no data')")
    desk.invoke("run", "train.py")
    assert desk.log() == "no data\n"
    assert capfd.readouterr().err == "no data\n"


def test_an_exception_shows_the_script_only(desk):
    path = desk.write("def inner():\n    1 / 0\ninner()\n")
    with desk.start("run", "train.py", stdout=subprocess.PIPE) as process:
        shown = process.communicate(timeout=PATIENCE)[0]
    for text in (shown, desk.log()):
        frames = [line.split('"')[1] for line in text.splitlines() if line.startswith("  File ")]
        assert frames == [str(path), str(path)]
        assert "ZeroDivisionError: division by zero" in text


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_script_at_once(desk, number, exit_code):
    desk.write("""
        import time
        print("ready", flush=True)
        try:
            time.sleep(300)
        finally:
            print("cleaned up")
    """)
    with (desk.path / "out").open("w") as out, desk.start("run", "train.py", stdout=out) as process:
        until(lambda: "ready" in (desk.path / "out").read_text())
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) == exit_code
    assert (desk.run.status, desk.run.reason) == ("stopped", number.name)
    assert desk.log() == "ready\ncleaned up\n"


def test_a_script_that_ends_in_order_after_a_signal_was_stopped(desk, capfd):
    desk.write("""
        import os, signal, sys
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            sys.exit(5)
    """)
    assert desk.invoke("run", "train.py").exit_code == 5
    assert (desk.run.status, desk.run.reason) == ("stopped", "SIGINT")


def test_a_script_that_leaves_without_a_word_is_lost(desk):
    desk.write("import os; print('bye', flush=True); os._exit(0)")
    with desk.start("run", "train.py", stdout=subprocess.PIPE) as process:
        process.communicate(timeout=PATIENCE)
    assert desk.run.status == "lost"
    assert until(lambda: desk.log() == "bye\n")


def test_from_python_an_exit_code_is_an_error(desk, capfd):
    desk.write("import sys; sys.exit(3)")
    with pytest.raises(RunError, match=r"train\.py ended with exit code 3\n  hint: mlcore runs log "):
        mlcore.run("train.py", store=desk.store)


def test_a_run_in_a_program_that_exits(desk):
    for code, status in ((0, "finished"), (3, "failed")):
        with pytest.raises(SystemExit), mlcore.start_run(store=desk.store) as run:
            sys.exit(code)
        assert run.status == status


# --- resuming ---


def test_a_resumed_script_goes_on_from_its_checkpoint(desk, capfd):
    desk.write("""
        import sys
        import mlcore
        run = mlcore.current_run()
        restored = run.restore()
        done = restored.state["done"] if restored else 0
        for step in range(done + 1, 5):
            print("step", step, *sys.argv[1:])
            run.log(step, value=step)
            run.checkpoint({"done": step})
            if step == 2 and not restored:
                sys.exit(4)
    """)
    assert desk.invoke("run", "train.py", "--", "--fast").exit_code == 4
    assert desk.invoke("resume", desk.run.id).exit_code == 0
    assert desk.log() == ("step 1 --fast\nstep 2 --fast\n--- attempt 2 ---\nstep 3 --fast\nstep 4 --fast\n")
    assert desk.run.journal.series()["value"].steps == [1, 2, 3, 4]


def test_a_script_is_resumed_from_any_folder(desk, tmp_path, monkeypatch, capfd):
    desk.write("import mlcore, helper, sys; sys.exit(mlcore.current_run().attempt.number == 1)", "code/train.py")
    desk.write("", "code/helper.py")
    assert desk.invoke("run", "code/train.py").exit_code == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert desk.invoke("resume", desk.run.id).exit_code == 0


# --- configs ---


def test_a_config_may_name_a_script(desk, capfd):
    desk.write("import sys; print(sys.argv[1:])", "jobs/code/train.py")
    desk.write("runner: script\nscript: code/train.py\narguments: [--epochs, 3, 0.5]\nname: named\n", "jobs/job.yaml")
    assert desk.invoke("run", "jobs/job.yaml", "arguments.1=4").exit_code == 0
    assert desk.log() == "['--epochs', '4', '0.5']\n"
    assert desk.run.name == "named"


def test_two_dashes_before_overrides_are_allowed(desk, capfd):
    desk.write("import sys; print(sys.argv[1:])")
    desk.write("runner: script\nscript: train.py\n", "job.yaml")
    assert desk.invoke("run", "job.yaml", "--", "arguments=[a]").exit_code == 0
    assert desk.log() == "['a']\n"


def test_a_dry_run_names_the_script_and_runs_nothing(desk):
    path = desk.write("raise SystemExit('it ran')")
    result = desk.invoke("run", "train.py", "--dry-run", "--", "--lr", "1")
    assert result.exit_code == 0
    assert f"script   {path} --lr 1" in result.output
    assert not (desk.path / "store").exists()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["trian.py"], ["there is no file", "trian.py", "did you mean 'train.py'"]),
        (["empty/x.py"], ["there is no file", "there is no Python file in"]),
        (["train.py", "lr=3"], ["'lr=3' would change a config", "mlcore run train.py -- lr=3"]),
        (["train.py", "a", "--", "b"], ["'a' would change a config"]),
        (["folder.py"], ["there is no file"]),
        (["job.yaml"], ["job.yaml:2:1: script: there is no file", "did you mean 'train.py'"]),
        (["odd.yaml"], ["odd.yaml:3:1: argumets", "did you mean 'arguments'"]),
        (["bools.yaml"], ["bools.yaml:3:13: arguments.0", "string"]),
    ],
)
def test_a_mistake_is_told_and_nothing_is_made(desk, words, messages):
    desk.write("pass")
    (desk.path / "empty").mkdir()
    (desk.path / "folder.py").mkdir()
    desk.write("runner: script\nscript: trian.py\n", "job.yaml")
    desk.write("runner: script\nscript: train.py\nargumets: []\n", "odd.yaml")
    desk.write("runner: script\nscript: train.py\narguments: [true]\n", "bools.yaml")
    result = desk.invoke("run", *words)
    assert result.exit_code == 2, result.output
    for message in messages:
        assert message in result.output
    assert not (desk.path / "store").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x = 1\ndef (:\n", "train.py:2:5: this is no Python: invalid syntax\n  hint: look at: def (:"),
        (b"x = '\xff'\n", "train.py:1:"),
        (b"\x00", "this is no Python: source code"),
    ],
)
def test_a_script_that_is_no_python_is_told_before_a_run_exists(desk, text, message):
    desk.write("").write_bytes(text)
    result = desk.invoke("run", "train.py")
    assert result.exit_code == 2
    assert message in result.output
    assert not (desk.path / "store").exists()


def test_arguments_are_for_scripts(desk):
    desk.write("runner: script\nscript: train.py\n", "job.yaml")
    with pytest.raises(ConfigError, match="takes no arguments"):
        mlcore.run("job.yaml", arguments=["x"], store=desk.store)


# --- reading the log ---


def test_the_log_is_printed_as_it_is(desk, capfdbinary):
    desk.write("import sys; sys.stdout.buffer.write(b'\\xff\\r1')")
    desk.invoke("run", "train.py")
    result = (
        desk.invoke("runs", "log", desk.run.id)
        if False
        else CliRunner().invoke(app, ["runs", "log", desk.run.id, "--store", desk.store.url])
    )
    assert result.stdout_bytes == b"\xff\r1\n"


def test_a_run_that_printed_nowhere_has_no_log(desk):
    with mlcore.start_run(store=desk.store, name="plain"):
        pass
    result = CliRunner().invoke(app, ["runs", "log", "plain", "--store", desk.store.url])
    assert result.exit_code == 2
    assert "has kept nothing that was printed" in result.output
    assert "only what scripts print is kept" in result.output


def test_the_log_of_a_remote_run_is_in_the_store(desk, empty_memory, capfd):
    desk.write("print('far away'); 1 / 0")
    store = Store("memory://far")
    with pytest.raises(ZeroDivisionError):
        mlcore.run("train.py", store=store)
    (view,) = list_runs(store)
    assert view.folder.read_bytes("files/console.log").startswith(b"far away\nTraceback")


# --- secrets ---


def test_a_secret_among_the_arguments_is_stored_nowhere_and_asked_for_again(desk, monkeypatch, capfd):
    desk.write("import sys; sys.exit(len(sys.argv[2]) == 7)")
    words = ["--password", "hunter2", "--api-key=k3y", "--url", "db://me:pass9@host/x"]
    monkeypatch.setattr(sys, "argv", ["mlcore", "run", "train.py", "--", *words])
    assert desk.invoke("run", "train.py", "--", *words).exit_code == 1
    stored = b"".join(path.read_bytes() for path in desk.path.glob("store/**/*") if path.is_file())
    for secret in (b"hunter2", b"k3y", b"pass9"):
        assert secret not in stored
    assert b"--password" in stored
    result = desk.invoke("resume", desk.run.id)
    assert result.exit_code == 2
    assert f"mlcore resume {desk.run.id} arguments.1=VALUE" in result.output
    given = [f"arguments.{index}=x" for index in (1, 2, 4)]
    assert desk.invoke("resume", desk.run.id, *given).exit_code == 0
