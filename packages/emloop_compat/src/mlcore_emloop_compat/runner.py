"""The runner `main_loop`: builds what a config names, and keeps the checkpoints that it is resumed from."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlcore.config import Config
from mlcore.events import EpochFinished, ModelSaved, Warned
from mlcore.model import as_model
from mlcore.runs import Restored, Run, RunSettings
from mlcore_emloop_compat.backend import restore_path
from mlcore_emloop_compat.classes import (
    WRAPPING,
    check_hooks,
    check_model,
    hook_class,
    hook_items,
    is_emloop_model,
    resolve_class,
)
from mlcore_emloop_compat.hooks import AbstractHook, TrainingTrace
from mlcore_emloop_compat.main_loop import MainLoop
from mlcore_emloop_compat.settings import LoopSection, MainLoopSettings
from mlcore_emloop_compat.utils.yaml import dump

log = logging.getLogger(__name__)


class MainLoopRunner:
    """Trains a model as a config says."""

    schema: type[RunSettings] = MainLoopSettings

    def check(self, config: Config) -> None:
        """Resolve classes, and hold their arguments against the constructors."""
        dataset = resolve_class(config, "dataset.class")
        if "output_dir" in config.get("dataset"):
            raise config.error("dataset.output_dir", "output_dir is given by the run", "take this line out")
        loop = LoopSection.model_validate(config.resolve().get("main_loop") or {})
        for name in (loop.train_stream_name, *loop.extra_streams):
            _check_stream(config, dataset, name)
        check_model(config)
        check_hooks(config)

    def plan(self, config: Config) -> Iterable[str]:
        """Name the parts."""
        yield f"dataset  {config.get('dataset.class')}"
        yield f"model    {config.get('model.class')}"
        for name, arguments in hook_items(config.get("hooks", None) or []):
            yield f"hook     {name}" + (f" {dict(arguments)}" if arguments else "")

    def execute(self, run: Run) -> None:
        """Build, restore if there is something to restore, and train."""
        resolved = run.config.resolve()
        restored = run.restore()
        dataset = _build_dataset(run, resolved["dataset"])
        model = _build_model(run, resolved["model"], dataset, restored)
        loop = MainLoop(
            model=model,
            dataset=dataset,
            hooks=_build_hooks(run, resolved, dataset, model),
            **resolved.get("main_loop") or {},
        )
        if restored:
            _tell(run, loop.load_state_dict(restored.state, restored.generators))
        Checkpointer(run, loop, model).attach()
        loop.run_training()


class Checkpointer:
    """Writes a checkpoint after each training epoch.

    Args:
        run: Whose checkpoints they are.
        loop: Whose state they hold.
        model: Whose training state they hold.
    """

    def __init__(self, run: Run, loop: MainLoop, model: Any) -> None:  # anything that `as_model` takes
        self._run, self._loop, self._model = run, loop, model
        self._best = False

    def attach(self) -> None:
        """Listen, after everybody else."""
        self._run.bus.on(ModelSaved, self.model_saved)
        self._run.bus.on(EpochFinished, self.epoch_finished, priority=-1000)

    def model_saved(self, event: ModelSaved) -> None:
        """Remember that the model of this epoch is the best one so far."""
        self._best = self._best or "best" in event.aliases

    def epoch_finished(self, event: EpochFinished) -> None:
        """Keep everything that is needed to go on from here."""
        if event.number:
            self._run.checkpoint(
                self._loop.state_dict(), models={"model": self._model}, step=event.number, best=self._best
            )
            self._best = False


def _check_stream(config: Config, dataset: type, name: str) -> None:
    if not hasattr(dataset, f"{name}_stream") and not hasattr(dataset, "__getattr__"):
        streams = ", ".join(
            attribute.removesuffix("_stream") for attribute in dir(dataset) if attribute.endswith("_stream")
        )
        raise config.error(
            "main_loop",
            f"the dataset {dataset.__qualname__} has no method `{name}_stream`",
            f"its streams are: {streams or 'none'}",
        )


def _build_dataset(run: Run, section: Mapping[str, Any]) -> Any:  # a dataset of any class
    cls = resolve_class(run.config, "dataset.class")
    arguments = {name: value for name, value in section.items() if name != "class"}
    return cls(dump({"output_dir": str(run.directory), **arguments}))


def _build_model(run: Run, section: Mapping[str, Any], dataset: Any, restored: Restored | None) -> Any:  # of any class
    cls = resolve_class(run.config, "model.class")
    if is_emloop_model(cls):
        return _build_emloop_model(run, cls, section, dataset, restored)
    if restored:
        # The user named this class in the config, so its own type may be in the file.
        return restored.model("model", trusted=[f"{cls.__module__}.{cls.__qualname__}"])
    arguments = {name: value for name, value in section.items() if name not in ("class", "name", *WRAPPING)}
    return as_model(
        cls(**arguments),
        input_names=section.get("inputs"),
        target_names=section.get("targets"),
        output_names=section.get("outputs"),
        labels=section.get("labels"),
        host=run.host,
    )


def _build_emloop_model(
    run: Run, cls: type, section: Mapping[str, Any], dataset: Any, restored: Restored | None
) -> Any:
    arguments = {name: value for name, value in section.items() if name not in ("class", "name")}
    with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
        restore_from = None
        if restored:
            restored.bundle("model").fetch(directory)
            restore_from = restore_path(Path(directory))
        model = cls(dataset=dataset, log_dir=str(run.directory), restore_from=restore_from, **arguments)
    model.el_config = arguments
    return model


def _build_hooks(run: Run, resolved: Mapping[str, Any], dataset: Any, model: Any) -> list[AbstractHook]:
    given = {"dataset": dataset, "model": model, "output_dir": str(run.directory)}
    items = hook_items(resolved.get("hooks") or [])
    hooks = [
        hook_class(run.config, ("hooks", index), name)(**{**given, **kwargs})
        for index, (name, kwargs) in enumerate(items)
    ]
    if not any(isinstance(hook, TrainingTrace) for hook in hooks):
        hooks.append(TrainingTrace(**given))
    return hooks


def _tell(run: Run, stateless: list[str]) -> None:
    if stateless:
        run.bus.channel(Warned).emit(
            Warned(f"hooks that declare no state begin anew: {', '.join(stateless)} (see AbstractHook.state_dict)")
        )
