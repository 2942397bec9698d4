"""The published suite for backends, on several modules and optimizers."""

from __future__ import annotations

import numpy as np

from mlcore.testing.backends import BackendConformance

DRAW = np.random.default_rng(0)
BATCH = {"x": DRAW.normal(size=(12, 4)).astype(np.float32), "y": np.arange(12) % 3}


class Suite(BackendConformance):
    backend = "mlcore_torch.backend:TorchBackend"
    make_object = "torch_modules:make_fixed"
    batch = BATCH


def options(**more):
    return {"input_names": ["x"], "target_names": ["y"], "labels": {"a": 0, "b": 1, "c": 2}, "device": "cpu", **more}


class TestAdamWithDropout(Suite):
    options = options(loss="cross_entropy", optimizer={"name": "Adam", "lr": 0.01})


class TestMomentum(Suite):
    options = options(loss="cross_entropy", optimizer={"name": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True})


class TestAllOutputs(Suite):
    options = options(
        loss={"name": "cross_entropy", "label_smoothing": 0.1, "weight": [1.0, 2.0, 0.5]},
        optimizer="AdamW",
        output_names=["output", "probability", "prediction", "accuracy", "loss"],
    )
