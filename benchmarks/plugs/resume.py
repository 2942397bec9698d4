"""Fills the slot of the ruler `resume_exact.py`: a hand-written loop that a SIGKILL in mid-epoch does not change.

    resume_exact.py --impl "" --plug benchmarks/plugs/resume.py:SPEC --plug-name mlcore

The whole is the public API: a run that checkpoints every few steps, and what a resumed one takes from the newest:
the model with its optimizer's state, the stream's place, and every random generator.
"""

from __future__ import annotations

from pathlib import Path

import mlcore
from mlcore.runs import Run, list_runs, resume_run
from mlcore_emloop_compat.datasets import ArrayStream


def open_run(directory: Path) -> Run:
    """Go on with the run of a folder; start one where there is none."""
    store = mlcore.Store(str(directory))
    kept = next(list_runs(store), None)
    return resume_run(kept) if kept else mlcore.start_run(store=store, name="resume", seed=0)


def train(net, arrays, directory: Path, on_batch, *, batch_size: int, epochs: int, every: int) -> None:
    """Train with Adam on shuffled batches, keeping a checkpoint every few steps."""
    stream = ArrayStream(arrays, batch_size, shuffle=True)
    model = mlcore.as_model(net, output_names=[], loss="mse", optimizer={"name": "Adam", "lr": 1e-2}, device="cpu")
    with open_run(directory) as run:
        step = 0
        if restored := run.restore():
            step = restored.step
            stream.load_state_dict(restored.state)
            restored.model("model", into=model)
            restored.generators()
        while step < epochs * len(stream):
            for batch in stream:
                on_batch(batch["id"].tolist())
                model.run(batch, train=True)
                step += 1
                if step % every == 0:
                    run.checkpoint(stream.state_dict(), models={"model": model}, step=step)


def SPEC(directory, resume, on_batch):
    """What the ruler calls, in a process of its own; the folder tells whether there is something to resume."""
    from resume_exact import BS, EPOCHS, EVERY, flat, make_data, make_net  # lies beside the script that runs

    net = make_net()
    x, y, ids = (tensor.numpy() for tensor in make_data())
    train(net, {"x": x, "y": y, "id": ids}, Path(directory), on_batch, batch_size=BS, epochs=EPOCHS, every=EVERY)
    return flat(net)
