"""Every error that mlcore raises on purpose, in one tree.

    MlcoreError
    ├── ConfigError            a config file or an override is wrong
    ├── PluginError            a plugin is missing, broken or in conflict
    ├── StoreError             the store cannot do what was asked
    │   ├── KeyMissingError    nothing is stored under that key
    │   ├── KeyExistsError     an exclusive creation was lost
    │   └── CorruptError       what is stored is not what was written
    ├── ModelError             an object is no model, or does not fit its data
    ├── VersionError           a stored model, version or alias cannot be resolved or edited
    └── RunError               a run cannot be found, started or resumed
        ├── RunBusyError       another attempt of the run is alive
        └── SupersededError    a newer attempt of the run has taken over

An error says what was found, where it came from, and what to do next. The command line prints these three and
no traceback; anything else that is raised is the user's own code failing, and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# A module may have hundreds of names; a longer list helps nobody.
_LISTED = 20


class MlcoreError(Exception):
    """The root of the tree.

    Args:
        what: What was found, as one sentence.
        where: Where it came from: a file with line and column, a key, a plugin.
        hint: What to do next.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(kind: type[MlcoreError], what: str, where: str | None, hint: str | None) -> MlcoreError:
    return kind(what, where=where, hint=hint)


class ConfigError(MlcoreError):
    """A config file or an override is wrong."""


class PluginError(MlcoreError):
    """A plugin is missing, broken or in conflict."""


class StoreError(MlcoreError):
    """The store cannot do what was asked."""


class KeyMissingError(StoreError):
    """Nothing is stored under that key."""


class KeyExistsError(StoreError):
    """An exclusive creation was lost: the key exists."""


class CorruptError(StoreError):
    """What is stored is not what was written."""


class ModelError(MlcoreError):
    """An object is no model, or does not fit its data."""


class VersionError(MlcoreError):
    """A stored model, version or alias cannot be resolved or edited."""


class RunError(MlcoreError):
    """A run cannot be found, started or resumed."""


class RunBusyError(RunError):
    """Another attempt of the run is alive."""


class SupersededError(RunError):
    """A newer attempt of the run has taken over; this one must stop writing."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, or list the valid ones.

    Example:
        >>> nearest("epoch", ["epochs", "batches"])
        "did you mean 'epochs'?"
        >>> nearest("xyz", ["epochs", "batches"])
        'valid names: batches, epochs'
    """
    names = sorted(valid)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(names) > _LISTED:
        names = [*names[:_LISTED], f"and {len(names) - _LISTED} more"]
    return f"valid names: {', '.join(names)}" if names else "there are no valid names here"
