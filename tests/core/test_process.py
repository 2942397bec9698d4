"""Whether another process is alive: neither a reused pid nor another boot makes a dead one look so."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from mlcore.store import process
from mlcore.store.process import Process


@pytest.fixture
def child():
    """A process that waits to be told to end."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        yield running
        running.stdin.close()


def of(pid):
    return replace(Process.current(), pid=pid, started=process._started(pid))


def test_this_process_is_alive():
    own = Process.current()
    assert (own.pid, own.host) == (os.getpid(), platform.node())
    assert own == Process.current()
    assert own.alive() is True


def test_a_running_child_is_alive_and_a_dead_one_is_not(child):
    other = of(child.pid)
    assert other.alive() is True
    assert other != Process.current()
    child.kill()
    child.wait()
    assert other.alive() is False


def test_an_unreaped_process_is_dead(child):
    other = of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert other.alive() is False


def test_a_reused_pid_is_another_process(child):
    assert replace(of(child.pid), started="1").alive() is False
    assert replace(of(child.pid), started=None).alive() is False


def test_an_earlier_boot_is_over():
    boot, _, namespace = Process.current().boot.partition("/")
    assert boot
    assert replace(Process.current(), boot=f"another/{namespace}").alive() is False


def test_of_another_container_and_another_machine_nobody_knows():
    own = Process.current()
    boot = own.boot.partition("/")[0]
    assert replace(own, boot=f"{boot}/pid:[1]").alive() is None
    assert replace(own, host="elsewhere").alive() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_command_name_with_brackets_and_blanks_does_not_confuse(tmp_path):
    program = tmp_path / "a) Z (b c"
    program.symlink_to(sys.executable)
    command = [program, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        assert of(running.pid).alive() is True
        running.stdin.close()


def test_without_proc_the_system_is_asked(monkeypatch, tmp_path):
    real = process.Path

    def elsewhere(path):
        return real(str(path).replace("/proc", str(tmp_path / "proc")))

    monkeypatch.setattr(process, "Path", elsewhere)
    asked = []
    monkeypatch.setattr(process, "_output", lambda *command: asked.append(command) or "Mon Jan 1")
    assert process._started(7) == "Mon Jan 1"
    assert asked == [("ps", "-o", "lstart=", "-p", "7")]
    assert process._boot_id() == "Mon Jan 1"
    assert process._pid_namespace() == ""
