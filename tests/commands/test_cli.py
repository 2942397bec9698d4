"""The command line as a newcomer meets it: in a terminal, in a pipe, with a typo."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios

import pytest
from tests.commands.small_job import Desk

COMMANDS = [
    "run",
    "resume",
    "ls",
    "show",
    "plugins",
    "doctor",
    "runs",
    "runs ls",
    "runs show",
    "runs path",
    "runs metrics",
]
PROGRAM = [sys.executable, "-c", "from mlcore.cli import main; main()"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Desk(tmp_path)


def in_terminal(*argv, columns=80, **environment):
    """What a command writes to a terminal, both streams in their order, and its exit code."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [*PROGRAM, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux' way to say that the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    return written.decode().replace("\r\n", "\n"), process.wait()


# --- help ---


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_within_80_columns(desk, command):
    for flag in ("--help", "-h"):
        done = desk.mlcore(*command.split(), flag).ok()
        assert done.out.startswith(f"Usage: mlcore {command} " if command else "Usage: ") or "Usage: " in done.out
        assert all(len(line) <= 80 for line in done.out.splitlines())
        assert done.err == ""
    desk.untouched()


def test_without_a_command_there_is_the_help(desk):
    done = desk.mlcore()
    assert "Commands:" in done.out + done.err
    assert "mlcore run FILE" in done.out + done.err
    listed = re.findall(r"^  (\w+) +(.*)$", (done.out + done.err).partition("Commands:")[2], re.M)
    assert {"run", "resume", "ls", "show", "runs", "plugins", "doctor"} <= {name for name, _ in listed}
    assert not [text for _, text in listed if text.endswith("...")], "a line of help is cut off"


def test_the_version_is_said(desk):
    assert re.fullmatch(r"mlcore \d+\.\d+\S*\n", desk.mlcore("--version").ok().out)


@pytest.mark.parametrize(
    ("argv", "fragment"),
    [
        (["rn"], "Did you mean 'run'"),
        (["run"], "Missing argument 'FILE'"),
        (["show"], "Missing argument 'RUN'"),
        (["run", "train.yaml", "--nme", "x"], "--name"),
        (["run", "train.yaml", "--seed", "x"], "'--seed'"),
        (["run", "train.yaml", "--seed", "-1"], "'--seed'"),
        (["ls", "-n", "0"], "'--limit'"),
    ],
)
def test_a_slip_of_the_finger_is_told_with_what_is_meant(desk, argv, fragment):
    done = desk.mlcore(*argv)
    assert done.code == 2
    assert fragment in done.err
    assert "Try 'mlcore" in done.err
    assert "Traceback" not in done.err
    desk.untouched()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_knows_the_commands(shell):
    environment = {**os.environ, "_MLCORE_COMPLETE": f"source_{shell}"}
    script = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "_MLCORE_COMPLETE" in script
    words = {"COMP_WORDS": "mlcore r", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "mlcore r"}
    asked = {**os.environ, "_MLCORE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args", **words}
    found = subprocess.run(PROGRAM, env=asked, capture_output=True, text=True, check=False, timeout=120).stdout
    assert {"run", "resume", "runs"} <= set(re.findall(r"\w+", found))


# --- a run ---


def test_in_a_pipe_there_are_plain_lines_and_the_results_apart(desk):
    done = desk.run().ok()
    [run] = desk.runs()
    assert done.err.splitlines() == [
        f"store {desk.path}/.mlcore (default)",
        f"run {run.name} train (main_loop, seed 1)",
        *[line for line in done.err.splitlines() if line.startswith("epoch ")],
    ]
    assert (
        len(
            [
                line
                for line in done.err.splitlines()
                if re.match(r"epoch   \d  train loss \S+ \| valid loss \S+  \(", line)
            ]
        )
        == 3
    )
    lines = done.out.splitlines()
    assert lines[0].split() == ["stream", "metric", "last", "best"]
    assert [line.split()[:2] for line in lines[1:3]] == [["train", "loss"], ["valid", "loss"]]
    assert lines[3:] == [
        "finished: training terminated after epoch 3",
        "model line v3 @latest",
        f"next: mlcore show {run.name}",
    ]


def test_json_is_the_only_thing_on_the_output(desk):
    for argv in (["run", "train.yaml", "--json"], ["ls", "--json"], ["show", "train", "--json"], ["plugins", "--json"]):
        done = desk.mlcore(*argv).ok()
        assert len(done.out.splitlines()) == 1
        json.loads(done.out)


def test_a_dry_run_shows_everything_and_touches_nothing(desk):
    done = desk.run("--dry-run", "model.rate=0.5").ok()
    assert "rate: 0.5" in done.out
    assert "runner   main_loop" in done.out
    assert "dataset  parts.Data" in done.out
    assert "hook     StopAfter {'epochs': 3}" in done.out
    assert "dry run: nothing was created" in done.err
    desk.untouched()


def test_a_terminal_has_a_bar_and_a_line_for_each_epoch(desk):
    written, code = in_terminal("run", "train.yaml")
    assert code == 0, written
    assert "\x1b[" in written
    assert "\x1b[?25h" in written, "the cursor is back"
    seen = ESCAPE.sub("", written)
    assert re.search(r"epoch 1 train ", seen)
    assert [int(number) for number in re.findall(r"^.*epoch   (\d)  train loss", seen, re.M)] == [1, 2, 3]
    assert seen.rstrip().splitlines()[-1].startswith("next: mlcore show ")


def test_an_error_in_a_terminal_leaves_the_cursor_and_a_clear_end(desk):
    written, code = in_terminal("run", "train.yaml", "dataset.class=parts.BreaksOff")
    assert code == 1, written
    assert written.rindex("\x1b[?25h") < written.rindex("OSError: picture 7 is gone")
    assert "/src/mlcore" not in written


@pytest.mark.parametrize("setting", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_terminal_without_colours_gets_none(desk, setting):
    written, code = in_terminal("run", "train.yaml", **setting)
    assert code == 0, written
    assert not re.findall(r"\x1b\[[0-9;]*[1-9][0-9;]*m", written)
    if setting.get("TERM") == "dumb":
        assert "\x1b" not in written


def test_a_list_fits_into_the_terminal(desk):
    desk.run("--name", "a-run-with-a-rather-long-name-indeed").ok()
    written, code = in_terminal("ls", columns=60)
    assert code == 0, written
    lines = written.splitlines()[1:]
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].endswith("…")
    assert "…" not in desk.mlcore("ls").out


def test_a_reader_that_goes_away_is_no_error(desk):
    desk.run().ok()
    for command in ("show train", "ls", "runs metrics train"):
        shell = f"{' '.join(map(repr, PROGRAM))} {command} | true"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, timeout=120)
        assert "Traceback" not in done.stderr
        assert "Error" not in done.stderr


# --- looking ---


def test_show_lists_the_versions_that_have_a_name(desk):
    desk.run("hooks.2.StopAfter.epochs=6").ok()
    shown = desk.mlcore("show", "train").ok().out
    assert re.search(r"^line +v6 +latest ", shown, re.M)
    assert "v5" not in shown
    assert "5 other versions without an alias: --json has them" in shown
    assert len(desk.mlcore("show", "train", "--json").json["models"]) == 6


def test_an_evaluation_before_the_training_is_no_epoch_of_it(desk):
    desk.run("main_loop.skip_zeroth_epoch=false").ok()
    assert re.search(r"^epochs +3$", desk.mlcore("show", "train").out, re.M)
    assert desk.mlcore("ls").out.splitlines()[1].split()[5] == "3"
    assert [row["epoch"] for row in desk.mlcore("show", "train", "--json").json["epochs"]] == [0, 1, 2, 3]


def test_metrics_are_a_table_for_other_programs(desk):
    desk.run().ok()
    lines = desk.mlcore("runs", "metrics", "train", "valid.loss").ok().out.splitlines()
    assert lines[0] == "series,step,time,value"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["valid.loss", "1"],
        ["valid.loss", "2"],
        ["valid.loss", "3"],
    ]
    desk.mlcore("runs", "metrics", "train", "valid.los").refused(
        "the run has no series 'valid.los'", "did you mean 'valid.loss'?"
    )


def test_a_path_is_for_other_commands(desk):
    desk.run().ok()
    [run] = desk.runs()
    assert desk.mlcore("runs", "path", "train").ok().out == f"{run}\n"


def test_doctor_finds_a_sound_installation_sound(desk):
    done = desk.mlcore("doctor").ok()
    assert "store round trip" in done.out
    assert not [line for line in done.out.splitlines() if line.startswith("error")]
    desk.untouched()
    found = desk.mlcore("doctor", "--json").ok().json
    assert {"python", "mlcore-core", "store", "store exclusivity"} <= {finding["subject"] for finding in found}
