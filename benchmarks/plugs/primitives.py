"""Fills the slots of the ruler `primitives.py`: one event, one stored file, one validated config.

    primitives.py hooks  --bus    benchmarks/plugs/primitives.py:make_bus
    primitives.py store  --store  benchmarks/plugs/primitives.py:make_store
    primitives.py config --config benchmarks/plugs/primitives.py:make_config

The ruler runs this file without entering it into `sys.modules`, where dataclasses and pydantic would look names up: so
annotations are not postponed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mlcore.config import Config
from mlcore.events import Bus
from mlcore.store import Folder


@dataclass(slots=True)
class Event:
    """The two arguments that the ruler's hooks are given."""

    a: int
    b: int


def make_bus(n_impls: int) -> Callable[..., None]:
    """One call announces one event the way hot code does."""
    bus = Bus()
    for _ in range(n_impls):
        bus.on(Event, lambda event: None)
    channel = bus.channel(Event)

    def fire(a: int, b: int) -> None:
        if channel.listeners:
            channel.emit(Event(a, b))

    return fire


class StoreSlot:
    """Durable puts: the counterpart of the ruler's `plain + fsync + os.replace`."""

    def __init__(self, root: str) -> None:
        self._folder = Folder(root)

    def write(self, name: str, data: bytes) -> None:
        self._folder.put_bytes(name, data)

    def read(self, name: str) -> bytes:
        return self._folder.read_bytes(name)


class UnsyncedSlot(StoreSlot):
    """Puts that survive SIGKILL but not power loss: the counterpart of `plain + os.replace`."""

    def write(self, name: str, data: bytes) -> None:
        self._folder.put_bytes(name, data, sync=False)


make_store, make_unsynced_store = StoreSlot, UnsyncedSlot


class Section(BaseModel):
    """One of the five sections of the ruler's mapping."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="a name")
    lr: float = Field(gt=0, description="a positive number")
    epochs: int = Field(ge=1, description="a count")
    shuffle: bool = Field(description="a switch")
    seed: int = Field(description="an integer")
    path: str = Field(description="a path")
    ratio: float = Field(ge=0, le=1, description="a share")
    tags: list[str] = Field(description="words")
    device: str = Field(description="a word")
    opt: dict[str, float] = Field(description="numbers by name")


class Schema(BaseModel):
    """The ruler's 50 keys."""

    model_config = ConfigDict(extra="forbid")

    s0: Section
    s1: Section
    s2: Section
    s3: Section
    s4: Section


def make_config(_: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    """Everything that a config goes through but reading the file: wrap, resolve `${…}`, validate."""
    return lambda data: Config.of(data).validate(Schema)
