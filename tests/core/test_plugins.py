"""Plugins as users install them: distributions with entry points in a folder of the import path."""

from __future__ import annotations

import sys
import threading
import types

import pytest

from mlcore import hookspecs
from mlcore.errors import PluginError
from mlcore.events import Bus, EpochStarted
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost, Report, command_entry_points, current_host, use_host

RUNNER = """
from mlcore.hookspecs import hookimpl

@hookimpl
def mlcore_register_runners(register):
    register("{runner}", "{target}")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution into a folder that is on the import path."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution, code="", *, name=None, module=None, group="mlcore.plugins", points=None, version="1.0"):
        module = module or distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = points or f"{name or distribution} = {module}"
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


def runner(name="mine", target="json:JSONDecoder"):
    return RUNNER.format(runner=name, target=target)


def host_of(*allow, **options):
    return PluginHost(allow=allow, **options).load()


def record(host, name):
    (found,) = [record for record in host.records if record.name == name]
    return found


def theirs(registry):
    """What is registered, without what is built in."""
    return [name for name in registry if registry[name].plugin != "core"]


def module(**attributes):
    found = types.ModuleType("made_here")
    vars(found).update(attributes)
    return found


def test_an_installed_plugin_is_loaded_and_recorded(install):
    install("good-dist", runner(), name="good", version="2.1")
    host = host_of("good")
    good = record(host, "good")
    assert (good.status, good.distribution, good.version, good.error) == ("loaded", "good-dist", "2.1", None)
    assert good.hooks == ("mlcore_register_runners",)
    assert good.offers == [("runner", "mine")]
    assert good.seconds > 0
    assert host.warnings == []
    entry = host.runners["mine"]
    assert (entry.name, entry.target, entry.plugin, entry.distribution) == (
        "mine",
        "json:JSONDecoder",
        "good",
        "good-dist",
    )


def test_the_core_is_a_plugin_like_any_other():
    host = host_of()
    assert record(host, "core").status == "loaded"
    assert record(host, "core").target == "mlcore._builtin"
    assert host.backends["native"].target == "mlcore.model:NativeBackend"
    assert host.backends["native"].options["priority"] == -100
    assert host.executors["serial"].target == "mlcore.execution:SerialExecutor"


def test_loading_twice_loads_once(install):
    install("good", runner())
    host = host_of("good")
    assert host.load() is host
    assert [one.name for one in host.records].count("good") == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import what_is_missing", "ModuleNotFoundError: No module named 'what_is_missing'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError: "),
        ("requires = 'other'", "its `requires` is 'other'; a tuple of plugin names is wanted: ('other',)"),
        (runner().replace("register(", "raise ValueError('odd')\n    register("), "ValueError: odd"),
        (runner().replace("runners", "runer"), "there is no hook 'mlcore_register_runer'"),
        (runner().replace("(register)", "(registry)"), "registry"),
        (runner().replace("(register)", "(register=None)"), "mlcore_register_runners gives register a default"),
        (runner().replace("@hookimpl", "@hookimpl(wrapper=True)") + "    yield", "is a hook wrapper"),
        (runner(target="json"), "runner 'mine': 'json' is not of the form 'package.module:Name'"),
        (runner(target="a b:c"), "runner 'mine': 'a b:c' is not of the form"),
        (runner(name="a b"), "'a b' is no name for a runner"),
        (runner() + "    register('mine', 'json:loads')", "runner 'mine' is registered twice"),
        (runner() + "    register('x', 'json:loads', sections='dataset')", "sections='dataset' is one string"),
        (runner() + "    register('x', ValueError)", "a string 'package.module:Name' is wanted"),
    ],
)
def test_a_broken_plugin_is_a_record_and_a_line_and_harms_nobody(install, code, error):
    install("bad-dist", code, name="bad")
    install("zebra", runner("striped"))
    host = host_of("bad", "zebra")
    bad = record(host, "bad")
    assert bad.status == "failed"
    assert error in bad.error
    assert "\n" not in bad.error
    assert bad.exception.__traceback__ is not None
    assert host.warnings == [
        f"plugin 'bad' (bad-dist 1.0) failed to load: {bad.error}; see `mlcore plugins`",
    ]
    assert theirs(host.runners) == ["striped"], "something of the broken plugin stayed registered"


def test_a_misspelt_hook_names_the_nearest():
    with pytest.raises(PluginError) as caught:
        PluginHost().add("bad", module(mlcore_subscibe=hookimpl(lambda run: None)))
    assert "there is no hook 'mlcore_subscibe'" in str(caught.value)
    assert caught.value.hint == "did you mean 'mlcore_subscribe'?"


def test_an_optional_hook_of_a_later_core_is_no_mistake():
    host = PluginHost()
    later = module(mlcore_invented_later=hookimpl(optionalhook=True)(lambda x: None))
    assert host.add("early", later).status == "loaded"


def test_hooks_of_different_kinds_are_kept_together_or_not_at_all(install):
    code = runner() + "\n@hookimpl\ndef mlcore_register_standins(register):\n    raise OSError('late')\n"
    install("bad", code)
    host = host_of("bad")
    assert theirs(host.runners) == []
    assert record(host, "bad").error == "OSError: late"


def test_strict_raises_at_once_with_its_cause(install, monkeypatch):
    install("bad-dist", "import what_is_missing", name="bad")
    monkeypatch.setenv("MLCORE_PLUGINS", "bad")
    monkeypatch.setenv("MLCORE_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"plugin 'bad' \(bad-dist 1.0\): failed to load: ModuleNotFound") as caught:
        PluginHost.from_environment().load()
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_two_distributions_of_one_plugin_name_both_fail(install):
    install("one-dist", runner("a"), name="same")
    install("two-dist", runner("b"), name="same", version="3.0")
    host = host_of("same")
    first, second = [one for one in host.records if one.name == "same"]
    assert {first.status, second.status} == {"failed"}
    assert "its name is also that of two-dist 3.0 (two_dist)" in first.error
    assert "its name is also that of one-dist 1.0 (one_dist)" in second.error
    assert theirs(host.runners) == []
    assert "one_dist" not in sys.modules
    assert "two_dist" not in sys.modules


def test_nobody_else_can_be_called_core(install):
    install("usurper", runner(), name="core")
    host = host_of()
    ours, theirs = sorted((one for one in host.records if one.name == "core"), key=lambda one: one.status, reverse=True)
    assert (ours.status, ours.target) == ("loaded", "mlcore._builtin")
    assert theirs.status == "failed"
    assert "its name is also that of" in theirs.error
    assert "usurper" not in sys.modules


def test_core_cannot_be_switched_off(monkeypatch):
    monkeypatch.setenv("MLCORE_DISABLE_PLUGINS", "core")
    with pytest.raises(PluginError, match="'core' is built in and cannot be switched off"):
        PluginHost.from_environment()


def test_a_blocked_plugin_is_not_even_imported(install, monkeypatch):
    install("good", runner())
    monkeypatch.setenv("MLCORE_PLUGINS", "good")
    monkeypatch.setenv("MLCORE_DISABLE_PLUGINS", " good ,")
    for host in (PluginHost(block=["good"]), PluginHost.from_environment()):
        good = record(host.load(), "good")
        assert (good.status, good.error) == ("blocked", "switched off by --no-plugin or MLCORE_DISABLE_PLUGINS")
        assert "good" not in sys.modules
        with pytest.raises(PluginError, match=r"runner 'good' belongs to plugin 'good' .* which is not loaded"):
            host.runners.resolve("good")


def test_an_empty_allow_list_leaves_only_the_core(install, monkeypatch):
    install("good", runner())
    monkeypatch.setenv("MLCORE_PLUGINS", "")
    host = PluginHost.from_environment().load()
    assert [one.name for one in host.records if one.status == "loaded"] == ["core"]
    assert record(host, "good").error == "not among MLCORE_PLUGINS"


def test_switching_what_is_not_installed_is_told(install):
    install("tracker", runner())
    host = host_of("trakcer", "tracker", block=["nothing-like-it"])
    assert host.warnings[1] == ("no plugin 'trakcer' is installed to be switched on or off: did you mean 'tracker'?")
    assert host.warnings[0].startswith("no plugin 'nothing-like-it' is installed")


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("true", True), ("", False), ("0", False), ("off", False)])
def test_switches_of_the_environment(monkeypatch, value, strict):
    monkeypatch.setenv("MLCORE_STRICT_PLUGINS", value)
    assert PluginHost.from_environment().strict is strict


def test_a_switch_that_is_neither_is_an_error(monkeypatch):
    monkeypatch.setenv("MLCORE_STRICT_PLUGINS", "ture")
    with pytest.raises(PluginError, match="MLCORE_STRICT_PLUGINS='ture' is neither 1 nor 0"):
        PluginHost.from_environment()


def test_load_times_can_be_traced(install, monkeypatch, capsys):
    install("good", runner())
    monkeypatch.setenv("MLCORE_PLUGINS", "good")
    monkeypatch.setenv("MLCORE_TRACE_PLUGINS", "1")
    PluginHost.from_environment().load()
    assert "ms  loaded   plugin 'good' (good 1.0)" in capsys.readouterr().err


def test_plugins_load_by_name_but_after_what_they_require(install):
    install("a", "requires = ('c',)\n" + runner("a"))
    install("b", runner("b"))
    install("c", runner("c"))
    host = PluginHost(allow=["a", "b", "c"])
    order = []
    registered = host._register

    def spy(one, plugin, **options):
        order.append(one.name)
        registered(one, plugin, **options)

    host._register = spy
    host.load()
    assert order == ["c", "a", "b", "core"]
    assert theirs(host.runners) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("needed", "code", "fate"),
    [
        ("b", None, "which is not installed"),
        ("b", "import what_is_missing", "which failed to load"),
        ("off", runner("off"), "which is switched off"),
    ],
)
def test_a_plugin_without_what_it_requires_fails(install, needed, code, fate):
    install("a", f"requires = ('{needed}',)\n" + runner("a"))
    if code:
        install(needed, code)
    host = host_of("a", "b")
    assert record(host, "a").error == f"it requires the plugin '{needed}', {fate}"
    assert theirs(host.runners) == []


def test_plugins_that_wait_for_each_other_fail_and_the_others_load(install):
    install("a", "requires = ('b',)\n" + runner("a"))
    install("b", "requires = ('a',)\n" + runner("b"))
    install("c", "requires = ('b',)\n" + runner("c"))
    install("d", runner("d"))
    host = host_of("a", "b", "c", "d")
    assert record(host, "a").error == "the plugins wait for each other: a requires b requires a"
    assert record(host, "b").error == record(host, "a").error
    assert record(host, "c").error == "it requires the plugin 'b', which failed to load"
    assert theirs(host.runners) == ["d"]


@pytest.mark.parametrize(
    ("code", "points", "warning"),
    [
        ("x = 1", None, "has no hooks: its entry point should name the module that has them"),
        ("plugin = lambda: None", "odd = odd:plugin", "has no hooks"),
        (
            "def mlcore_subscribe(run): ...",
            None,
            "has a function mlcore_subscribe that is no hook: mark it with @hooki",
        ),
    ],
)
def test_what_loads_but_is_odd_is_a_warning(install, code, points, warning):
    install("odd", code, points=points)
    host = host_of("odd")
    assert record(host, "odd").status == "loaded"
    assert warning in record(host, "odd").warnings[0]
    assert host.warnings[0] == f"plugin 'odd' (odd 1.0) {record(host, 'odd').warnings[0]}"


def test_a_class_is_refused_and_the_forgotten_brackets_named(install):
    code = "from mlcore import hookimpl\nclass Plugin:\n    @hookimpl\n    def mlcore_subscribe(self, run): ...\n"
    install("classy", code + "plugin = Plugin()", points="classy = classy:Plugin\ninstance = classy:plugin")
    host = host_of("classy", "instance")
    assert record(host, "classy").error == "Plugin is a class: its hooks would lack `self`"
    assert record(host, "classy").exception.hint == "register a module, or an instance: Plugin()"
    assert record(host, "instance").hooks == ("mlcore_subscribe",)


@pytest.mark.parametrize("value", ["bad:", "bad module", "bad:x y", ":bad"])
def test_an_entry_point_that_names_nothing_fails(install, value):
    install("bad", points=f"bad = {value}")
    host = host_of("bad")
    assert record(host, "bad").status == "failed"
    assert record(host, "bad").error == f"its entry point {value!r} is not of the form 'package.module'"


def test_an_unreadable_entry_point_file_costs_only_its_distribution(install):
    install("broken-dist", points="this line has no equals sign")
    install("good", runner())
    host = host_of("good")
    assert record(host, "good").status == "loaded"
    (warning,) = host.warnings
    assert warning.startswith("the entry points of broken-dist cannot be read: ")


def test_an_object_with_traps_registers_on_every_pluggy():
    class Plugin:
        __hash__ = None

        def __eq__(self, other):
            return True

        @property
        def trap(self):
            raise RuntimeError("a property was evaluated")

        @hookimpl
        def mlcore_register_runners(self, register):
            register(self.runner, "json:JSONDecoder")

    host = PluginHost()
    for name in ("a", "b"):
        plugin = Plugin()
        plugin.runner = name
        host.add(name, plugin)
    assert theirs(host.runners) == ["a", "b"]


def test_the_lazy_attributes_of_a_module_are_left_alone():
    asked = []

    def lazily(name):
        asked.append(name)
        raise AttributeError(name)

    host = PluginHost()
    assert host.add("lazy", module(__getattr__=lazily, __dir__=lambda: ["heavy"])).status == "loaded"
    assert "heavy" not in asked


def test_adding_by_hand(install):
    host = PluginHost(block=["off"])
    mine = module(mlcore_register_runners=hookimpl(lambda register: register("mine", "json:JSONDecoder")))
    assert host.add("mine", mine).distribution is None
    assert host.runners.resolve("mine").__name__ == "JSONDecoder"
    assert host.add("off", mine).status == "blocked"
    with pytest.raises(PluginError, match="there is a plugin 'mine' already"):
        host.add("mine", mine)
    with pytest.raises(PluginError, match="plugin 'needy': failed to load: it requires the plugin 'x', which is not"):
        host.add("needy", module(requires=("x",)))


def test_what_is_added_by_hand_needs_no_leave():
    host = PluginHost(allow=()).load()
    assert host.add("mine", module(mlcore_subscribe=hookimpl(lambda run: None))).status == "loaded"


def test_what_was_added_by_hand_stays_when_others_load(install):
    install("mine", runner("installed"))
    host = PluginHost(allow=["mine"])
    host.add("mine", module(mlcore_register_runners=hookimpl(lambda register: register("added", "json:loads"))))
    host.load()
    assert theirs(host.runners) == ["added"]
    assert [(one.status, one.error) for one in host.records if one.name == "mine"] == [
        ("loaded", None),
        ("failed", "its name is also that of a plugin that was added by hand"),
    ]
    assert "mine" not in sys.modules
    assert len(host.warnings) == 1, "the name was taken for unknown"


@pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("mlcore_")])
def test_the_example_of_every_hook_is_a_working_plugin(name):
    _, _, example = getattr(hookspecs, name).__doc__.partition("Example:\n")
    lines = [line.removeprefix(" " * 8) for line in example.rstrip().splitlines()]
    assert len(lines) <= 8
    plugin = module()
    exec("\n".join(lines), vars(plugin))
    host = PluginHost()
    assert host.add("example", plugin).hooks == (name,)
    report, run = Report(), types.SimpleNamespace(bus=Bus())
    host.subscribe(run)
    host.diagnose(report)
    assert bool(report.findings) == (name == "mlcore_diagnose")


def test_subscribing_calls_every_plugin_and_names_the_one_that_raises(install):
    host, seen = PluginHost(), []
    host.add("good", module(mlcore_subscribe=hookimpl(lambda run: run.bus.on(EpochStarted, seen.append))))
    run = types.SimpleNamespace(bus=Bus())
    host.subscribe(run)
    run.bus.channel(EpochStarted).emit(EpochStarted(1))
    assert len(seen) == 1

    def broken(run):
        raise OSError("no server")

    host.add("tracker", module(mlcore_subscribe=hookimpl(broken)))
    with pytest.raises(OSError, match="no server") as caught:
        host.subscribe(run)
    assert caught.value.__notes__ == ["raised by mlcore_subscribe of plugin 'tracker'"]


def test_a_diagnosis_that_raises_is_a_finding():
    def broken(report):
        raise OSError("no server")

    host, report = PluginHost(), Report()
    host.add("a", module(mlcore_diagnose=hookimpl(broken)))
    host.add("b", module(mlcore_diagnose=hookimpl(lambda report: report.add("disk", "full", status="warning"))))
    host.diagnose(report)
    assert [(one.subject, one.text, one.status) for one in report.findings] == [
        ("plugin 'a'", "mlcore_diagnose raised OSError: no server", "error"),
        ("disk", "full", "warning"),
    ]


def test_the_current_host_is_the_innermost_and_else_the_process_one(monkeypatch):
    from mlcore.plugins import context

    monkeypatch.setattr(context, "_default", None)
    monkeypatch.setenv("MLCORE_PLUGINS", "")
    default = current_host()
    assert default is current_host()
    assert record(default, "core").status == "loaded"
    outer, inner = PluginHost(), PluginHost()
    with use_host(outer):
        with use_host(inner) as given:
            assert given is inner is current_host()
        assert current_host() is outer
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current_host()))
        thread.start()
        thread.join()
        assert seen == [default]
    assert current_host() is default


def test_a_default_host_that_could_not_load_is_not_kept(install, monkeypatch):
    from mlcore.plugins import context

    monkeypatch.setattr(context, "_default", None)
    install("bad", "import what_is_missing")
    monkeypatch.setenv("MLCORE_PLUGINS", "bad")
    monkeypatch.setenv("MLCORE_STRICT_PLUGINS", "1")
    for _ in range(2):
        with pytest.raises(PluginError, match="what_is_missing"):
            current_host()


def test_commands_are_only_names_until_they_are_loaded(install):
    install("serve-dist", "app = 'the app'", group="mlcore.commands", points="serve = serve_dist:app")
    commands = command_entry_points()
    assert "serve_dist" not in sys.modules
    assert commands["serve"].load() == "the app"


def test_a_command_of_two_distributions_fails_when_it_is_invoked(install):
    for name in ("one", "two"):
        install(name, "app = 1", group="mlcore.commands", points=f"serve = {name}:app")
    with pytest.raises(
        PluginError, match=r"the command 'serve' is offered by one 1.0 \(one:app\) and two 1.0 \(two:app\)"
    ):
        command_entry_points()["serve"].load()


def test_a_command_that_cannot_be_imported_says_why(install):
    install("bad", "import what_is_missing", group="mlcore.commands", points="serve = bad:app")
    with pytest.raises(PluginError, match="the command 'serve' cannot be imported: ModuleNotFoundError") as caught:
        command_entry_points()["serve"].load()
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


REQUIRES = [
    ("mlcore-core>=9.1,<9.2", "it is made for mlcore-core>=9.1,<9.2, and {} is installed"),
    ("MLcore_Core (>=9.1)", "it is made for mlcore-core>=9.1, and {} is installed"),
    ("mlcore.core ~= 9.1", "it is made for mlcore-core~=9.1, and {} is installed"),
    ("mlcore-core==9.0.*", "it is made for mlcore-core==9.0.*, and {} is installed"),
]


def require(tmp_path, requirement):
    (file,) = tmp_path.glob("*.dist-info/METADATA")
    file.write_text(f"{file.read_text()}Requires-Dist: numpy>=1\nRequires-Dist: {requirement}\n")


@pytest.mark.parametrize(("requirement", "error"), REQUIRES)
def test_a_plugin_for_a_newer_core_is_told_and_not_imported(install, tmp_path, requirement, error):
    from importlib.metadata import version

    install("newer", "raise AssertionError('imported')")
    require(tmp_path, requirement)
    host = host_of("newer")
    assert record(host, "newer").error == error.format(version("mlcore-core"))
    assert record(host, "newer").exception.hint == "pip install --upgrade mlcore-core"
    assert len(host.warnings) == 1
    assert "\n" not in host.warnings[0]


def test_a_plugin_for_an_older_core_is_loaded_with_a_warning(install, tmp_path):
    install("older", runner())
    require(tmp_path, "mlcore-core>=0.0.1,<0.0.2")
    host = host_of("older")
    assert record(host, "older").status == "loaded"
    assert "is made for mlcore-core>=0.0.1,<0.0.2, and " in host.warnings[0]


@pytest.mark.parametrize(
    "requirement",
    ["mlcore-core", "mlcore-core>=0.0,<99", "mlcore-core>=9; extra == 'new'", "mlcore-core-extras>=9", "torch>=9"],
)
def test_a_plugin_for_this_core_is_loaded_quietly(install, tmp_path, requirement):
    install("mine", runner())
    require(tmp_path, requirement)
    host = host_of("mine")
    assert (record(host, "mine").status, host.warnings) == ("loaded", [])
