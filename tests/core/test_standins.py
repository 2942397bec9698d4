"""Packages that stand in for other projects: one module, two names, for one run."""

from __future__ import annotations

import importlib
import sys
import textwrap
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.cli.app import app
from mlcore.errors import PluginError
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost, check_target, use_host
from mlcore.runs import list_runs
from mlcore.standins import standing_in
from mlcore.store import Store

FILES = {
    "ours/__init__.py": "from ours.things import Thing\nversion = 1\n",
    "ours/things.py": "class Thing:\n    pass\n",
    "ours/deep/__init__.py": "",
    "ours/deep/down.py": "from ..things import Thing\n",
    "ours/broken.py": "import no_such_module_anywhere\n",
}


def plugin(name, hook):
    module = ModuleType(name)
    module.mlcore_register_standins = hook
    return module


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A plugin whose package `ours` stands in for `theirs`."""
    for name, text in FILES.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))

    @hookimpl
    def mlcore_register_standins(register):
        register("theirs", "ours")
        register("inner", "ours.deep")

    host = PluginHost(allow=("ours",)).load()
    host.add("ours", plugin("ours", mlcore_register_standins))
    yield host
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ours", "theirs", "inner")]:
        del sys.modules[name]


@pytest.fixture
def original(tmp_path):
    """The original is installed, too."""
    (tmp_path / "lib" / "theirs").mkdir(parents=True)
    path = tmp_path / "lib" / "theirs" / "__init__.py"
    path.write_text("who = 'the original'\n")
    return path


def test_one_module_has_two_names(host):
    with standing_in(["theirs"], host):
        import theirs
        import theirs.deep.down
        from theirs.things import Thing
    import ours
    import ours.deep.down

    assert theirs is ours
    assert theirs.deep.down is ours.deep.down
    assert Thing is ours.Thing is ours.deep.down.Thing
    assert Thing.__module__ == "ours.things"


def test_a_module_keeps_its_own_name_and_spec(host):
    with standing_in(["theirs"], host):
        import theirs.deep.down
    down = theirs.deep.down
    assert (down.__name__, down.__package__, down.__spec__.name) == ("ours.deep.down", "ours.deep", "ours.deep.down")
    assert importlib.reload(down) is down


def test_a_module_within_a_package_may_stand_in(host):
    with standing_in(["inner"], host):
        import inner.down
    import ours.deep

    assert inner is ours.deep


def test_after_the_block_the_name_is_gone(host):
    before = list(sys.meta_path)
    with standing_in(["theirs"], host):
        importlib.import_module("theirs.things")
    assert sys.meta_path == before
    assert not [name for name in sys.modules if name.startswith("theirs")]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("theirs")


def fail_within(host):
    with standing_in(["theirs"], host):
        importlib.import_module("theirs")
        raise KeyError


def test_the_block_may_end_with_an_error(host):
    with pytest.raises(KeyError):
        fail_within(host)
    assert "theirs" not in sys.modules


def test_an_installed_original_is_hidden_and_that_is_told(host, original):
    with standing_in(["theirs"], host) as lines:
        import theirs

        assert theirs.version == 1
    assert lines == [f"ours stands in for theirs: the one that is installed at {original} is hidden"]
    import theirs as again

    assert again.who == "the original"


def test_where_nothing_is_hidden_nothing_is_told(host):
    with standing_in(["theirs"], host) as lines:
        assert lines == []


def test_a_module_that_we_lack_is_named(host, original):
    with (
        standing_in(["theirs"], host),
        pytest.raises(ModuleNotFoundError, match=r"'theirs\.cli': ours, which stands in for theirs, has no 'cli'") as e,
    ):
        import theirs.cli  # noqa: F401
    assert e.value.name == "theirs.cli"


def test_what_a_module_of_ours_lacks_is_not_blamed_on_it(host):
    with standing_in(["theirs"], host), pytest.raises(ModuleNotFoundError) as caught:
        import theirs.broken  # noqa: F401
    assert caught.value.name == "no_such_module_anywhere"


def test_other_imports_are_left_alone(host):
    with standing_in(["theirs"], host), pytest.raises(ModuleNotFoundError, match="No module named 'theirsome'"):
        import theirsome  # noqa: F401


@pytest.mark.parametrize("name", ["theris", "nothing-like-it"])
def test_an_unknown_name_has_the_nearest(host, name):
    with pytest.raises(PluginError, match=f"no stand-in '{name}'\n  hint: .*theirs"), standing_in([name], host):
        pass


def test_a_name_that_is_imported_already_is_refused(host, original):
    import theirs  # noqa: F401

    with pytest.raises(PluginError, match="'theirs' is imported already"), standing_in(["theirs"], host):
        pass
    assert "theirs" in sys.modules


def test_nothing_stands_in_when_one_name_is_wrong(host):
    before = list(sys.meta_path)
    with pytest.raises(PluginError), standing_in(["theirs", "wrong"], host):
        pass
    assert sys.meta_path == before


@pytest.mark.parametrize("target", ["ours:Thing", "ours:", "", "ours.", 3])
def test_the_target_of_a_stand_in_is_a_module(target):
    @hookimpl
    def mlcore_register_standins(register):
        register("theirs", target)

    with pytest.raises(PluginError, match=r"stand-in 'theirs': the name of a module"):
        PluginHost().add("wrong", plugin("wrong", mlcore_register_standins))
    assert check_target("ours") is not None  # of everything else it is not


# --- in runs ---

PROGRAM = """
    import theirs
    from theirs.things import Thing
    print(theirs.version, Thing.__module__)
"""


@pytest.fixture
def desk(tmp_path, monkeypatch, host):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.py").write_text(textwrap.dedent(PROGRAM))
    store = Store(str(tmp_path / "store"))
    with use_host(host):
        yield SimpleNamespace(
            path=tmp_path, store=store, log=lambda: next(list_runs(store)).folder.read_bytes("files/console.log")
        )


def test_a_program_runs_on_our_package(desk, capfd):
    view = mlcore.run("old.py", compat=["theirs"], store=desk.store)
    assert desk.log() == b"1 ours.things\n"
    assert view.effective_config().get("compat") == ["theirs"]


def test_without_the_flag_nothing_stands_in(desk, original, capfd):
    with pytest.raises(ModuleNotFoundError, match=r"theirs\.things"):
        mlcore.run("old.py", store=desk.store)
    assert b"ours" not in desk.log().splitlines()[-1]


def test_without_the_flag_the_error_says_what_could_stand_in(desk, capfd):
    with pytest.raises(ModuleNotFoundError) as caught:
        mlcore.run("old.py", store=desk.store)
    assert caught.value.__notes__ == ["ours can stand in for it: --compat=theirs"]


def test_a_resumed_run_has_the_same_stand_ins(desk, capfd):
    (desk.path / "old.py").write_text("import sys, theirs, mlcore; sys.exit(mlcore.current_run().attempt.number == 1)")
    with pytest.raises(mlcore.MlcoreError, match="exit code"):
        mlcore.run("old.py", compat=["theirs"], store=desk.store)
    job, run = mlcore.runs.resume_job(next(list_runs(desk.store)))
    mlcore.runs.execute_job(job, run)
    assert run.status == "finished"


def test_a_config_may_ask_for_them(desk, capfd):
    (desk.path / "job.yaml").write_text("runner: script\nscript: old.py\ncompat: [theirs]\n")
    mlcore.run("job.yaml", store=desk.store)
    assert desk.log() == b"1 ours.things\n"


def test_an_unknown_one_stops_before_a_run_exists(desk):
    with pytest.raises(PluginError, match="did you mean 'theirs'"):
        mlcore.run("old.py", compat=["their"], store=desk.store)
    assert not (desk.path / "store").exists()


def test_the_command_line_hands_the_names_on(desk, original, monkeypatch, capfd):
    monkeypatch.setattr(
        PluginHost, "from_environment", classmethod(lambda cls, block=(): mlcore.plugins.current_host())
    )
    for flag in ("--compat", "--compat=theirs", "--compat=theirs,inner"):
        result = CliRunner().invoke(app, ["run", "old.py", flag, "--store", desk.store.url])
        assert result.exit_code == 0, result.output
        assert desk.log().endswith(b"1 ours.things\n")
        told = f"warning: ours stands in for theirs: the one that is installed at {original} is hidden"
        assert result.output.splitlines().count(told) == 1
