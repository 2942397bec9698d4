"""The runner `main_loop`: builds what a config names, and keeps the checkpoints that it is resumed from."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlcore.config import Config
from mlcore.errors import nearest
from mlcore.events import EpochFinished, ModelSaved, Warned
from mlcore.model import build_model, wrap_options
from mlcore.runs import Restored, Run, RunSettings
from mlcore_emloop_compat.backend import restore_path
from mlcore_emloop_compat.classes import (
    WRAPPING,
    check_dataset,
    check_hooks,
    check_model,
    hook_class,
    hook_items,
    resolve_class,
    resolve_maker,
)
from mlcore_emloop_compat.hooks import AbstractHook, TrainingTrace
from mlcore_emloop_compat.main_loop import MainLoop
from mlcore_emloop_compat.models import AbstractModel
from mlcore_emloop_compat.settings import LoopSection, MainLoopSettings
from mlcore_emloop_compat.utils.yaml import dump

log = logging.getLogger(__name__)


class MainLoopRunner:
    """Trains a model as a config says."""

    schema: type[RunSettings] = MainLoopSettings

    def check(self, config: Config) -> None:
        """Resolve classes, and hold their arguments against the constructors."""
        check_dataset(config)
        _check_loop(config, LoopSection.model_validate(config.resolve().get("main_loop") or {}))
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
            _tell(run, loop.load_state_dict(_loop_state(run, restored), restored.generators))
        Checkpointer(run, loop, model).attach()
        loop.run_training()
        run.reason = loop.ending


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
            state = {"config": self._run.config.digest, "loop": self._loop.state_dict()}
            self._run.checkpoint(state, models={"model": self._model}, step=event.number, best=self._best)
            self._best = False


def _loop_state(run: Run, restored: Restored) -> dict[str, Any]:  # JSON values and arrays
    """The loop's state; that a hook has ended the training counts only while the config is the same."""
    state: dict[str, Any] = restored.state["loop"]
    return state if restored.state["config"] == run.config.digest else {**state, "ended": None}


def _check_loop(config: Config, section: LoopSection) -> None:
    if section.on_incorrect_config == "error":
        for name in section.model_extra or {}:
            hint = nearest(name, LoopSection.model_fields)
            raise config.error(("main_loop", name), "the main loop has no such argument", hint)
    dataset, names = resolve_class(config, "dataset.class"), [section.train_stream_name, *section.extra_streams]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise config.error(
                "main_loop.extra_streams", f"the stream {name!r} is named twice", "name each stream once"
            )
        _check_stream(config, dataset, name)


def _check_stream(config: Config, dataset: type, name: str) -> None:
    if not hasattr(dataset, f"{name}_stream") and not hasattr(dataset, "__getattr__"):
        known = [member.removesuffix("_stream") for member in dir(dataset) if member.endswith("_stream")]
        what = f"the dataset {dataset.__qualname__} has no method `{name}_stream`"
        raise config.error("main_loop", what, f"its streams are: {', '.join(known) or 'none'}")


def _build_dataset(run: Run, section: Mapping[str, Any]) -> Any:  # a dataset of any class
    cls = resolve_class(run.config, "dataset.class")
    arguments = {name: value for name, value in section.items() if name != "class"}
    return cls(dump({"output_dir": str(run.directory), **arguments}))


def _build_model(run: Run, section: Mapping[str, Any], dataset: Any, restored: Restored | None) -> Any:  # of any class
    maker, made = resolve_maker(run.config, "model.class")
    if isinstance(maker, type) and issubclass(maker, AbstractModel):
        return _build_emloop_model(run, maker, section, dataset, restored)
    options = {name: section[name] for name in wrap_options(made, run.host) if name in section}
    ours = {"class", "name", *WRAPPING, *options}
    model = build_model(
        section["class"],
        _without(ours, section),
        recorded=_without(ours, run.config.resolve(environment=False)["model"]),
        input_names=section.get("inputs"),
        target_names=section.get("targets"),
        output_names=section.get("outputs"),
        labels=section.get("labels"),
        host=run.host,
        **options,
    )
    if restored is None:
        return model
    if hasattr(model, "restore"):
        return restored.model("model", into=model)
    # The user named this class in the config, so its own type may be in the file.
    return restored.model("model", trusted=[f"{made.__module__}.{made.__qualname__}"])


def _build_emloop_model(
    run: Run, cls: type, section: Mapping[str, Any], dataset: Any, restored: Restored | None
) -> Any:
    arguments = _without({"class", "name"}, section)
    with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
        restore_from = signature = None
        if restored:
            signature = restored.bundle("model").fetch(directory).meta.get("signature")
            restore_from = restore_path(Path(directory))
        model = cls(dataset=dataset, log_dir=str(run.directory), restore_from=restore_from, **arguments)
    model.el_config = _without({"class", "name"}, run.config.resolve(environment=False)["model"])
    model.el_signature = signature
    return model


def _without(names: set[str], section: Mapping[str, Any]) -> dict[str, Any]:  # YAML values
    return {name: value for name, value in section.items() if name not in names}


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
        names = ", ".join(stateless)
        warned = Warned(
            f"without a state of their own, these begin anew: {names} (see `state_dict` of hooks and streams)"
        )
        run.bus.channel(Warned).emit(warned)
