"""What the main loop says on the bus of a run, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest
from tests.emloop_compat.conftest import Diary, Doubler, make_loop

from mlcore.events import BatchFinished, EpochFinished, EpochStarted, StreamStarted
from mlcore.runs import start_run
from mlcore_emloop_compat import AbstractHook, AbstractModel
from mlcore_emloop_compat.hooks import TrainingTerminated


@pytest.fixture
def told(tmp_path):
    """A run, and what it says."""
    events = []
    with start_run(store=str(tmp_path / "store")) as run:
        for kind in (EpochStarted, StreamStarted, BatchFinished, EpochFinished):
            run.bus.on(kind, events.append)
        yield run, events


def short(event):
    match event:
        case EpochStarted(number):
            return ("epoch", number)
        case StreamStarted(stream, epoch, train, total):
            return ("stream", stream, epoch, train, total)
        case BatchFinished(number, stream, epoch, batch, train):
            return ("batch", number, stream, epoch, train, sorted(batch))
        case EpochFinished(number, metrics, _):
            return ("end", number, metrics)


def test_a_run_is_told_everything_with_the_right_numbers(told):
    _, events = told
    loop = make_loop(epochs_count=2)
    loop._dataset.num_batches = {"train": 2}
    loop.run_training()
    both = ["x", "y"]

    def epoch(number, first, valid):
        train = number > 0
        return [
            ("epoch", number),
            ("stream", "train", number, train, 2),
            ("batch", first, "train", number, train, both),
            ("batch", first + 1, "train", number, train, both),
            ("stream", "valid", number, False, None),
            ("batch", valid, "valid", number, False, both),
            ("end", number, {"train": {}, "valid": {}}),
        ]

    assert [short(event) for event in events] == epoch(0, 1, 1) + epoch(1, 3, 2) + epoch(2, 5, 3)


def test_numbers_do_not_depend_on_who_listens_when(told):
    run, _ = told
    loop, numbers = make_loop(), []
    with loop:
        loop.epoch(["train"], [])
        run.bus.on(BatchFinished, lambda event: numbers.append(event.number))
        loop.epoch(["train"], [])
    assert numbers == [3, 4]


def test_the_batch_on_which_a_hook_ends_the_training_is_told(told):
    _, events = told
    make_loop([Diary("after_batch", error=TrainingTerminated())]).run_training()
    assert [short(event)[0] for event in events] == ["epoch", "stream", "batch"]


def test_a_fixed_epoch_size_is_the_total(told):
    _, events = told
    make_loop(fixed_epoch_size=5, skip_zeroth_epoch=True).run_training()
    assert [event.total for event in events if isinstance(event, StreamStarted)] == [5, None]


def test_numbers_in_epoch_data_become_metrics(told):
    _, events = told

    class Write(AbstractHook):
        def after_epoch(self, epoch_id, epoch_data):
            epoch_data["train"].update(
                loss={"mean": np.float32(0.5), "std": 2}, plain=1, text="no", nested={"a": {"b": 1}}, array=np.zeros(3)
            )

    make_loop([Write()], epochs_count=0).run_training()
    assert events[-1].metrics == {"train": {"loss": 0.5, "loss_std": 2.0, "plain": 1.0}, "valid": {}}


def test_a_stop_ends_at_the_next_batch_and_begins_nothing(told):
    run, events = told
    model = Doubler()
    run.bus.on(BatchFinished, lambda event: run.stop("enough") if event.number == 3 else None)
    make_loop(model=model, epochs_count=5).run_training()
    assert len(model.calls) == 4
    assert short(events[-1])[0] == "batch"
    events.clear()
    make_loop(model=model).run_training()
    assert events == []


def test_a_stop_after_an_epoch_begins_no_other(told):
    run, events = told
    run.bus.on(EpochFinished, lambda event: run.stop("enough"))
    make_loop(epochs_count=5).run_training()
    assert short(events[-1]) == ("end", 0, {"train": {}, "valid": {}})


def test_an_interrupt_without_a_run_is_an_interrupt():
    diary = Diary("after_batch", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make_loop([diary]).run_training()
    assert diary.lines[-1] == ("after_training", False)


def test_an_abstract_model_must_be_whole():
    class Half(AbstractModel):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()
