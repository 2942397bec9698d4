from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore import events
from mlcore.errors import MlcoreError
from mlcore.events import (
    BatchFinished,
    Bus,
    EpochFinished,
    EpochStarted,
    Progress,
    RunFailed,
    RunStarted,
    Warned,
)

EVENTS = [cls for _, cls in inspect.getmembers(events, dataclasses.is_dataclass)]


@pytest.fixture
def bus():
    return Bus()


def emit(bus, *numbers):
    channel = bus.channel(EpochStarted)
    for number in numbers:
        channel.emit(EpochStarted(number))


def batch(number):
    return BatchFinished(number, "train", 1, {}, train=True)


@pytest.mark.parametrize("cls", EVENTS)
def test_events_are_small_open_and_described(cls):
    assert "__slots__" in vars(cls)
    assert not cls.__dataclass_params__.frozen
    described = inspect.getdoc(cls)
    for field in dataclasses.fields(cls):
        assert f"{field.name}: " in described, f"{cls.__name__} does not describe {field.name}"


def test_a_listener_gets_the_very_event(bus):
    seen = []
    bus.on(Warned, seen.append)
    event = Warned("disk nearly full")
    bus.channel(Warned).emit(event)
    assert seen == [event]
    assert seen[0] is event


def test_a_channel_is_one_object_for_each_class(bus):
    class Later(EpochStarted):
        pass

    assert bus.channel(EpochStarted) is bus.channel(EpochStarted)
    assert bus.channel(Later) is not bus.channel(EpochStarted)
    assert bus.channel(EpochStarted).listeners == ()


def test_a_plain_subscription_is_the_listener_itself(bus):
    def listener(event): ...

    bus.on(EpochStarted, listener)
    assert bus.channel(EpochStarted).listeners == (listener,)


def test_order_is_priority_then_subscription(bus):
    seen = []
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("e", 5)]:
        bus.on(EpochStarted, lambda _, name=name: seen.append(name), priority=priority)
    emit(bus, 1)
    assert seen == ["b", "e", "a", "c", "d"]


@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), max_size=12))
def test_order_survives_any_cancelling(plan):
    bus, seen = Bus(), []
    subscriptions = [
        (bus.on(Warned, lambda _, i=i: seen.append(i), priority=priority), cancel)
        for i, (priority, cancel) in enumerate(plan)
    ]
    for subscription, cancel in subscriptions:
        if cancel:
            assert subscription.cancel()
    bus.channel(Warned).emit(Warned(""))
    kept = [(-priority, i) for i, (priority, cancel) in enumerate(plan) if not cancel]
    assert seen == [i for _, i in sorted(kept)]


def test_every_counts_the_events_number_not_deliveries(bus):
    seen = []
    bus.on(BatchFinished, lambda event: seen.append(event.number), every=3)
    for number in range(8, 14):  # a resumed run
        bus.channel(BatchFinished).emit(batch(number))
    assert seen == [9, 12]


def test_every_takes_a_number_that_is_no_class_attribute(bus):
    @dataclasses.dataclass
    class Mine:
        number: int

    seen = []
    bus.on(Mine, seen.append, every=2)
    for number in range(4):
        bus.channel(Mine).emit(Mine(number))
    assert [event.number for event in seen] == [0, 2]


def test_once_ends_after_one_call(bus):
    seen = []
    subscription = bus.on(EpochStarted, lambda event: seen.append(event.number), once=True)
    emit(bus, 1, 2)
    assert seen == [1]
    assert bus.channel(EpochStarted).listeners == ()
    assert not subscription.cancel()


def test_once_ends_although_the_listener_raises(bus):
    def fail(_):
        raise ValueError("no")

    bus.on(EpochStarted, fail, once=True)
    with pytest.raises(ValueError, match="no"):
        emit(bus, 1)
    emit(bus, 2)


def test_once_does_not_call_itself_when_it_emits(bus):
    seen = []

    def again(event):
        seen.append(event.number)
        emit(bus, event.number + 1)

    bus.on(EpochStarted, again, once=True)
    emit(bus, 1)
    assert seen == [1]


def test_once_with_every_waits_for_its_number(bus):
    seen = []
    bus.on(EpochStarted, lambda event: seen.append(event.number), once=True, every=2)
    emit(bus, 1, 2, 3, 4)
    assert seen == [2]


def test_a_subscription_is_a_context(bus):
    with bus.on(EpochStarted, lambda _: None) as subscription:
        assert len(bus.channel(EpochStarted).listeners) == 1
    assert bus.channel(EpochStarted).listeners == ()
    assert not subscription.cancel()


def test_who_subscribes_during_an_event_hears_the_next(bus):
    seen = []
    bus.on(EpochStarted, lambda _: bus.on(EpochStarted, lambda event: seen.append(event.number)), once=True)
    emit(bus, 1)
    assert seen == []
    emit(bus, 2)
    assert seen == [2]


def test_the_same_listener_can_be_subscribed_twice(bus):
    seen = []
    first = bus.on(EpochStarted, seen.append)
    bus.on(EpochStarted, seen.append)
    emit(bus, 1)
    assert len(seen) == 2
    first.cancel()
    emit(bus, 2)
    assert len(seen) == 3


class Recorder:
    def on_epoch(self, event):
        raise ValueError("disk full")

    def __call__(self, event):
        raise ValueError("disk full")


@pytest.mark.parametrize(
    ("listener", "name"),
    [
        (Recorder().on_epoch, "Recorder.on_epoch"),
        (functools.partial(Recorder.on_epoch, None), "Recorder.on_epoch"),
        (Recorder(), "Recorder"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"once": True}])
def test_an_exception_propagates_and_names_listener_and_event(bus, listener, name, options):
    later = []
    bus.on(EpochStarted, listener, **options)
    bus.on(EpochStarted, later.append)
    with pytest.raises(ValueError, match="disk full") as caught:
        emit(bus, 1)
    assert caught.value.__notes__ == [f"raised by the listener {__name__}.{name} of EpochStarted"]
    assert later == []


def test_listeners_of_run_failed_all_run_and_hide_nothing(bus):
    seen = []

    def broken(_):
        raise KeyError("second")

    bus.on(RunFailed, broken)
    bus.on(RunFailed, lambda event: seen.append(event.error))
    error = ValueError("first")
    bus.channel(RunFailed).emit(RunFailed(error))
    assert seen == [error]
    (note,) = error.__notes__
    assert "test_listeners_of_run_failed_all_run_and_hide_nothing.<locals>.broken of RunFailed raised:" in note
    assert "KeyError: 'second'" in note
    assert "Traceback" in note


@pytest.mark.parametrize(
    ("listener", "wrong"),
    [
        (lambda: None, r"\(\) cannot be called with one EpochFinished: too many positional arguments"),
        (lambda a, b: None, r"\(a, b\) cannot be called with one EpochFinished: missing a required argument: 'b'"),
        (lambda *, event: None, r"cannot be called with one EpochFinished"),
        (7, "7 is not callable and cannot listen to EpochFinished"),
    ],
)
def test_a_listener_that_cannot_take_one_event_is_refused(bus, listener, wrong):
    with pytest.raises(MlcoreError, match=wrong) as caught:
        bus.on(EpochFinished, listener)
    assert "def listener(event: EpochFinished)" in caught.value.hint
    assert bus.channel(EpochFinished).listeners == ()


def test_a_listener_whose_body_would_not_run_is_refused(bus):
    async def coroutine(event): ...

    def generator(event):
        yield

    for listener in (coroutine, generator):
        with pytest.raises(MlcoreError, match="coroutine or generator function"):
            bus.on(EpochFinished, listener)


@pytest.mark.parametrize("listener", [lambda event, extra=None: None, lambda *events: None, print, {}.update])
def test_a_listener_may_take_more_or_have_no_signature(bus, listener):
    bus.on(EpochFinished, listener)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2", None])
def test_every_must_be_a_positive_integer(bus, every):
    with pytest.raises(MlcoreError, match="is not a positive integer"):
        bus.on(EpochStarted, lambda _: None, every=every)


@pytest.mark.parametrize("cls", [Progress, RunStarted, RunFailed])
def test_every_needs_a_number(bus, cls):
    with pytest.raises(MlcoreError, match=f"every=2 cannot be counted: {cls.__name__} has no `number`"):
        bus.on(cls, lambda _: None, every=2)


@pytest.mark.parametrize("cls", ["EpochStarted", EpochStarted(1)])
def test_only_a_class_is_an_event_type(bus, cls):
    for use in (lambda: bus.on(cls, lambda _: None), lambda: bus.channel(cls)):
        with pytest.raises(MlcoreError, match="is not an event class"):
            use()


def test_a_closed_bus_hands_events_to_nobody(bus):
    seen = []
    channel = bus.channel(EpochStarted)
    subscription = bus.on(EpochStarted, seen.append)
    bus.close()
    emit(bus, 1)
    assert seen == []
    assert channel.listeners == ()
    assert not subscription.cancel()
    with pytest.raises(MlcoreError, match=r"would never be called: the bus is closed"):
        bus.on(EpochStarted, seen.append)
    bus.close()


@pytest.fixture
def eager_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_subscribing_while_others_emit_and_subscribe_loses_nothing(bus, eager_switching):
    channel, workers, rounds = bus.channel(EpochStarted), 4, 100
    kept, stop = [[] for _ in range(workers)], threading.Event()

    def emitter():
        while not stop.is_set():
            channel.emit(EpochStarted(1))

    def subscriber(mine):
        for _ in range(rounds):
            mine.append(bus.on(EpochStarted, lambda _: None))
            with bus.on(EpochStarted, lambda _: None, priority=1):
                pass

    talking = threading.Thread(target=emitter)
    threads = [threading.Thread(target=subscriber, args=(mine,)) for mine in kept]
    for thread in (talking, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    talking.join()
    assert len(channel.listeners) == workers * rounds
    assert all(subscription.cancel() for mine in kept for subscription in mine)
    assert channel.listeners == ()


def test_once_is_once_for_many_threads(bus):
    seen, barrier = [], threading.Barrier(4)

    def emitter():
        barrier.wait()
        emit(bus, *range(50))

    bus.on(EpochStarted, seen.append, once=True)
    threads = [threading.Thread(target=emitter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1
