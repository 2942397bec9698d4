"""What a runner is: a paradigm's main job, chosen by a config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mlcore.config import Config
from mlcore.errors import StoreError
from mlcore.runs.run import Run
from mlcore.versions import model_name


def _checked_name(text: str) -> str:
    try:
        return model_name(text)
    except StoreError as error:
        raise ValueError(error.what) from error


# A name under which something is stored: of a run, of a model.
Name = Annotated[str, AfterValidator(_checked_name)]


class RunSettings(BaseModel):
    """What every config may say, whatever its runner. A runner's schema derives from it."""

    model_config = ConfigDict(extra="forbid")

    runner: str | None = Field(None, description="Which runner executes this config; found by its sections without it")
    name: Name | None = Field(None, description="Name of the run, and of models that it stores without a name")
    seed: int | None = Field(
        None, ge=0, lt=2**32, description="Of everything random; drawn and recorded when not given"
    )
    compat: list[str] = Field([], description="Import names of other projects that our packages stand in for")


class Runner(Protocol):
    """A paradigm's main job. Registered by `mlcore_register_runners`; see `mlcore.hookspecs`.

    One that cannot stop at a border of its work has `has_borders = False`: Ctrl+C and SIGTERM then raise
    KeyboardInterrupt in it at once.

    Attributes:
        schema: What the config must look like.
    """

    schema: type[RunSettings]

    def check(self, config: Config) -> None:
        """Find what the schema cannot see: classes that do not exist, arguments that they do not take.

        Nothing may be created or changed. Errors are made by `config.error`, so that they name the line.
        """

    def plan(self, config: Config) -> Iterable[str]:
        """What would be built, a line each; for `--dry-run`."""

    def execute(self, run: Run) -> None:
        """Do the job: announce on `run.bus`, keep by `run`, stop at the next border when `run.stopping` is set.

        When `run.restore()` gives something, go on from there.
        """
