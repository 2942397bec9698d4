"""The core's own plugin, named `core`: what is built in comes through the same door as everything else."""

from __future__ import annotations

from mlcore.hookspecs import Register, hookimpl


@hookimpl
def mlcore_register_backends(register: Register) -> None:
    """Register `native`, which is asked last: anything that looks like a Model is one."""
    register("native", "mlcore.model:NativeBackend", priority=-100, samples="mlcore.testing.native:backend_samples")


@hookimpl
def mlcore_register_executors(register: Register) -> None:
    """Register `serial` and `process`."""
    register("serial", "mlcore.execution:SerialExecutor")
    register("process", "mlcore.execution:ProcessExecutor", kills=True)


@hookimpl
def mlcore_register_runners(register: Register) -> None:
    """Register `script`."""
    register("script", "mlcore.runs.script:ScriptRunner", samples="mlcore.testing.walk:runner_samples")
