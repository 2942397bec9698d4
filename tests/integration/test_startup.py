"""What `mlcore --help` loads: little, and the same whatever is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from tests.integration.conftest import distribution

HEAVY = {"click", "fsspec", "numpy", "pluggy", "pydantic", "rich", "ruamel", "sklearn", "torch", "yaml"}
DUMMIES = 30
TELLING = """
import sys
before = set(sys.modules)
sys.argv[0] = "mlcore"
from mlcore.cli import main
try:
    main()
finally:
    sys.stderr.write("\\n".join(sorted(set(sys.modules) - before)))
"""

BARE = """
import sys
import typer
app = typer.Typer(rich_markup_mode=None)
app.command()(lambda: None)
try:
    app()
finally:
    sys.stderr.write("\\n".join(sys.modules))
"""


def loaded_by(*argv, site=None):
    """Modules that a command loads, beside those of a bare Python; and what it prints."""
    environment = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *argv], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode in ((0,) if argv else (0, 2)), done.stderr
    return set(done.stderr.split()), done.stdout


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Thirty distributions, each with a plugin and a command, whose modules must not be imported."""
    site = tmp_path_factory.mktemp("site")
    for number in range(DUMMIES):
        distribution(site, f"dummy-{number}", "mlcore.plugins", {f"dummy{number}": f"dummy_plugin_{number}"})
        points = site / f"dummy_{number}-1.0.dist-info" / "entry_points.txt"
        points.write_text(f"{points.read_text()}\n[mlcore.commands]\ncmd{number} = dummy_command_{number}:app\n")
        (site / f"dummy_command_{number}.py").write_text(
            "import typer\napp = typer.Typer()\n\n\n@app.command()\ndef main(word: str = 'nothing'):\n"
            f"    '''Say something.'''\n    print('command {number} says', word)\n"
        )
    return site


@pytest.mark.parametrize("argv", [["--help"], ["--version"], []], ids=" ".join)
def test_the_commands_list_loads_nothing_heavy(argv):
    loaded, _ = loaded_by(*argv)
    roots = {name.partition(".")[0] for name in loaded}
    assert "mlcore" in roots
    assert roots.isdisjoint(HEAVY)


@pytest.mark.parametrize("argv", [["run", "--help"], ["runs", "--help"], ["plugins", "--help"]], ids=" ".join)
def test_the_help_of_a_command_loads_no_framework(argv):
    """typer itself asks pydantic about parameters."""
    loaded, _ = loaded_by(*argv)
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(HEAVY - {"pydantic"})


def test_help_loads_little_more_than_typer_does():
    loaded, out = loaded_by("--help")
    ours = {name for name in loaded if name.partition(".")[0].startswith("mlcore")}
    assert not {name for name in ours if name.partition(".")[0] != "mlcore"}
    assert len(ours) <= 35, sorted(ours)
    done = subprocess.run([sys.executable, "-c", BARE, "--help"], capture_output=True, text=True, check=True)
    foreign = {name.partition(".")[0] for name in loaded - ours} - sys.stdlib_module_names
    assert foreign <= {name.partition(".")[0] for name in done.stderr.split()}
    assert out.startswith("Usage: mlcore")


def test_thirty_plugins_make_the_help_longer_and_load_nothing(crowd):
    alone, _ = loaded_by("--help")
    loaded, out = loaded_by("--help", site=crowd)
    assert not {name for name in loaded if name.startswith("dummy_")}
    assert loaded - alone <= {name for name in loaded if name.partition(".")[0] in ("email", "importlib", "quopri")}
    names = re.findall(r"^  (cmd\d+) +From dummy-\d+\.$", out, re.MULTILINE)
    assert sorted(names) == sorted(f"cmd{number}" for number in range(DUMMIES))


def test_entry_points_are_read_a_fixed_number_of_times(crowd):
    """Reading them costs most of what a plugin adds: it must not be done once for each of them."""
    code = (
        "import importlib.metadata as m, sys; real = m.entry_points; calls = []\n"
        "m.entry_points = lambda **kw: (calls.append(kw), real(**kw))[1]\n"
        "sys.argv = ['mlcore', '--help']\nfrom mlcore.cli import main\n"
        "try:\n    main()\nfinally:\n    sys.stderr.write(str(len(calls)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(crowd)},
    )
    assert int(done.stderr) <= 2


def test_a_command_of_a_plugin_loads_its_own_module_only(crowd):
    loaded, out = loaded_by("cmd7", "--word", "hello", site=crowd)
    assert out == "command 7 says hello\n"
    assert {name for name in loaded if name.startswith("dummy_")} == {"dummy_command_7"}
    _, helped = loaded_by("cmd7", "--help", site=crowd)
    assert "Say something." in helped


def test_a_broken_command_breaks_only_itself(crowd, tmp_path):
    distribution(
        tmp_path, "broken", "mlcore.commands", {"broken": "broken_command:app"}, "raise RuntimeError('not today')"
    )
    _, out = loaded_by("--help", site=tmp_path)
    assert re.search(r"^  broken +From broken\.$", out, re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = [sys.executable, "-c", "from mlcore.cli import main; main()", "broken"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the command 'broken' cannot be imported: RuntimeError: not today" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_cannot_take_the_name_of_ours(tmp_path):
    distribution(
        tmp_path, "rude", "mlcore.commands", {"ls": "rude_command:app"}, "raise RuntimeError('never imported')"
    )
    loaded, out = loaded_by("ls", "--help", site=tmp_path)
    assert "List runs" in out
    assert "rude_command" not in loaded
    _, listed = loaded_by("--help", site=tmp_path)
    assert len(re.findall(r"^  ls ", listed, re.MULTILINE)) == 1
