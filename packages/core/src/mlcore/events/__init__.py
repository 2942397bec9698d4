"""What a run says while it works: small typed events, and the bus that hands them to listeners.

The class of an event is its name. Every class has its own channel; code that runs often fetches it once and builds an
event only when somebody listens:

    bus = Bus()
    channel = bus.channel(BatchFinished)
    for number, batch in enumerate(batches, 1):
        ...
        if channel.listeners:
            channel.emit(BatchFinished(number, "train", epoch, batch, train=True))

Any class can be an event, so a plugin may define its own. Events are facts: a listener that wants to stop the run calls
`run.stop(reason)`. Discovery and other rare moments are hooks, see `mlcore.hookspecs`.
"""

from __future__ import annotations

from mlcore.events.bus import Bus, Channel, Listener, Subscription
from mlcore.events.facts import (
    ArtifactStored,
    BatchFinished,
    CheckpointSaved,
    EpochFinished,
    EpochStarted,
    ItemsPredicted,
    MetricsLogged,
    ModelSaved,
    Progress,
    RunFailed,
    RunFinished,
    RunStarted,
    StreamStarted,
    Warned,
)

__all__ = [
    "ArtifactStored",
    "BatchFinished",
    "Bus",
    "Channel",
    "CheckpointSaved",
    "EpochFinished",
    "EpochStarted",
    "ItemsPredicted",
    "Listener",
    "MetricsLogged",
    "ModelSaved",
    "Progress",
    "RunFailed",
    "RunFinished",
    "RunStarted",
    "StreamStarted",
    "Subscription",
    "Warned",
]
