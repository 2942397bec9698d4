"""A module as a Model: what it takes, what it gives, how it learns, and what it tells a clumsy user."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_modules import Named, Net, OwnLoss, Scaled, Tied, absolute

from mlcore.errors import ModelError
from mlcore.model import Model, as_model

X = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
CLASSES = np.array([0, 1, 2, 0, 1, 2])
BATCH = {"x": X, "y": CLASSES}


def classifier(**options):
    torch.manual_seed(3)
    return as_model(Net(), **{"loss": "cross_entropy", "optimizer": "Adam", "device": "cpu", **options})


def linear(outputs=1, **options):
    torch.manual_seed(3)
    return as_model(nn.Linear(4, outputs), device="cpu", **{"loss": "mse", "optimizer": "SGD", **options})


# --- running ---


def test_a_module_is_a_model():
    model = classifier(labels={"a": 0, "b": 1, "c": 2})
    assert isinstance(model, Model)
    assert (model.input_names, model.target_names) == (("x",), ("y",))
    assert model.output_names == ("prediction", "loss", "accuracy")
    assert as_model(model) is model


def test_a_step_is_the_step_of_a_plain_loop():
    model = classifier(optimizer={"name": "Adam", "lr": 0.05}, output_names=[])
    torch.manual_seed(3)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for seed in range(3):
        torch.manual_seed(seed)
        assert model.run(BATCH, train=True) == {}
        torch.manual_seed(seed)
        optimizer.zero_grad()
        functional.cross_entropy(net(torch.tensor(X)), torch.tensor(CLASSES)).backward()
        optimizer.step()
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), model.module.state_dict().values(), strict=True)
    )


def test_the_outputs_of_a_classifier():
    model = classifier(output_names=["output", "probability", "prediction", "accuracy", "loss"])
    outputs = model.run(BATCH, train=False)
    raw = torch.tensor(outputs["output"])
    assert np.array_equal(outputs["probability"], raw.softmax(1).numpy())
    assert np.array_equal(outputs["prediction"], raw.argmax(1).numpy())
    assert np.array_equal(outputs["accuracy"], (outputs["prediction"] == CLASSES).astype(np.float32))
    assert np.array_equal(
        outputs["loss"], functional.cross_entropy(raw, torch.tensor(CLASSES), reduction="none").numpy()
    )
    assert all(type(value) is np.ndarray for value in outputs.values())


def test_what_is_not_asked_for_is_not_computed():
    calls = []

    def loss(output, target):
        calls.append(1)
        return functional.mse_loss(output.squeeze(1), target)

    linear(loss=loss, output_names=["output"]).run({"x": X, "y": X[:, 0]}, train=False)
    assert not calls


def test_outputs_are_those_before_the_step():
    model = linear(output_names=["output"])
    before = model.run({"x": X}, train=False)["output"].copy()
    assert np.array_equal(model.run({"x": X, "y": X[:, 0]}, train=True)["output"], before)
    assert not np.array_equal(model.run({"x": X}, train=False)["output"], before)


def test_evaluation_and_training_switch_the_module():
    model = classifier()
    model.run(BATCH, train=True)
    assert model.module.training
    model.run(BATCH, train=False)
    assert not model.module.training


def test_logits_are_read_as_such():
    names = ["prediction", "probability", "accuracy", "loss"]
    model = linear(loss="binary_cross_entropy_with_logits", output_names=names)
    outputs = model.run({"x": X, "y": CLASSES > 0}, train=True)
    assert outputs["prediction"].tolist() == (outputs["probability"] > 0.5).astype(int).tolist()
    assert outputs["accuracy"].shape == outputs["loss"].shape == (6,)


def test_several_values_an_example_give_one_loss():
    outputs = linear(3, output_names=["loss", "output"]).run({"x": X, "y": X[:, :3]}, train=False)
    assert np.allclose(outputs["loss"], ((outputs["output"] - X[:, :3]) ** 2).mean(1))


def test_a_loss_without_parts_is_repeated():
    outputs = linear(loss=f"{absolute.__module__}.absolute").run({"x": X, "y": X[:, 0]}, train=True)
    assert outputs["loss"].shape == (6,)
    assert len(set(outputs["loss"].tolist())) == 1


def test_a_loss_with_a_value_an_example_is_averaged():
    def each(output, target):
        return (output.squeeze(1) - target) ** 2

    model, other = linear(loss=each), linear(loss=nn.MSELoss(reduction="none"))
    batch = {"x": X, "y": X[:, 0]}
    assert np.array_equal(model.run(batch, train=True)["loss"], other.run(batch, train=True)["loss"])
    assert torch.equal(model.module.weight, other.module.weight)


def test_training_follows_the_loss_as_it_was_given():
    weight = torch.tensor([1.0, 5.0, 0.1])
    by_name = classifier(loss={"name": "cross_entropy", "weight": [1.0, 5.0, 0.1]})
    as_object = classifier(loss=nn.CrossEntropyLoss(weight=weight))
    for model in (by_name, as_object):
        torch.manual_seed(0)
        model.run(BATCH, train=True)
    assert torch.equal(by_name.module.layers[0].weight, as_object.module.layers[0].weight)


def test_a_loss_that_learns_is_trained_and_kept(tmp_path):
    loss = Scaled()
    model = linear(loss=loss)
    model.run({"x": X, "y": X[:, 0]}, train=True)
    assert loss.scale.item() != 1.0
    model.save(tmp_path, training=True)
    other = linear(loss=Scaled())
    other.restore(tmp_path)
    assert other.loss.module.scale.item() == loss.scale.item()


def test_inputs_go_to_forward_by_name_and_a_mapping_comes_back():
    model = as_model(
        Named(),
        input_names=["right", "left"],
        target_names=["y"],
        output_names=["score", "loss"],
        loss=lambda output, target: ((output["score"] - target) ** 2).mean(),
        optimizer="SGD",
        device="cpu",
    )
    batch = {"left": X[:, :2], "right": X[:, 2:], "y": X[:, 0]}
    outputs = model.run(batch, train=True)
    assert outputs["score"].shape == outputs["loss"].shape == (6,)
    model.output_names = ("difference",)
    assert np.allclose(model.run(batch, train=False)["difference"], X[:, :2] - X[:, 2:])


def test_several_targets_reach_the_loss_by_name():
    seen = []

    def loss(output, target):
        seen.append(sorted(target))
        return output.mean()

    model = linear(loss=loss, target_names=["a", "b"])
    model.run({"x": X, "a": X, "b": X}, train=True)
    assert seen[0] == ["a", "b"]


def test_a_module_may_compute_its_own_loss():
    model = as_model(OwnLoss(), input_names=["x", "y"], output_names=["guess", "loss"], optimizer="SGD", device="cpu")
    before = model.module.layer.weight.clone()
    outputs = model.run({"x": X, "y": X[:, 0]}, train=True)
    assert outputs["loss"].shape == (6,)
    assert not torch.equal(before, model.module.layer.weight)


# --- what batches hold ---


def test_arrays_take_the_type_of_the_weights_and_tensors_keep_theirs():
    model = linear()
    wanted = model.run({"x": X}, train=False)["prediction"]
    for x in (X.astype(np.float64), X.tolist(), X[::-1][::-1], X.astype(">f4"), np.asfortranarray(X)):
        assert np.array_equal(model.run({"x": x}, train=False)["prediction"], wanted)
    with pytest.raises(RuntimeError, match="dtype"):
        model.run({"x": torch.tensor(X).double()}, train=False)


def test_memory_is_shared_where_it_can_be_and_never_written_to_where_it_must_not():
    class Zeroing(nn.Module):
        def forward(self, x):
            return x.zero_()

    frozen = X.copy()
    frozen.flags.writeable = False
    model = as_model(Zeroing(), output_names=["output"], device="cpu")
    model.run({"x": frozen}, train=False)
    assert frozen.any()
    shared = X.copy()
    model = as_model(nn.Identity(), output_names=["output"], device="cpu")
    assert np.shares_memory(model.run({"x": shared}, train=False)["output"], shared)


@pytest.mark.parametrize(
    "target", [CLASSES.astype(np.int8), CLASSES.astype(np.uint8), CLASSES[:, None], CLASSES.tolist()]
)
def test_class_numbers_may_be_of_any_integer_type(target):
    wanted = classifier().run(BATCH, train=False)["loss"]
    assert np.array_equal(classifier().run({"x": X, "y": target}, train=False)["loss"], wanted)


@pytest.mark.parametrize("target", [X[:, :1], X[:, 0].astype(np.float64), (X[:, 0] * 9).astype(int)])
def test_a_column_of_values_is_not_repeated_along_the_examples(target):
    outputs = linear(output_names=["loss", "output"]).run({"x": X, "y": target}, train=True)
    assert np.allclose(outputs["loss"], (outputs["output"][:, 0] - np.ravel(target)) ** 2, rtol=1e-4)


def test_bfloat16_comes_back_as_float32():
    model = as_model(nn.Linear(4, 1).bfloat16(), output_names=["output"], device="cpu")
    assert model.run({"x": X}, train=False)["output"].dtype == np.float32


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"X": X}, "the batch has no 'x'\n  hint: valid names: X"),
        ({"x": X}, "the batch has no 'y'"),
        ({"x": np.array(["a", "b"]), "y": CLASSES}, "'x' holds <U1, torch takes numbers"),
        ({"x": [[1.0], [1.0, 2.0]], "y": CLASSES}, "'x' is ragged"),
        ({"x": np.float32(3), "y": CLASSES}, "'x' is one value"),
        ({"x": X, "y": CLASSES + 1}, "Target 3 is out of bounds"),
        ({"x": X, "y": X[:, 0]}, "with a target of shape (6,) and type float32"),
        ({"x": X, "y": CLASSES[:4]}, "with a target of shape (4,)"),
    ],
)
def test_a_batch_that_does_not_fit_is_told(batch, message):
    with pytest.raises(ModelError) as caught:
        classifier().run(batch, train=True)
    assert message in str(caught.value)


def test_a_target_of_another_shape_is_told():
    with pytest.raises(ModelError, match=r"output has the shape \(6, 1\), but the target \(6, 4\)"):
        linear().run({"x": X, "y": X}, train=True)


def test_errors_of_users_own_code_stay_as_they_are():
    def broken(output, target):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        linear(loss=broken).run({"x": X, "y": X[:, 0]}, train=True)


# --- what is asked for ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "cross_entropi"}, "torch has no loss 'cross_entropi' .*\n.*did you mean 'cross_entropy'"),
        ({"loss": "gaussian_nll_loss"}, "torch has no loss 'gaussian_nll_loss' of an output and a target"),
        ({"loss": {"name": "cross_entropy", "smoothing": 1}}, "takes no argument 'smoothing'\n.*'label_smoothing'"),
        ({"loss": "torch_modules.nothing"}, "module 'torch_modules' has no 'nothing'"),
        ({"loss": nn.MSELoss}, "is no loss"),
        ({"loss": 3}, "3 is no loss"),
        ({"optimizer": "Adan"}, "torch has no optimizer 'Adan'\n.*did you mean 'Adam'"),
        ({"optimizer": {"name": "SGD", "momentun": 1}}, "takes no argument 'momentun'\n.*did you mean 'momentum'"),
        ({"optimizer": {"name": "SGD", "lr": -1}}, "SGD cannot be made: Invalid learning rate"),
        ({"optimizer": {"lr": 1}}, "torch has no optimizer 'None'"),
        ({"optimizer": "LBFGS"}, "LBFGS computes the loss several times a step"),
        ({"optimizer": "torch_modules.Net"}, "torch_modules.Net is no optimizer"),
        ({"optimizer": torch.optim.Adam}, "is no optimizer"),
        ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1)}, "has none of the module's parameters"),
        ({"device": "gpu"}, "there is no device 'gpu' here"),
        ({"device": "meta"}, "nothing is computed"),
        ({"learning_rate": 1}, "has no option 'learning_rate'"),
        ({"labels": [1, 2, 3]}, "count from 0, but these are 1, 2, 3"),
        ({"labels": ["a", "b", "c"]}, "count from 0"),
        ({"input_names": []}, "has no inputs"),
        ({"input_names": ["x", "z"]}, r"forward takes x: .*; the inputs are x, z"),
        ({"input_names": ["loss"]}, "'loss' names both"),
        ({"loss": "mse", "output_names": ["accuracy"]}, "no accuracy of an output of values"),
        ({"output_names": ["accuracy"], "target_names": ["a", "b"]}, "no accuracy for 2 targets"),
        ({"arguments": {"hidden": np.ones(2)}}, "the arguments of Net cannot be kept"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ModelError, match=message):
        classifier(**options)


def test_a_class_is_no_object():
    with pytest.raises(ModelError, match=r"Net is a class"):
        as_model(Net)


def test_an_unknown_output_is_told_when_the_module_has_run():
    with pytest.raises(ModelError, match=r"Net gives no output 'accurracy'\n.*did you mean 'accuracy'"):
        classifier(output_names=["accurracy"]).run(BATCH, train=False)
    named = as_model(Named(), input_names=["left", "right"], output_names=["scores"], device="cpu")
    with pytest.raises(ModelError, match="did you mean 'score'"):
        named.run({"left": X[:, :2], "right": X[:, 2:]}, train=False)


@pytest.mark.parametrize(
    ("without", "message"), [("loss", "Linear has no loss"), ("optimizer", "Linear has no optimizer")]
)
def test_learning_needs_a_loss_and_an_optimizer(without, message):
    with pytest.raises(ModelError, match=message):
        linear(**{without: None}).run({"x": X, "y": X[:, 0]}, train=True)


def test_a_wrapped_model_takes_no_other_options():
    with pytest.raises(ModelError, match="is a Model already: optimizer cannot be set"):
        as_model(classifier(), optimizer="SGD")


def test_a_module_must_return_tensors():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ModelError, match="Pair returned a tuple"):
        as_model(Pair(), device="cpu").run({"x": X}, train=False)


def test_an_optimizer_of_the_users_own_is_used():
    net = Tied()
    optimizer = torch.optim.SGD(net.other.parameters(), lr=1)
    model = as_model(net, loss="mse", optimizer=optimizer, device="cpu")
    before = net.one.bias.clone()
    model.run({"x": X, "y": X}, train=True)
    assert model.optimizer is optimizer
    assert torch.equal(net.one.bias, before)


# --- importing ---


def test_nothing_imports_torch_before_a_module_is_there():
    program = (
        "import sys, mlcore_torch, mlcore_torch.plugin, mlcore_torch.backend as b\n"
        "assert not b.TorchBackend().recognises(object())\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_the_package_offers_exists():
    import mlcore_torch

    for name in mlcore_torch.__all__:
        assert getattr(mlcore_torch, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        mlcore_torch.Nothing
