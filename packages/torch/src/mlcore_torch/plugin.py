"""What mlcore is told about this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcore.hookspecs import hookimpl

if TYPE_CHECKING:
    from mlcore.hookspecs import Register


@hookimpl
def mlcore_register_backends(register: Register) -> None:
    """Announce the backend; it is imported when the first module shows up."""
    register(
        "torch",
        "mlcore_torch.backend:TorchBackend",
        frameworks=("torch",),
        options=("loss", "optimizer", "device"),
        samples="mlcore_torch.samples:backend_samples",
    )
