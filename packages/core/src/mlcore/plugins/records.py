"""What became of one plugin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlcore.errors import MlcoreError

if TYPE_CHECKING:
    from importlib.metadata import Distribution


@dataclass(slots=True)
class PluginRecord:
    """One plugin that was found, or added by hand.

    Attributes:
        name: Of its entry point.
        target: What the entry point names.
        status: `loaded`; `failed`, and nothing of it is registered; `blocked`, and it was not imported.
        error: Why it is not loaded, in one line.
        exception: What it raised, with its traceback.
        seconds: Time to import and register it.
        hooks: The hooks that it implements.
        offers: Kind and name of everything that it registered or tried to.
        warnings: What is odd about it, though it loaded.
    """

    name: str
    target: str
    source: Distribution | None = field(default=None, repr=False)
    status: Literal["loaded", "failed", "blocked"] = "loaded"
    error: str | None = None
    exception: BaseException | None = field(default=None, repr=False)
    seconds: float = 0.0
    hooks: tuple[str, ...] = ()
    offers: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    # Both read a file, so nothing asks for them before they are shown.
    @property
    def distribution(self) -> str | None:
        """The distribution that it came with; None when it was added by hand."""
        return self.source.name if self.source else None

    @property
    def version(self) -> str | None:
        """The version of the distribution."""
        return self.source.version if self.source else None

    @property
    def label(self) -> str:
        """Plugin, distribution and version, for messages."""
        return f"plugin {self.name!r}" + (f" ({self.distribution} {self.version})" if self.source else "")

    def fail(self, error: BaseException) -> None:
        """Note why it is not loaded."""
        self.status, self.error, self.exception = "failed", one_line(error), error


def one_line(error: BaseException) -> str:
    """Say an exception in one line; our own need no class name."""
    if isinstance(error, MlcoreError):
        return " ".join(error.what.split())
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
