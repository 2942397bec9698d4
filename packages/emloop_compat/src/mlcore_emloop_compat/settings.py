"""What a config of the main loop looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mlcore.runs import Name, RunSettings
from mlcore_emloop_compat.constants import EL_DEFAULT_TRAIN_STREAM

Action = Literal["ignore", "warn", "error"]


class DatasetSection(BaseModel):
    """Which dataset; every other key goes to its constructor."""

    model_config = ConfigDict(extra="allow")

    class_: str = Field(alias="class", description="Path of the class: package.module.Class")


class ModelSection(BaseModel):
    """Which model; every other key goes to its constructor."""

    model_config = ConfigDict(extra="allow")

    class_: str = Field(alias="class", description="Path of the class: an emloop model, or any that a backend knows")
    name: Name | None = Field(None, description="Name under which versions are stored; the run's name by default")
    inputs: list[str] | None = Field(None, description="Sources that the model reads")
    targets: list[str] | None = Field(None, description="Sources that it learns from")
    outputs: list[str] | None = Field(None, description="Variables that it computes")
    labels: dict[str, int | str] | list[int | str] | None = Field(
        None, description="Classes: values, or names to values"
    )


class LoopSection(BaseModel):
    """Arguments of the main loop."""

    # The runner checks for other keys: what to do about them is said by on_incorrect_config.
    model_config = ConfigDict(extra="allow")

    train_stream_name: str = Field(EL_DEFAULT_TRAIN_STREAM, description="The stream to train on")
    extra_streams: list[str] = Field([], description="Streams to evaluate after each training pass")
    buffer: int = Field(0, ge=0, description="Batches to read ahead")
    on_empty_batch: Action = Field("error", description="What to do with a batch without examples")
    on_empty_stream: Action = Field("error", description="What to do with a stream without batches")
    on_unused_sources: Action = Field("warn", description="What to do with sources that the model does not use")
    on_incorrect_config: Action = Field("error", description="What to do with unknown arguments of this section")
    epochs_count: int | None = Field(None, ge=0, description="Training epochs to do")
    fixed_batch_size: int | None = Field(None, ge=1, description="Skip batches of any other length")
    fixed_epoch_size: int | None = Field(None, ge=1, description="Batches in a training epoch")
    skip_zeroth_epoch: bool = Field(False, description="Begin with training instead of an evaluation")


def _hook_item(item: Any) -> Any:  # a YAML value
    """One plain sentence instead of a complaint for each member of the union."""
    named = isinstance(item, Mapping) and all(isinstance(name, str) for name in item)
    if isinstance(item, str) or (named and all(value is None or isinstance(value, Mapping) for value in item.values())):
        return item
    raise ValueError("a hook is a name, or a name with its arguments: `Name: {argument: value}`")


HookItem = Annotated[str | dict[str, dict[str, Any] | None], BeforeValidator(_hook_item)]


class MainLoopSettings(RunSettings):
    """A config of the main loop."""

    dataset: DatasetSection = Field(description="Where batches come from")
    model: ModelSection = Field(description="What is trained")
    hooks: list[HookItem] | None = Field([], description="Loop hooks: names, or names with arguments")
    main_loop: LoopSection | None = Field(default_factory=LoopSection, description="How the loop works")
