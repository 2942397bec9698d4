"""What installed distributions offer, read from their entry points without importing anything of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcore.errors import PluginError
from mlcore.plugins.records import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

PLUGINS = "mlcore.plugins"
COMMANDS = "mlcore.commands"


def entry_points(group: str, warnings: list[str]) -> dict[str, list[EntryPoint]]:
    """The entry points of a group by name, sorted; a name that two distributions chose has two.

    Args:
        group: The group's name.
        warnings: Takes a line for each distribution whose entry points cannot be read.
    """
    from importlib import metadata  # 25 ms, which `import mlcore` does not need

    try:
        points = list(metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001  one broken file fails them all: find out which
        points = list(_one_by_one(group, warnings))
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(points, key=lambda each: (each.name, each.value)):
        found.setdefault(point.name, []).append(point)
    return found


def _one_by_one(group: str, warnings: list[str]) -> Iterator[EntryPoint]:
    from importlib import metadata

    seen: set[str] = set()
    for distribution in metadata.distributions():
        name = distribution.name
        if name in seen:  # hidden by an earlier folder of the path
            continue
        seen.add(name)
        try:
            yield from distribution.entry_points.select(group=group)
        except Exception as error:  # noqa: BLE001  told in a warning
            warnings.append(f"the entry points of {name} cannot be read: {one_line(error)}; reinstall it")


def import_point(point: EntryPoint) -> Any:  # what it names
    """Import what an entry point names.

    Raises:
        PluginError: It names nothing that could be imported.
    """
    if not point.pattern.match(point.value):
        raise PluginError(f"its entry point {point.value!r} is not of the form 'package.module'")
    return point.load()


def owner(point: EntryPoint) -> str:
    """The distribution, its version and the target of an entry point, for messages."""
    return f"{point.dist.name} {point.dist.version} ({point.value})" if point.dist else point.value


@dataclass(frozen=True, slots=True)
class Command:
    """A command that distributions add to `mlcore`: only a name until it is invoked.

    Attributes:
        name: What the user types.
        points: Its entry points; more than one is an error when the command is invoked.
    """

    name: str
    points: tuple[EntryPoint, ...]

    def load(self) -> Any:  # a typer.Typer, which this floor does not know
        """Import it.

        Raises:
            PluginError: Two distributions offer it, or it cannot be imported.
        """
        if len(self.points) > 1:
            owners = " and ".join(owner(point) for point in self.points)
            raise PluginError(f"the command {self.name!r} is offered by {owners}", hint="uninstall one of them")
        try:
            return import_point(self.points[0])
        except Exception as error:
            raise PluginError(
                f"the command {self.name!r} cannot be imported: {one_line(error)}",
                where=owner(self.points[0]),
                hint="`mlcore plugins` shows more; reinstall or uninstall the distribution",
            ) from error


def command_entry_points(warnings: list[str] | None = None) -> dict[str, Command]:
    """The commands of the group `mlcore.commands` by name, sorted; nothing is imported.

    Args:
        warnings: Takes a line for each distribution that cannot be read.
    """
    found = entry_points(COMMANDS, [] if warnings is None else warnings)
    return {name: Command(name, tuple(points)) for name, points in found.items()}
