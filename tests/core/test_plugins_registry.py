from __future__ import annotations

import types

import pytest

from mlcore.errors import PluginError
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost, Registry, check_target, import_target


class Found:
    class Inner:
        pass


def plugin(kind="runners", raises=None, **offers):
    def register_all(register):
        for name, target in offers.items():
            register(name, target)
        if raises:
            raise raises

    found = types.ModuleType("made_here")
    setattr(found, f"mlcore_register_{kind}", hookimpl(register_all))
    return found


@pytest.fixture
def host():
    return PluginHost()


def resolve(host, name, kind="runners"):
    with pytest.raises(PluginError) as caught:
        getattr(host, kind).resolve(name)
    return caught.value


def fail(host, name, module):
    with pytest.raises(PluginError):
        host.add(name, module)


def test_names_are_sorted_and_resolved_once(host):
    host.add("p", plugin(b="json:loads", a="json:JSONDecoder.decode"))
    assert list(host.runners) == ["a", "b"]
    assert len(host.runners) == 2
    assert "a" in host.runners
    assert "c" not in host.runners
    assert host.runners.resolve("b") is host.runners.resolve("b") is import_target("json:loads")
    assert host.runners.resolve("a") is import_target("json:JSONDecoder").decode


def test_kinds_do_not_mix(host):
    for kind in ("backends", "runners", "executors", "standins"):
        host.add(kind, plugin(kind, same="json" if kind == "standins" else "json:loads"))
    for registry in (host.backends, host.runners, host.executors, host.standins):
        assert list(registry) == ["same"]
        registry.resolve("same")


def test_an_unknown_name_gets_the_nearest(host):
    host.add("p", plugin(main_loop="json:loads"))
    error = resolve(host, "main_lop")
    assert str(error) == "there is no runner 'main_lop'\n  hint: did you mean 'main_loop'?"
    assert "valid names: main_loop" in str(resolve(host, "quite different"))


@pytest.mark.parametrize(
    ("kind", "name", "install"),
    [
        ("runners", "main_loop", "mlcore-emloop-compat"),
        ("runners", "pipeline", "mlcore-pipeline"),
        ("runners", "adapter", "mlcore-adapter"),
        ("backends", "sklearn", "mlcore-sklearn"),
        ("backends", "torch", "mlcore-torch"),
        ("executors", "dask", "mlcore-dask"),
        ("standins", "dtlpy", "mlcore-adapter"),
    ],
)
def test_a_name_of_our_own_distributions_says_what_to_install(host, kind, name, install):
    assert resolve(host, name, kind).hint == f"pip install {install}"


def test_a_name_of_a_failed_plugin_names_it_and_its_cause(host):
    fail(host, "tracker", plugin(raises=OSError("no server"), tracked="json:loads"))
    error = resolve(host, "tracked")
    assert error.what == "runner 'tracked' belongs to plugin 'tracker', which failed to load: OSError: no server"
    assert isinstance(error.__cause__, OSError)


def test_a_plugin_that_failed_at_import_is_found_by_its_name(host):
    fail(host, "mine", plugin(raises=OSError("no server")))
    assert "belongs to plugin 'mine', which failed to load" in resolve(host, "mine").what


def test_an_unknown_name_beside_a_failed_plugin_tells_of_it(host):
    fail(host, "tracker", plugin(raises=OSError("no server")))
    error = resolve(host, "tracked")
    assert error.what == "there is no runner 'tracked'"
    assert "may have failed to load: plugin 'tracker': OSError: no server" in error.hint
    assert isinstance(error.__cause__, OSError)


def test_two_plugins_of_one_name_are_an_error_only_when_it_is_needed(host):
    host.add("one", plugin(same="json:loads", other="json:dumps"))
    host.add("two", plugin(same="json:load"))
    assert host.runners.resolve("other") is import_target("json:dumps")
    assert host.warnings == ["plugin 'two' offers the runner 'same', and so does plugin 'one'"]
    error = resolve(host, "same")
    assert error.what == "runner 'same' is offered by plugin 'one', json:loads and plugin 'two', json:load"
    assert error.hint == "switch one off: --no-plugin one or --no-plugin two"


def test_a_conflict_counts_although_the_name_was_resolved_before(host):
    host.add("one", plugin(same="json:loads"))
    host.runners.resolve("same")
    host.add("two", plugin(same="json:load"))
    assert "is offered by plugin 'one'" in resolve(host, "same").what


@pytest.mark.parametrize(
    ("target", "cause", "hint"),
    [
        ("no_such_module:X", ModuleNotFoundError, "update the plugin, or switch it off: --no-plugin p"),
        ("json:Nothing", AttributeError, "update the plugin, or switch it off: --no-plugin p"),
    ],
)
def test_a_target_that_is_not_there_names_plugin_and_cause(host, target, cause, hint):
    host.add("p", plugin(broken=target))
    error = resolve(host, "broken")
    assert error.where == "plugin 'p'"
    assert f"runner 'broken' cannot be imported from {target}: {cause.__name__}: " in error.what
    assert error.hint == hint
    assert isinstance(error.__cause__, cause)


def test_a_framework_that_is_not_installed_is_named(host, tmp_path, monkeypatch):
    (tmp_path / "needs_framework.py").write_text("import framework_that_is_missing.nn\n")
    monkeypatch.syspath_prepend(tmp_path)
    host.add("p", plugin("backends", jax="needs_framework:Backend"))
    error = resolve(host, "jax", "backends")
    assert error.hint == "the module 'framework_that_is_missing' is not installed: pip install what provides it"


def test_an_empty_registry_says_so():
    with pytest.raises(PluginError, match="there is no thing 'x'\n  hint: there are no valid names here"):
        Registry("thing").resolve("x")


@pytest.mark.parametrize("target", ["a:b", "a.b:C.d", "_a:_b", "ä:ö"])
def test_good_targets(target):
    assert check_target(target) is None


@pytest.mark.parametrize("target", ["a", "a:", ":b", "a:b:c", "a.:b", "a b:c", "1a:b", "", "a:b\n", None, 3])
def test_bad_targets(target):
    assert "package.module:Name" in check_target(target)


def test_a_class_given_as_target_is_told_how_to_write_it():
    assert check_target(Found.Inner).endswith(f"write '{__name__}:Found.Inner'")
