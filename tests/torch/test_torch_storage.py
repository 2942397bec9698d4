"""How modules are kept: which bytes, what comes back, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch_modules import Fixed, Net, Tied

import mlcore
from mlcore.errors import CorruptError, MlcoreError, ModelError
from mlcore.model import as_model, build_model, save_model

X = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
BATCH = {"x": X, "y": np.array([0, 1, 2, 0, 1, 2])}
LEARNING = {"loss": "cross_entropy", "optimizer": {"name": "Adam", "lr": 0.05}, "device": "cpu"}


def trained(model, steps=3):
    torch.manual_seed(0)
    for _ in range(steps):
        model.run(BATCH, train=True)
    return model


def same_weights(first, second):
    one, other = first.module.state_dict(), second.module.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def change(folder, edit):
    """Rewrite a bundle's manifest, digests of other files included."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


# --- coming back ---


@pytest.mark.parametrize("path", ["torch_modules.Net", "torch_modules:make_net"])
def test_what_was_built_by_path_comes_back_alone(path, tmp_path):
    torch.manual_seed(1)
    model = trained(build_model(path, {"hidden": 5}, **LEARNING))
    save_model(model, tmp_path / "m", training=True)
    back = mlcore.load_model(tmp_path / "m")
    assert same_weights(model, back)
    assert same_weights(trained(model), trained(back))
    assert (back.origin, back.loss.name, back.optimizer_spec) == (model.origin, "cross_entropy", model.optimizer_spec)


def test_arguments_may_be_given_with_an_object(tmp_path):
    model = as_model(Net(hidden=3), arguments={"hidden": 3}, **LEARNING)
    save_model(model, tmp_path / "m")
    assert same_weights(model, mlcore.load_model(tmp_path / "m"))


def test_what_cannot_be_made_again_is_restored_into_an_object(tmp_path):
    model = trained(as_model(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), **LEARNING))
    save_model(model, tmp_path / "m", training=True)
    with pytest.raises(
        ModelError, match=r"Sequential was made is not recorded[\s\S]*load_model\(reference, into=module\)"
    ):
        mlcore.load_model(tmp_path / "m")
    fresh = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    assert mlcore.load_model(tmp_path / "m", into=fresh).module is fresh
    back = mlcore.load_model(tmp_path / "m", into=as_model(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), **LEARNING))
    assert same_weights(trained(model), trained(back))


def test_an_optimizer_object_with_groups_comes_back(tmp_path):
    net = Fixed()
    groups = [{"params": net.layers[0].parameters(), "lr": 0.5}, {"params": net.layers[4].parameters()}]
    model = trained(
        as_model(net, loss="cross_entropy", optimizer=torch.optim.SGD(groups, lr=0.1, momentum=0.9), device="cpu")
    )
    save_model(model, tmp_path / "m", training=True)
    back = mlcore.load_model(tmp_path / "m")
    assert [group["lr"] for group in back.optimizer.param_groups] == [0.5, 0.1]
    assert same_weights(trained(model), trained(back))


@pytest.mark.parametrize(
    "name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD", "Adagrad", "Adadelta"]
)
def test_every_optimizer_goes_on_bit_for_bit(name, tmp_path):
    model = trained(as_model(Fixed(), **{**LEARNING, "optimizer": name}))
    save_model(model, tmp_path / "m", training=True)
    back = mlcore.load_model(tmp_path / "m")
    assert same_weights(trained(model), trained(back))


def test_without_training_state_the_optimizer_begins_anew(tmp_path):
    model = trained(as_model(Fixed(), **LEARNING))
    save_model(model, tmp_path / "m")
    back = mlcore.load_model(tmp_path / "m")
    assert back.optimizer.param_groups[0]["lr"] == 0.05
    assert not back.optimizer.state
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "manifest.json",
        "module.json",
        "weights.safetensors",
    ]


def test_a_changed_argument_of_the_optimizer_holds_after_restoring(tmp_path):
    save_model(trained(as_model(Fixed(), **LEARNING)), tmp_path / "m", training=True)
    slower = as_model(Fixed(), **{**LEARNING, "optimizer": {"name": "Adam", "lr": 0.001}})
    restored = mlcore.load_model(tmp_path / "m", into=slower)
    assert restored.optimizer.param_groups[0]["lr"] == 0.001
    assert restored.optimizer.state


def test_a_loss_of_the_users_own_is_used_again_only_when_allowed(tmp_path):
    options = {**LEARNING, "loss": {"name": "torch_modules.absolute", "power": 2.0}, "output_names": ["output", "loss"]}
    model = as_model(Fixed(), **options)
    save_model(model, tmp_path / "m")
    back = mlcore.load_model(tmp_path / "m")
    assert (back.loss, back.output_names) == (None, ("output",))
    assert mlcore.load_model(tmp_path / "m", trusted=["torch_modules.absolute"]).loss.description == options["loss"]


def test_half_weights_come_back_as_such(tmp_path):
    model = as_model(Fixed().double(), device="cpu", output_names=["output"])
    save_model(model, tmp_path / "m")
    back = mlcore.load_model(tmp_path / "m")
    assert back.run({"x": X}, train=False)["output"].dtype == np.float64
    assert same_weights(model, back)


# --- bytes ---


def test_tied_weights_are_written_once_and_stay_tied(tmp_path):
    model = as_model(Tied(), loss="mse", optimizer="SGD", device="cpu")
    save_model(model, tmp_path / "m", training=True)
    assert json.loads((tmp_path / "m" / "module.json").read_text())["tied"] == {"other.weight": "one.weight"}
    back = mlcore.load_model(tmp_path / "m")
    back.run({"x": X, "y": X}, train=True)
    assert back.module.one.weight is back.module.other.weight


def test_views_strides_and_empty_tensors_are_kept(tmp_path):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.arange(12.0).reshape(3, 4)
            self.register_buffer("whole", whole)
            self.register_buffer("part", whole[1:])
            self.register_buffer("turned", whole.T)
            self.register_buffer("none", torch.zeros(0, 3))
            self.register_buffer("one", torch.tensor(True))

    model, other = as_model(Odd(), device="cpu"), as_model(Odd(), device="cpu")
    save_model(model, tmp_path / "m")
    for buffer in other.module.buffers():
        buffer.zero_()
    assert same_weights(mlcore.load_model(tmp_path / "m", into=other), model)


def test_what_is_no_tensor_is_told(tmp_path):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"a": 1}

    with pytest.raises(ModelError, match="'_extra_state' is a dict, and only tensors are kept"):
        save_model(as_model(Extra(2, 1), device="cpu"), tmp_path / "m")
    with pytest.raises(ModelError, match="'bias' has no shape yet"):
        save_model(as_model(nn.LazyLinear(2), device="cpu"), tmp_path / "n")


def test_an_optimizer_with_a_strange_state_is_told(tmp_path):
    model = trained(as_model(Fixed(), **LEARNING))
    model.optimizer.param_groups[0]["mine"] = object()
    with pytest.raises(ModelError, match=r"optimizer.param_groups.0.mine is a object, which cannot be kept"):
        save_model(model, tmp_path / "m", training=True)


# --- what does not fit ---


@pytest.mark.parametrize(
    ("into", "message"),
    [
        (lambda: nn.Linear(4, 3), "has no weight 'layers.0.bias', which was saved"),
        (lambda: Net(hidden=9), r"'layers.0.bias' has the shape \(8,\), but in the module \(9,\)"),
        (lambda: nn.ModuleDict({"layers": Fixed().layers, "more": nn.Linear(1, 1)}), "no weight 'more.bias' was saved"),
    ],
)
def test_another_module_is_told_and_left_alone(into, message, tmp_path):
    save_model(trained(as_model(Fixed(), **LEARNING)), tmp_path / "m")
    module = into()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        mlcore.load_model(tmp_path / "m", into=module)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_another_optimizer_is_told(tmp_path):
    save_model(trained(as_model(Fixed(), **LEARNING)), tmp_path / "m", training=True)
    with pytest.raises(ModelError, match="the saved training state is of Adam, not of SGD"):
        mlcore.load_model(tmp_path / "m", into=as_model(Fixed(), **{**LEARNING, "optimizer": "SGD"}))
    net = Fixed()
    fewer = as_model(net, **{**LEARNING, "optimizer": torch.optim.Adam(net.layers[0].parameters())})
    with pytest.raises(ModelError, match="the saved training state is of Adam for other parameters"):
        mlcore.load_model(tmp_path / "m", into=fewer)


def test_a_model_of_another_backend_is_told(tmp_path):
    save_model(as_model(Fixed(), **LEARNING), tmp_path / "m")

    class Own:
        input_names = target_names = output_names = ()

        def run(self, batch, *, train):
            return {}

        def save(self, directory, *, training=False):
            pass

    with pytest.raises(ModelError, match=r"of the backend torch cannot be restored into an object of .*Own"):
        mlcore.load_model(tmp_path / "m", into=Own())


def test_a_function_must_say_what_it_makes():
    with pytest.raises(
        ModelError, match=r"unannotated is a function that does not say what it makes[\s\S]*-> torch.nn.Module"
    ):
        build_model("torch_modules.unannotated", {"hidden": 2})


# --- planted files ---


class Boom:
    def __reduce__(self):
        return os.mkdir, ("boom",)


def plant(folder, name, content):
    """Replace a file, and let the manifest agree with it."""
    (folder / name).write_bytes(content)
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change(folder, lambda manifest: manifest["files"][name].update(entry))


def pickles():
    yield pickle.dumps(Boom())
    buffer = io.BytesIO()
    torch.save({"weight": Boom()}, buffer)
    yield buffer.getvalue()


@pytest.mark.parametrize("name", ["weights.safetensors", "training.safetensors", "module.json", "training.json"])
def test_a_planted_pickle_is_never_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, content in enumerate(pickles()):
        folder = tmp_path / str(number)
        save_model(trained(as_model(Fixed(), **LEARNING)), folder, training=True)
        plant(folder, name, content)
        for into in (None, as_model(Fixed(), **LEARNING)):
            with pytest.raises(MlcoreError, match="no readable"):
                mlcore.load_model(folder, into=into)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "os:mkdir",
        "builtins:eval",
        "torch:load",
        "torch.hub:load",
        "torch.jit:load",
        "subprocess:Popen",
        "torch_modules:unannotated",
    ],
)
def test_a_planted_maker_is_never_called(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(as_model(Fixed(), **LEARNING), tmp_path / "m")
    arguments = {"command": "mkdir boom", "path": "boom", "args": ["mkdir", "boom"], "source": "1"}
    change(tmp_path / "m", lambda manifest: manifest["meta"].update(origin={"path": path, "arguments": arguments}))
    with pytest.raises(ModelError, match=r"makes no torch module|does not say what it makes"):
        mlcore.load_model(tmp_path / "m")
    assert not (tmp_path / "boom").exists()


def test_a_planted_loss_or_optimizer_is_never_imported(tmp_path, monkeypatch):
    save_model(trained(as_model(Fixed(), **LEARNING)), tmp_path / "m", training=True)
    (tmp_path / "planted.py").write_text("raise SystemExit('planted')")
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = json.loads((tmp_path / "m" / "module.json").read_text())
    facts.update(loss={"name": "planted.loss"}, optimizer={"name": "planted:Optimizer"})
    plant(tmp_path / "m", "module.json", json.dumps(facts).encode())
    assert mlcore.load_model(tmp_path / "m").loss is None


def test_a_damaged_file_is_told(tmp_path):
    save_model(as_model(Fixed(), **LEARNING), tmp_path / "m")
    (tmp_path / "m" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptError):
        mlcore.load_model(tmp_path / "m")


def test_a_module_that_is_gone_is_told(tmp_path):
    save_model(as_model(Fixed(), **LEARNING), tmp_path / "m")
    change(tmp_path / "m", lambda manifest: manifest["meta"]["origin"].update(path="gone.nets:Net"))
    with pytest.raises(ModelError, match=r"there is no module 'gone'[\s\S]*into=module"):
        mlcore.load_model(tmp_path / "m")


# --- versions and generators ---


def test_the_same_weights_are_one_version(tmp_path):
    with mlcore.start_run(store=str(tmp_path), seed=1) as run:
        model = trained(as_model(Fixed(), **LEARNING))
        first, second = run.save_model(model, "net"), run.save_model(model, "net")
        assert first.number == second.number
    assert same_weights(model, mlcore.load_model("model:net", store=run.store))


def test_a_run_seeds_torch(tmp_path):
    drawn = []
    for seed in (1, 1, 2):
        with mlcore.start_run(store=str(tmp_path), seed=seed):
            drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
