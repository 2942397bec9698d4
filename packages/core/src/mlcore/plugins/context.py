"""Which plugins count here: those of the context, else those of the environment."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mlcore.plugins.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterator

_current: ContextVar[PluginHost | None] = ContextVar("mlcore_plugin_host", default=None)
_lock = threading.Lock()
_default: PluginHost | None = None


def current_host() -> PluginHost:
    """The host of the innermost `use_host`, else one for the process, loaded from the environment on first use.

    A new thread starts outside of every `use_host`, unless it is started with `contextvars.copy_context().run`.
    """
    return _current.get() or _default_host()


@contextmanager
def use_host(host: PluginHost) -> Iterator[PluginHost]:
    """Make a host the current one within the block."""
    token = _current.set(host)
    try:
        yield host
    finally:
        _current.reset(token)


def _default_host() -> PluginHost:
    global _default  # noqa: PLW0603  one host for each process, made when first asked for
    with _lock:
        if _default is None:
            host = PluginHost.from_environment()
            host.load()
            _default = host
        return _default
