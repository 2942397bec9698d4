"""Whatever is wrong and can be known before a run starts: one clear error, exit code 2, and nothing is written."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types

import pytest
from tests.commands.small_job import CONFIG, Desk

from mlcore.hookspecs import hookimpl


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def bomb():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcdefg", "bcdefgh", strict=True)
    ]
    return "\n".join(lines)


CONFIGS = {
    "not YAML": (CONFIG.replace("[valid]", "[valid"), "train.yaml:14:", "this is not valid YAML"),
    "a tab": (CONFIG.replace("  rate", "\trate"), "train.yaml:7:1:", "hint: YAML is indented with spaces"),
    "a key twice": (CONFIG + "seed: 2\n", "train.yaml:15:1:", "'seed' is there twice, first at train.yaml:1:1"),
    "empty": ("", "train.yaml: the config is empty", "hint: write at least one `section:`"),
    "a list": ("- 1\n", "train.yaml:1:1:", "a mapping of keys was expected"),
    "a tag": (CONFIG.replace("0.1", "!!python/name:os.system 1"), "train.yaml:7:", "hint: a config holds plain data"),
    "an alias bomb": (bomb(), "train.yaml:1:1:", "more than 100,000 values"),
    "a reference to nothing": (CONFIG.replace("0.1", "${sead}"), "train.yaml:7:3: model.rate:", "did you mean 'seed'?"),
    "an unset variable": (CONFIG.replace("0.1", "${env:NOPE_}"), "train.yaml:7:3:", "hint: set it, or write a default"),
    "an unknown section": (CONFIG + "main_lop: {}\n", "train.yaml:15:1: main_lop:", "did you mean 'main_loop'?"),
    "an unknown argument of the model": (
        CONFIG.replace("rate:", "rat:"),
        "train.yaml:7:3: model.rat: Line takes no argument 'rat'",
        "did you mean 'rate'?",
    ),
    "an unknown argument of a hook": (
        CONFIG.replace("epochs:", "epoch:"),
        "train.yaml:11:17: hooks.2.StopAfter.epoch: StopAfter takes no argument 'epoch'",
        "did you mean 'epochs'?",
    ),
    "an unknown argument of the loop": (
        CONFIG.replace("extra_streams", "extra_stream"),
        "train.yaml:13:3: main_loop.extra_stream: the main loop has no such argument",
        "did you mean 'extra_streams'?",
    ),
    "a wrong type": (CONFIG.replace("seed: 1", "seed: one"), "train.yaml:1:1: seed:", "integer", "(found 'one')"),
    "a wrong type in the loop": (
        CONFIG.replace("[valid]", "valid"),
        "train.yaml:13:3: main_loop.extra_streams:",
        "list",
    ),
    "a wrong type in a hook": (
        CONFIG.replace("epochs: 3", "epochs: 2.5"),
        "train.yaml:11:17: hooks.2.StopAfter.epochs: StopAfter's epochs is 2.5",
        "integer",
    ),
    "a bad value in a hook": (CONFIG.replace("epochs: 3", "epochs: x"), "hooks.2.StopAfter: ", "'x'; it is a number"),
    "no word of YAML 1.2": (
        CONFIG.replace("- SaveLatest", "- StopOnNaN: {after_batch: yes}"),
        "hooks.1.StopOnNaN.after_batch: StopOnNaN's after_batch is 'yes'",
        "boolean",
    ),
    "a hook that is a number": (
        CONFIG.replace("- SaveLatest", "- 5"),
        "train.yaml:10:5: hooks.1: a hook is a name",
        "(found 5)",
    ),
    "two hooks in one item": (
        CONFIG.replace("- SaveLatest", "- {SaveLatest: {}, StopOnNaN: {}}"),
        "train.yaml:10:5: hooks.1: an item has one hook",
        "hint: begin each hook with its own dash",
    ),
    "no dataset": (
        CONFIG.replace("dataset:\n  class: parts.Data\n", ""),
        "train.yaml: the section 'dataset' is missing, which the runner main_loop needs",
        "hint: add `dataset:`",
    ),
    "a misspelt section": (CONFIG.replace("dataset:", "datset:"), "train.yaml:2:1: datset:", "did you mean 'dataset'?"),
    "an empty section": (
        CONFIG.replace("dataset:\n  class: parts.Data\n", "dataset:\n"),
        "train.yaml:2:1: dataset: this section is empty, and the runner main_loop needs it",
    ),
    "sections of nobody": (
        "a: 1\n",
        "train.yaml: no runner is known by the sections",
        "add a line `runner: NAME`",
        "main_loop",
    ),
    "no class": (
        CONFIG.replace("  class: parts.Data\n", "  x: 1\n"),
        "dataset.class: this key is required, and missing",
    ),
    "an unknown runner": (
        "runner: main_lop\n" + CONFIG,
        "train.yaml:1:1: runner: there is no runner 'main_lop'",
        "did you mean 'main_loop'?",
    ),
    "a runner that is no word": (
        "runner: [1]\n" + CONFIG,
        "train.yaml:1:1: runner: a runner is named by a word, not [1]",
    ),
    "an unknown hook": (
        CONFIG.replace("SaveLatest", "SaveLastest"),
        "train.yaml:10:5: hooks.1:",
        "did you mean 'SaveLatest'?",
    ),
    "a hook of no module": (CONFIG.replace("SaveLatest", "minehooks.Mine"), "there is no module 'minehooks'"),
    "a hook that is none": (CONFIG.replace("SaveLatest", "parts.Data"), "hooks.1: parts.Data is no hook"),
    "an unknown module": (
        CONFIG.replace("parts.Data", "part.Data"),
        "train.yaml:3:3: dataset.class:",
        "did you mean 'parts'?",
    ),
    "a module to install": (CONFIG.replace("parts.Line", "tensorflow_.Model"), "pip install tensorflow_"),
    "a submodule": (
        CONFIG.replace("parts.Line", "sklearn.neural_netwrk.X"),
        "there is no module 'sklearn.neural_netwrk'",
        "did you mean 'neural_network'?",
    ),
    "an unknown class": (
        CONFIG.replace("parts.Line", "parts.Lin"),
        "train.yaml:6:3: model.class:",
        "did you mean 'Line'?",
    ),
    "a class without a module": (CONFIG.replace("parts.Data", "Data"), "'Data' is not the path of a class"),
    "a class that is none": (CONFIG.replace("parts.Data", "parts.SETTINGS"), "parts.SETTINGS is no class but a dict"),
    "a class that is a number": (CONFIG.replace("parts.Data", "5"), "train.yaml:3:3: dataset.class:", "(found 5)"),
    "a model that no backend knows": (
        CONFIG.replace("parts.Line", "parts.NoModel").replace("  rate: 0.1\n", ""),
        "train.yaml:6:3: model.class: no backend recognises parts.NoModel (backends: emloop, native, sklearn",
    ),
    "an unknown stream": (
        CONFIG.replace("[valid]", "[valdi]"),
        "train.yaml:12:1: main_loop:",
        "no method `valdi_stream`",
        "its streams are: train, valid",
    ),
    "a model's name that cannot be stored": (
        CONFIG.replace("line", "a/b"),
        "train.yaml:5:3: model.name:",
        "it has a slash",
    ),
    "a run's name that cannot be stored": ("name: ../x\n" + CONFIG, "train.yaml:1:1: name:", "it has a slash"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_bad_config_is_refused_before_anything_is_written(desk, case):
    text, *fragments = CONFIGS[case]
    (desk.path / "train.yaml").write_text(text)
    desk.run().refused(*fragments)
    desk.run("--dry-run").refused(*fragments)
    desk.untouched()


OVERRIDES = {
    "modl.rate=1": ("override 'modl.rate=1': the config has no key 'modl'", "did you mean 'model'?"),
    "model.rate": ("override 'model.rate': there is no `=` in it", "model.alpha=0.01"),
    "=": ("override '=':", "a part of its key path is empty"),
    "hooks.9=1": ("override 'hooks.9=1': 'hooks' has 3 items, and no index 9", "use an index from 0 to 2"),
    "hooks.x=1": ("'hooks' is a list, and 'x' is no index",),
    "model.rat=1": ("override 'model.rat=1': model.rat: Line takes no argument 'rat'", "did you mean 'rate'?"),
    "model.class.x=1": ("'model.class' is a single value", "train.yaml:6:10"),
    "seed=[": ("override 'seed=[': this is not valid YAML",),
    "seed=-1": ("override 'seed=-1': seed:", "(found -1)"),
    "runner=pipelin": ("override 'runner=pipelin': runner:",),
    "runner=sweep": ("there is no runner 'sweep'", "hint: pip install mlcore-sweep"),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_a_bad_override_is_refused_before_anything_is_written(desk, override):
    desk.run(override).refused(*OVERRIDES[override])
    desk.untouched()


FILES = {
    "a folder": (lambda path: path.mkdir(), "this is a folder without a config.yaml", "hint: "),
    "nothing": (lambda path: None, "there is no such config file", "the folder has: train.yaml"),
    "Latin-1": (
        lambda path: path.write_bytes(b"a: caf\xe9"),
        "bad:1:7: this is not UTF-8 text",
        "save the file as UTF-8",
    ),
    "zeros": (lambda path: path.write_bytes(bytes(100)), "bad:1:1:", "U+0000"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_config_is_refused(desk, case):
    make, *fragments = FILES[case]
    make(desk.path / "bad")
    desk.mlcore("run", "bad").refused(*fragments)
    assert not (desk.path / ".mlcore").exists()


def test_a_name_that_cannot_be_stored_is_refused(desk):
    desk.run("--name", "a/b").refused("'a/b' cannot be a name: it has a slash", "hint: use letters")
    assert not desk.runs()


def test_a_config_of_an_odd_name_runs(desk):
    (desk.path / "train.yaml").rename(desk.path / ".hidden .yaml")
    assert desk.mlcore("run", ".hidden .yaml", "--json").ok().json["name"].startswith("run-")


# --- plugins ---


def test_a_plugin_that_is_switched_off_is_told_by_what_needs_it(desk):
    desk.run("--no-plugin", "emloop_compat").refused(
        "train.yaml: runner 'main_loop' belongs to plugin 'emloop_compat'", "switched off by --no-plugin"
    )
    named = desk.run("runner=main_loop", "--no-plugin", "emloop_compat")
    named.refused("runner 'main_loop' belongs to plugin 'emloop_compat'", "hint: switch the plugin on again")
    sklearn = "model={class: sklearn.neural_network.MLPClassifier}"
    off = desk.run(sklearn, "--no-plugin", "sklearn")
    off.refused("no backend recognises sklearn.", "belongs to plugin 'sklearn'", "which is not loaded")
    desk.untouched()


@pytest.fixture
def distributions(monkeypatch):
    """Entry points as installed distributions would have them: a list to fill."""
    real, extra = importlib.metadata.entry_points, []

    def entry_points(**wanted):
        found = real(**wanted)
        return [*found, *(point for point in extra if point.group == wanted.get("group"))]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return extra


def point(name, value):
    return importlib.metadata.EntryPoint(name, value, "mlcore.plugins")


def without(distributions, monkeypatch, *names):
    """Hide installed plugins, as if they were not installed."""
    real = importlib.metadata.entry_points

    def entry_points(**wanted):
        return [found for found in real(**wanted) if found.name not in names]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_a_plugin_that_is_missing_is_named_with_the_command_that_installs_it(desk, distributions, monkeypatch):
    without(distributions, monkeypatch, "emloop_compat", "sklearn")
    desk.run().refused("train.yaml: there is no runner 'main_loop'", "hint: pip install mlcore-emloop-compat")
    desk.run("runner=main_loop").refused("there is no runner 'main_loop'", "hint: pip install mlcore-emloop-compat")
    desk.untouched()


def test_a_backend_that_is_missing_is_named_with_the_command_that_installs_it(desk, distributions, monkeypatch):
    without(distributions, monkeypatch, "sklearn")
    found = desk.run("model={class: sklearn.neural_network.MLPClassifier}")
    found.refused("model.class: no backend recognises sklearn.", "hint: pip install mlcore-sklearn")
    desk.untouched()


def test_a_plugin_that_fails_at_import_is_a_warning_here_and_an_error_there(desk, distributions):
    (desk.path / "sore.py").write_text("raise ImportError('libsore.so.7 is missing')")
    sys.path.insert(0, str(desk.path))
    try:
        distributions.append(point("sore", "sore"))
        done = desk.run().ok()
        warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == 1
        assert "plugin 'sore' failed to load: ImportError: libsore.so.7 is missing" in warnings[0]
        needed = desk.run("runner=sore")
        needed.refused(
            "runner 'sore' belongs to plugin 'sore'", "which failed to load: ImportError: libsore.so.7 is missing"
        )
        assert len(desk.runs()) == 1
    finally:
        sys.path.remove(str(desk.path))


def test_two_plugins_of_one_name_are_both_refused_with_how_to_choose(desk, distributions, monkeypatch):
    module = types.ModuleType("twins")

    class Twin:
        @hookimpl
        def mlcore_register_runners(self, register):
            register("twin", "twins:Twin")

    module.one, module.two = Twin(), Twin()
    monkeypatch.setitem(sys.modules, "twins", module)
    distributions += [point("twin", "twins:one"), point("twin", "twins:two")]
    done = desk.run().ok()
    assert "its name is also that of twins:two; uninstall one" in done.err
    desk.run("runner=twin").refused("runner 'twin' belongs to plugin 'twin'", "its name is also that of")


def test_two_plugins_that_offer_one_runner_are_told_with_how_to_choose(desk, distributions, monkeypatch):
    module = types.ModuleType("rivals")

    class Rival:
        @hookimpl
        def mlcore_register_runners(self, register):
            register("race", "rivals:Rival")

    module.one, module.two = Rival(), Rival()
    monkeypatch.setitem(sys.modules, "rivals", module)
    distributions += [point("rival_a", "rivals:one"), point("rival_b", "rivals:two")]
    found = desk.run("runner=race")
    found.refused("runner 'race' is offered by plugin 'rival_a'", "--no-plugin rival_a or --no-plugin rival_b")
    desk.untouched()


# --- as a real process ---


def test_a_real_process_ends_with_one_error_and_its_exit_code(desk):
    command = [sys.executable, "-m", "mlcore.cli", "run", "train.yaml", "model.rat=1"]
    if importlib.util.find_spec("mlcore.cli.__main__") is None:
        command[1:3] = ["-c", "from mlcore.cli import main; main()"]
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: override 'model.rat=1': model.rat: Line takes no argument 'rat'",
        "  hint: did you mean 'rate'?",
    ]
    desk.untouched()
