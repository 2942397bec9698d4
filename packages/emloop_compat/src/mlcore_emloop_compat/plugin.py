"""What this package registers."""

from __future__ import annotations

from mlcore.hookspecs import Register, hookimpl


@hookimpl
def mlcore_register_runners(register: Register) -> None:
    """The main loop, for configs with a dataset and a model."""
    register(
        "main_loop",
        "mlcore_emloop_compat.runner:MainLoopRunner",
        sections=("dataset", "model"),
        samples="mlcore_emloop_compat.samples:runner_samples",
    )


@hookimpl
def mlcore_register_backends(register: Register) -> None:
    """Models that derive from AbstractModel."""
    register(
        "emloop",
        "mlcore_emloop_compat.backend:EmloopBackend",
        frameworks=("mlcore_emloop_compat",),
        samples="mlcore_emloop_compat.samples:backend_samples",
    )


@hookimpl
def mlcore_register_standins(register: Register) -> None:
    """This package, for programs that import emloop."""
    register("emloop", "mlcore_emloop_compat")
