"""The six hooks by which a plugin joins mlcore; our own packages use the same ones.

A plugin is a module with some of these functions, marked with `@hookimpl`, and one line in its `pyproject.toml`:

    [project.entry-points."mlcore.plugins"]
    mine = "my_package.plugin"

Write it so that importing it is cheap: hooks register strings like `"my_package.model:MyBackend"`, which are imported
when they are first needed. Name only arguments that you use, give them no defaults (versions of pluggy differ in what
they pass), and count on no order among plugins: where one plugin needs another, `requires = ("other",)` in the module
loads that one first. Each plugin is called by itself, so hook wrappers have nothing to wrap and are refused.

Registration hooks are called once in every process that loads plugins: the one that runs the command, and each worker.
When one raises, the whole plugin counts as failed: nothing of it stays registered, one line warns, `mlcore plugins`
shows the cause, and only what needs the plugin is an error. With `MLCORE_STRICT_PLUGINS=1` it is raised at once.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import pluggy

PROJECT = "mlcore"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """What a registration hook is given."""

    def __call__(self, name: str, target: str, **options: Any) -> None:  # options differ by kind
        """Offer something under a name.

        Args:
            name: What users write: letters, digits, `_`, `-` and `.`.
            target: Where it is, as `package.module:Name`. It is not imported now.
            options: What the core may know before it imports the target; each hook says which it reads.
        """


class Diagnosis(Protocol):
    """What `mlcore_diagnose` is given."""

    def add(
        self, subject: str, text: str, *, status: Literal["ok", "warning", "error"] = "ok", hint: str | None = None
    ) -> None:
        """Tell one finding: what was looked at, what was found, how that is, and what to do about it."""


@hookspec
def mlcore_register_backends(register: Register) -> None:
    """Offer backends: classes that follow `mlcore.model.Backend`, made without arguments.

    When: as plugins are loaded, before the first model is wrapped or restored.
    How often: once per process.
    Process: the main one and every worker.
    Raising: the plugin counts as failed; the others go on.
    Options: `frameworks`, a tuple of root modules: the backend is asked only about objects of classes from there.
        `options`, a tuple: what a config may say of such objects besides names and labels; handed to `wrap`.
        `priority`, an integer: the higher one wins when two backends recognise an object; 0 by default.
        `samples`, a path `module:function` to what `mlcore plugins --check` uses; see `mlcore.testing.samples`.

    Example:
        from mlcore.hookspecs import Register, hookimpl

        @hookimpl
        def mlcore_register_backends(register: Register) -> None:
            register("jax", "mlcore_jax.backend:JaxBackend", frameworks=("jax", "flax"), options=("optimizer",))
    """


@hookspec
def mlcore_register_runners(register: Register) -> None:
    """Offer runners: what a config's `runner:` names, made without arguments.

    When: as plugins are loaded, before a config is validated.
    How often: once per process.
    Process: the main one and every worker.
    Raising: the plugin counts as failed; the others go on.
    Options: `sections`, a tuple of top-level keys: a config without `runner:` that has all of them is this runner's.
        `samples`, a path `module:function` to what `mlcore plugins --check` uses; see `mlcore.testing.samples`.

    Example:
        from mlcore.hookspecs import Register, hookimpl

        @hookimpl
        def mlcore_register_runners(register: Register) -> None:
            register("sweep", "mlcore_sweep.runner:SweepRunner", sections=("search", "study"))
    """


@hookspec
def mlcore_register_executors(register: Register) -> None:
    """Offer executors: classes that follow `mlcore.execution.Executor`, made with the address behind `name://`, if any.

    When: as plugins are loaded, before the first executor is opened.
    How often: once per process.
    Process: the main one and every worker.
    Raising: the plugin counts as failed; the others go on.
    Options: `kills`, true when calls run in processes of their own: `mlcore plugins --check` then kills some.

    Example:
        from mlcore.hookspecs import Register, hookimpl

        @hookimpl
        def mlcore_register_executors(register: Register) -> None:
            register("dask", "mlcore_dask.executor:DaskExecutor")
    """


@hookspec
def mlcore_register_standins(register: Register) -> None:
    """Offer stand-ins: packages that programs find under another project's import name, with `mlcore run --compat`.

    The target is a package; its modules have the names and contents that such programs expect below theirs.

    When: as plugins are loaded; a stand-in acts only when the user gives `--compat`.
    How often: once per process.
    Process: the main one and every worker.
    Raising: the plugin counts as failed; the others go on.
    Options: none are read by the core.

    Example:
        from mlcore.hookspecs import Register, hookimpl

        @hookimpl
        def mlcore_register_standins(register: Register) -> None:
            register("oldlib", "mlcore_oldlib")
    """


@hookspec
def mlcore_subscribe(run: Any) -> None:  # a mlcore.runs.Run, which lives above this module
    """Attach listeners to a run's bus; this is how trackers, progress bars and alarms follow it.

    When: as an attempt starts, after the run's folder and journal exist and before `RunStarted`.
    How often: once per attempt: at the start and at every resume.
    Process: the one that executes the run.
    Raising: the attempt fails with that exception, which gets a note naming the plugin.

    Example:
        from mlcore.events import EpochFinished
        from mlcore.hookspecs import hookimpl

        @hookimpl
        def mlcore_subscribe(run) -> None:
            run.bus.on(EpochFinished, lambda event: print(event.number, event.metrics))
    """


@hookspec
def mlcore_diagnose(report: Diagnosis) -> None:
    """Tell `mlcore doctor` how the plugin is: versions, devices, services that it needs.

    When: `mlcore doctor` runs.
    How often: once per call of it.
    Process: the main one.
    Raising: becomes a finding of status `error`; the other plugins are still asked.

    Example:
        from mlcore.hookspecs import Diagnosis, hookimpl

        @hookimpl
        def mlcore_diagnose(report: Diagnosis) -> None:
            import platform  # what is slow to import belongs here
            report.add("machine", platform.machine())
    """
