"""The runner `main_loop`: configs that are refused, trainings, and how they go on after a stop."""

from __future__ import annotations

import logging

import pytest
from tests.emloop_compat.conftest import HERE

from mlcore.errors import ConfigError, MlcoreError
from mlcore.events import CheckpointSaved, EpochFinished, Warned
from mlcore.runs import plan_job
from mlcore.versions import Models, load_model
from mlcore_emloop_compat import AbstractHook, AbstractModel, BaseDataset
from mlcore_emloop_compat.hooks import ComputeStats, StopAfter, TrainingTerminated
from mlcore_emloop_compat.utils.reflection import constructor_parameters
from mlcore_emloop_compat.utils.yaml import parse

HOOKS = "[ComputeStats: {variables: [loss]}, SaveBest: {}, StopAfter: {epochs: 6}]"
LOOP = "{extra_streams: [valid]}"


# --- trainings ---


def test_a_config_trains_a_model(desk):
    view = desk.write(HOOKS, LOOP).run()
    assert view.status == "finished"
    assert [row["epoch"] for row in view.epochs] == list(range(7))
    losses = [row["metrics"]["valid"]["loss"] for row in view.epochs]
    assert losses[-1] < losses[0] / 2
    assert [checkpoint["step"] for checkpoint in view.checkpoints][-2:] == [5, 6]
    assert parse((view.folder.local / "files" / "trace.yaml").read_text())["epochs_done"] == 6


def test_the_model_is_stored_as_a_version_that_can_be_loaded(desk):
    view = desk.write(
        "[ComputeStats: {variables: [loss]}, SaveLatest]", "{epochs_count: 2}", ", name: line, rate: 0.3"
    ).run()
    version = Models(view.store).resolve("model:line@latest")
    assert version.number == 3, "one for each epoch, and one for the evaluation before"
    assert load_model("model:line@latest", store=desk.store).subject._rate == 0.3


def test_hooks_get_dataset_model_and_folder_and_may_override_them(desk):
    view = desk.write(
        f"[{HERE}.Diary: {{output_dir: mine}}, TrainingTrace: {{output_dir: {desk.path}}}]", "{epochs_count: 1}"
    ).run()
    assert view.status == "finished"
    assert (desk.path / "trace.yaml").exists()
    assert not (view.folder.local / "files" / "trace.yaml").exists()


class Ask(AbstractHook):
    """Remembers what the last one was given."""

    def __init__(self, dataset, model, output_dir, **kwargs):
        super().__init__(dataset=dataset, model=model, output_dir=output_dir, **kwargs)
        Ask.dataset, Ask.model, Ask.output_dir = dataset, model, output_dir


def test_dataset_model_and_hooks_are_built_of_their_sections(desk):
    view = desk.write(f"[{__name__}.Ask]", "{epochs_count: 0}", ", rate: 0.7", ", batch_size: 7").run()
    assert (Ask.model._rate, len(Ask.dataset.train_stream())) == (0.7, 2)
    assert Ask.output_dir == Ask.model._log_dir == Ask.dataset.output_dir == str(view.folder.local / "files")


@pytest.mark.parametrize("key", ["dataset.class", "model.class"])
def test_what_a_class_raises_is_the_users_own(desk, key):
    desk.write().run("main_loop.epochs_count=0")
    with pytest.raises(ZeroDivisionError):
        desk.run(f"{key}={__name__}.{'RaisingData' if key[0] == 'd' else 'RaisingModel'}")


class RaisingData(BaseDataset):
    def _configure_dataset(self, output_dir, **kwargs):
        raise ZeroDivisionError

    train_stream = None


class RaisingModel(AbstractModel):
    input_names = output_names = ()
    run = save = None

    def __init__(self, dataset, log_dir, restore_from=None):
        raise ZeroDivisionError


# --- configs that are refused ---


class Closed(BaseDataset):
    def _configure_dataset(self, output_dir, needed, size=3):
        self.size = size

    def train_stream(self):
        return []


class Half(AbstractModel):
    def run(self, batch, train, stream):
        return {}


class Duck:
    def __init__(self, dataset, log_dir, restore_from=None):
        pass


@pytest.mark.parametrize(
    ("overrides", "key", "what"),
    [
        (["dataset.class=nowhere.Data"], "dataset.class", "there is no module 'nowhere'"),
        ([f"dataset.class={HERE}.Pionts"], "dataset.class", "did you mean 'Points'"),
        ([f"dataset.class={HERE}.batches"], "dataset.class", "is no class but a function"),
        (
            ["dataset.class=mlcore_emloop_compat.BaseDataset"],
            "dataset.class",
            "is abstract: it does not define _configure_dataset",
        ),
        (["dataset.output_dir=x"], "dataset.output_dir", "is given by the run"),
        (
            ["dataset.batch_sise=3"],
            "dataset.batch_sise",
            "Points takes no argument 'batch_sise'\n  hint: did you mean 'batch_size'",
        ),
        ([f"dataset.class={__name__}.Closed"], "dataset", "Closed needs the argument 'needed'"),
        (
            [f"model.class={__name__}.Half"],
            "model.class",
            "is abstract: it does not define __init__, input_names, output_names, save",
        ),
        ([f"model.class={__name__}.Duck"], "model.class", "derive it from mlcore_emloop_compat.AbstractModel"),
        (["model.raet=1"], "model.raet", "Line takes no argument 'raet'\n  hint: did you mean 'rate'"),
        (["model.restore_from=x"], "model.restore_from", "Line takes no argument 'restore_from'"),
        (["main_loop.epoch_count=1"], "main_loop.epoch_count", "did you mean 'epochs_count'"),
        (["main_loop.buffer=-1"], "main_loop.buffer", "greater than or equal to 0"),
        (["main_loop.on_empty_batch=cry"], "main_loop.on_empty_batch", "'ignore', 'warn' or 'error'"),
        (
            ["main_loop.train_stream_name=trian"],
            "main_loop",
            "no method `trian_stream`\n  hint: its streams are: train, valid",
        ),
        (["main_loop.extra_streams=[valid, valid]"], "main_loop.extra_streams", "the stream 'valid' is named twice"),
        (["main_loop.extra_streams=[train]"], "main_loop.extra_streams", "the stream 'train' is named twice"),
        (["hooks=[StopAftr]"], "hooks.0", "there is no hook 'StopAftr'\n  hint: did you mean 'StopAfter'"),
        (["hooks=[TrainingTerminated]"], "hooks.0", "there is no hook 'TrainingTerminated'"),
        (["hooks=[save]"], "hooks.0", "there is no hook 'save'"),
        (["hooks=[collections.OrderedDict]"], "hooks.0", "collections.OrderedDict is no hook"),
        (["hooks=[nowhere.Hook]"], "hooks.0", "there is no module 'nowhere'"),
        (
            ["hooks=[StopAfter: {epoch: 3}]"],
            "hooks.0.StopAfter.epoch",
            "StopAfter takes no argument 'epoch'\n  hint: did you mean 'epochs'",
        ),
        (["hooks=[LogVariables, ComputeStats]"], "hooks.1", "ComputeStats needs the argument 'variables'"),
        (
            ["hooks=[{StopAfter: {epochs: 1}, LogVariables: {}}]"],
            "hooks.0",
            "an item has one hook, but this one has StopAfter, LogVariables",
        ),
        (["hooks=[{}]"], "hooks.0", "this one has nothing"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_config_is_refused_before_anything_is_made(desk, overrides, key, what):
    desk.write()
    with pytest.raises(ConfigError, match=what) as caught:
        desk.run(*overrides)
    assert key in str(caught.value)
    assert not (desk.path / "store").exists()


@pytest.mark.parametrize(
    "hook",
    [
        "StopAfter: {}",
        "StopAfter: {epochs: three}",
        "ComputeStats: {variables: loss}",
        "LogVariables: {on_unknown_type: x}",
    ],
)
def test_arguments_that_a_hook_refuses_are_told(desk, hook):
    with pytest.raises(MlcoreError):
        desk.write(f"[{hook}]", "{epochs_count: 1}").run()


def test_unknown_arguments_of_the_loop_are_treated_as_asked(desk, caplog):
    desk.write("[]", "{epochs_count: 0, colour: red, on_incorrect_config: ignore}").run()
    assert not caplog.records
    desk.run("main_loop.on_incorrect_config=warn")
    assert "the main loop has no argument 'colour'" in caplog.text


def test_a_plan_names_the_parts(desk):
    job = plan_job(desk.write("[StopAfter: {epochs: 1}, LogVariables]").config)
    assert list(job.runner.plan(job.config)) == [
        f"dataset  {HERE}.Points",
        f"model    {HERE}.Line",
        "hook     StopAfter {'epochs': 1}",
        "hook     LogVariables",
    ]


def test_names_of_the_original_are_ours(desk):
    view = desk.write("[emloop.hooks.StopAfter: {epochs: 1}, emloop.hooks.stop_on_nan.StopOnNaN]").run()
    assert view.status == "finished"


class Fixed(ComputeStats):
    def __init__(self, **kwargs):
        super().__init__(variables=["loss"], **kwargs)


def test_a_hook_may_fill_in_what_its_base_needs(desk):
    assert constructor_parameters(Fixed, closed_by=AbstractHook).required == frozenset()
    view = desk.write(f"[{__name__}.Fixed]", "{epochs_count: 1}").run()
    assert "loss" in view.epochs[-1]["metrics"]["train"]


def test_constructors_are_read_as_they_are():
    parameters = constructor_parameters(StopAfter, closed_by=AbstractHook)
    assert parameters.names == {"epochs", "iterations", "minutes", "train_stream_name"}
    assert not parameters.open
    assert constructor_parameters(StopAfter).open
    assert constructor_parameters(object).names == frozenset()
    assert not constructor_parameters(object).open


# --- going on ---


def stop_after(number):
    def during(run):
        run.bus.on(EpochFinished, lambda event: run.stop("enough") if event.number == number else None)

    return during


CASES = {
    "file": {},
    "folder": {"model": ", form: folder"},
    "several files": {"model": ", form: prefix"},
    "read ahead": {"loop": "{extra_streams: [valid], buffer: 3}"},
    "fixed epochs": {"loop": "{extra_streams: [valid], fixed_epoch_size: 3}"},
    "fixed epochs, read ahead": {"loop": "{extra_streams: [valid], fixed_epoch_size: 3, buffer: 2}"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stops", [(1,), (2, 4), (6,)])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(desk, case, stops):
    desk.write(**{"hooks": HOOKS, "loop": LOOP, **CASES[case]})
    undisturbed = desk.run()
    view = desk.run(during=stop_after(stops[0]))
    assert view.status == "stopped"
    for stop in (*stops[1:], None):
        view = desk.resume(view, during=stop_after(stop))
    assert view.status == "finished"
    assert checkpoint_files(view) == checkpoint_files(undisturbed)
    assert [row["epoch"] for row in view.epochs] == list(range(7))
    assert [row["metrics"] for row in view.epochs] == [row["metrics"] for row in undisturbed.epochs]
    assert best(view) == best(undisturbed)


def checkpoint_files(view):
    folder = view.folder.local / "checkpoints" / "6" / "model" / "saved"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def best(view):
    return [(model["digest"], model["step"]) for model in view.models]


def test_a_resumed_run_has_no_other_zeroth_epoch(desk):
    desk.write("[]", "{epochs_count: 3}")
    view = desk.run(during=stop_after(0))
    assert [row["epoch"] for row in view.epochs] == [0]
    view = desk.resume(view)
    assert [row["epoch"] for row in view.epochs] == [0, 1, 2, 3]


class Tired(AbstractHook):
    """Ends the training after the second epoch."""

    def after_epoch(self, epoch_id, epoch_data):
        if epoch_id == 2:
            raise TrainingTerminated("tired")

    def state_dict(self):
        return {}


class Crash(Exception):
    pass


def test_a_run_that_died_after_its_last_epoch_trains_no_other(desk):
    desk.write(f"[{__name__}.Tired]", "{epochs_count: 9}")

    def die(run):
        def fail(event):
            if event.step == 2:
                raise Crash

        run.bus.on(CheckpointSaved, fail)

    with pytest.raises(Crash):
        desk.run(during=die)
    view = desk.resume(runs(desk)[0])
    assert view.status == "finished"
    assert [row["epoch"] for row in view.epochs] == [0, 1, 2]


def runs(desk):
    from mlcore.runs import list_runs

    return list(list_runs(desk.store))


def test_a_finished_run_goes_on_when_its_config_changes(desk):
    desk.write("[StopAfter: {epochs: 2}]", LOOP)
    view = desk.run()
    view = desk.resume(view, "hooks.0.StopAfter.epochs=4")
    assert [row["epoch"] for row in view.epochs] == list(range(5))
    reference = desk.run("hooks.0.StopAfter.epochs=4")
    assert desk.weights(view, 4) == desk.weights(reference, 4)


def warned(lines):
    def during(run):
        run.bus.on(Warned, lambda event: lines.append(event.message))

    return during


def test_hooks_and_streams_without_state_are_named_at_a_resume(desk):
    lines = []
    desk.write(f"[{HERE}.Forgetful, StopAfter: {{epochs: 3}}]", LOOP, dataset=", bare: true")
    view = desk.run(during=stop_after(1))
    desk.resume(view, during=warned(lines))
    told, *more = lines
    assert "begin anew: hook Forgetful, stream train (see `state_dict`" in told
    assert not more


def test_what_declares_its_state_is_not_named(desk):
    lines = []
    view = desk.write(HOOKS, LOOP).run(during=stop_after(1))
    desk.resume(view, during=warned(lines))
    assert lines == []


def test_other_hooks_than_before_are_refused(desk):
    view = desk.write("[StopOnNaN]", "{epochs_count: 4}").run(during=stop_after(1))
    with pytest.raises(
        MlcoreError, match="kept with the hooks StopOnNaN, TrainingTrace, but now there are LogVariables, TrainingTrace"
    ):
        desk.resume(view, "hooks=[LogVariables]")


def test_the_log_tells_why_a_training_ended(desk, caplog):
    caplog.set_level(logging.INFO)
    desk.write("[StopAfter: {epochs: 1}]").run()
    assert "training terminated after epoch 1" in caplog.text
