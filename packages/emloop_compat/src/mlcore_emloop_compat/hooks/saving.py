"""Saving a model under a name: as the model itself does it, and as a version of the run's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlcore.model import save_model
from mlcore.runs import current_run
from mlcore_emloop_compat.models import AbstractModel

log = logging.getLogger(__name__)
ON_FAILURE_ACTIONS = ("error", "warn", "ignore")


def save(model: Any, name: str, epoch_id: int, output_dir: str | Path | None, on_failure: str) -> None:
    """Save a model.

    An emloop model saves itself. In a run, any model becomes a version as well, with `name` as its version alias.
    Without a run, another model is written as a bundle into `output_dir`.

    Args:
        model: An AbstractModel, or anything that `mlcore.as_model` takes.
        name: For example `best`.
        epoch_id: When.
        output_dir: Where to write without a run.
        on_failure: What to do when it fails: `error`, `warn` or `ignore`.
    """
    run = current_run()
    if isinstance(model, AbstractModel):
        _guarded(lambda: model.save(name), on_failure)
    elif run is None:
        target = Path(output_dir or ".") / f"model_{name}"
        _guarded(lambda: save_model(model, target), on_failure)
    if run is not None:
        stored = run.config.get("model.name", None) or run.name
        _guarded(lambda: run.save_model(model, stored, aliases=(name,), step=epoch_id), on_failure)


def _guarded(write: Callable[[], object], on_failure: str) -> None:
    try:
        write()
    except Exception as error:
        if on_failure == "error":
            raise
        if on_failure == "warn":
            log.warning("the model was not saved: %s", error)
