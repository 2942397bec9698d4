"""Which runner executes a config: the one that it names, or the only one whose sections it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from mlcore.config import Config
from mlcore.errors import ConfigError, PluginError
from mlcore.plugins import PluginHost
from mlcore.runs.runner import Runner

# The sections by which runners of our other distributions are known.
_PUBLISHED = {"main_loop": ("dataset", "model")}


def choose_runner(config: Config, host: PluginHost) -> tuple[str, Runner]:
    """The runner of a config, and its name.

    Raises:
        ConfigError: It names none, and has the sections of none or of several.
        PluginError: What it names is not installed, or broken.
    """
    name = _name(config, host)
    try:
        runner: Runner = host.runners.resolve(name)()
    except PluginError as error:
        if error.where is None and config.get("runner") is not None:
            error.where = f"{config.position('runner')}: runner"
        raise
    return name, runner


def _name(config: Config, host: PluginHost) -> str:
    named = config.get("runner")
    if named is None:
        return _by_sections(config, host)
    if not isinstance(named, str):
        raise config.error("runner", f"a runner is named by a word, not {named!r}", _naming(host))
    return named


def _by_sections(config: Config, host: PluginHost) -> str:
    sections: dict[str, Sequence[str]] = {
        entry.name: entry.options["sections"] for entry in host.runners.values() if entry.options.get("sections")
    }
    lacking = {
        name: [section for section in needed if config.get(section) is None] for name, needed in sections.items()
    }
    fitting = [name for name, absent in lacking.items() if not absent]
    if len(fitting) > 1:
        what = f"it has the sections of several runners: {', '.join(fitting)}"
        raise ConfigError(what, where=config.name, hint=_naming(host))
    if not fitting:
        if missing := _not_installed(config, host):
            raise missing
        partly = {name: absent for name, absent in lacking.items() if len(absent) < len(sections[name])}
        raise _nearly(config, partly) if partly else _unknown(config, host)
    return fitting[0]


def _not_installed(config: Config, host: PluginHost) -> PluginError | None:
    """Say that a runner of ours would fit, and why it is not there: not installed, switched off, or broken."""
    for name, needed in _PUBLISHED.items():
        if name not in host.runners and all(config.get(section) is not None for section in needed):
            try:
                host.runners.resolve(name)
            except PluginError as error:
                error.where = config.name
                return error
    return None


def _nearly(config: Config, lacking: Mapping[str, Sequence[str]]) -> ConfigError:
    """Say what is missing to the runner that lacks least."""
    name = min(lacking, key=lambda each: len(lacking[each]))
    section = lacking[name][0]
    if section in config.data:
        return config.error(section, f"this section is empty, and the runner {name} needs it")
    what = f"the section {section!r} is missing, which the runner {name} needs"
    for similar in get_close_matches(section, map(str, config.data), n=1):
        return config.error(similar, what, f"did you mean {section!r}?")
    return ConfigError(what, where=config.name, hint=f"add `{section}:`, or a line `runner: NAME` for another runner")


def _unknown(config: Config, host: PluginHost) -> ConfigError:
    return ConfigError("no runner is known by the sections of this config", where=config.name, hint=_naming(host))


def _naming(host: PluginHost) -> str:
    return f"add a line `runner: NAME` (runners: {', '.join(sorted(host.runners)) or 'none'})"
