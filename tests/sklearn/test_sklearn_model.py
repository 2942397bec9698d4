"""Estimators as Models: what they take, what they give, and what they say when it does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mlcore.errors import ModelError
from mlcore.model import Model, as_model
from mlcore_sklearn import SklearnBackend, SklearnModel
from mlcore_sklearn.outputs import log_loss as example_log_loss

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4))
Y = np.arange(24) % 3
BATCH = {"x": X, "y": Y}


def wrap(estimator, **names):
    return SklearnBackend().wrap(estimator, **names)


def test_training_equals_the_calls_made_by_hand():
    model = wrap(MLPClassifier((8,), random_state=3), labels=[0, 1, 2])
    ours = [model.run(BATCH, train=True) for _ in range(3)]
    estimator = MLPClassifier((8,), random_state=3)
    for outputs in ours:
        estimator.partial_fit(X, Y, classes=[0, 1, 2])
        assert np.array_equal(outputs["prediction"], estimator.predict(X))
        assert outputs["loss"].mean() == pytest.approx(log_loss(Y, estimator.predict_proba(X)), rel=1e-12)
        assert np.array_equal(outputs["accuracy"], (estimator.predict(X) == Y).astype(float))
    for name in ("coefs_", "intercepts_"):
        for mine, theirs in zip(getattr(model.estimator, name), getattr(estimator, name), strict=True):
            assert np.array_equal(mine, theirs)


def test_outputs_have_an_entry_an_example_and_are_float64():
    model = wrap(GaussianNB(), labels=[0, 1, 2], output_names=["prediction", "probability", "loss", "accuracy"])
    outputs = model.run(BATCH, train=True)
    assert list(outputs) == ["prediction", "probability", "loss", "accuracy"]
    assert {name: value.shape for name, value in outputs.items()} == {
        "prediction": (24,),
        "probability": (24, 3),
        "loss": (24,),
        "accuracy": (24,),
    }
    assert outputs["loss"].dtype == outputs["accuracy"].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_is_clipped_as_scikit_learn_does(dtype):
    probability = np.array([[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]], dtype)
    truth = np.array([0, 0, 1])
    losses = example_log_loss(probability, truth)
    assert np.isfinite(losses).all()
    assert losses.mean() == pytest.approx(log_loss(truth, probability), rel=1e-6)


def test_a_regressor_gives_squared_errors():
    batch = {"x": X, "y": Y * 0.5}
    outputs = wrap(SGDRegressor(random_state=0)).run(batch, train=True)
    assert list(outputs) == ["prediction", "loss"]
    assert np.array_equal(outputs["loss"], (outputs["prediction"] - batch["y"]) ** 2)


def test_several_regression_targets_share_one_loss():
    model = wrap(MLPRegressor(hidden_layer_sizes=(4,), random_state=0))
    outputs = model.run({"x": X, "y": RNG.normal(size=(24, 2))}, train=True)
    assert outputs["prediction"].shape == (24, 2)
    assert outputs["loss"].shape == (24,)


def test_a_clusterer_learns_without_target():
    model = wrap(MiniBatchKMeans(3, random_state=0, n_init=1))
    assert (model.target_names, model.output_names) == ((), ("prediction",))
    assert set(model.run({"x": X}, train=True)["prediction"]) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (MLPClassifier(), ("prediction", "loss", "accuracy")),
        (SGDClassifier(loss="hinge"), ("prediction", "accuracy")),
        (SGDClassifier(loss="log_loss"), ("prediction", "loss", "accuracy")),
        (make_pipeline(StandardScaler(), LogisticRegression()), ("prediction", "loss", "accuracy")),
        (make_pipeline(StandardScaler(), SVC()), ("prediction", "accuracy")),
        (LinearRegression(), ("prediction", "loss")),
    ],
)
def test_default_outputs(estimator, names):
    assert wrap(estimator).output_names == names


def test_without_target_there_is_no_loss():
    model = wrap(MLPClassifier(random_state=0), labels=[0, 1, 2])
    model.run(BATCH, train=True)
    assert list(model.run({"x": X}, train=False)) == ["prediction"]


def test_evaluation_learns_nothing():
    model = wrap(MLPClassifier(random_state=0), labels=[0, 1, 2])
    model.run(BATCH, train=True)
    before = [coefs.copy() for coefs in model.estimator.coefs_]
    model.run(BATCH, train=False)
    assert all(map(np.array_equal, before, model.estimator.coefs_))


def test_several_inputs_are_flattened_and_joined_in_order():
    images, width = RNG.normal(size=(24, 2, 3)), np.arange(24.0)
    model = wrap(GaussianNB(), input_names=["width", "images"], labels=[0, 1, 2])
    ours = model.run({"images": images, "width": width, "y": Y}, train=True)
    table = np.concatenate([width[:, None], images.reshape(24, 6)], axis=1)
    assert np.array_equal(ours["prediction"], GaussianNB().partial_fit(table, Y, classes=[0, 1, 2]).predict(table))


def test_one_input_of_many_axes_is_flattened():
    model = wrap(GaussianNB(), labels=[0, 1, 2])
    model.run({"x": X.reshape(24, 2, 2), "y": Y[:, None]}, train=True)
    assert model.estimator.n_features_in_ == 4


@pytest.mark.parametrize("kind", [list, np.array])
def test_texts_reach_a_text_pipeline_as_they_are(kind):
    texts = kind(["good", "bad", "good good", "bad bad"])
    fitted = make_pipeline(HashingVectorizer(n_features=8), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    assert wrap(fitted).run({"x": texts}, train=False)["prediction"].tolist() == [1, 0, 1, 0]


def test_sparse_matrices_stay_sparse():
    table = HashingVectorizer(n_features=8).transform(["good", "bad"])
    outputs = wrap(SGDClassifier(random_state=0), labels=[0, 1]).run({"x": table, "y": [1, 0]}, train=True)
    assert outputs["prediction"].shape == (2,)


def test_labels_may_name_texts():
    model = wrap(GaussianNB(), labels={"cat": "c", "dog": "d"})
    outputs = model.run({"x": X, "y": ["c", "d"] * 12}, train=True)
    assert set(outputs["prediction"]) <= {"c", "d"}


def test_the_first_batch_may_lack_a_class():
    model = wrap(SGDClassifier(random_state=0), labels=[0, 1, 2, 7])
    model.run(BATCH, train=True)
    assert model.estimator.classes_.tolist() == [0, 1, 2, 7]


def test_it_is_a_model_through_the_core():
    model = as_model(SGDRegressor(), input_names=["x"], target_names=["y"])
    assert isinstance(model, SklearnModel)
    assert isinstance(model, Model)
    assert as_model(model) is model
    assert model.subject is model.estimator


class Home(ClassifierMixin, BaseEstimator):
    """A user's estimator, with a bug of its own."""

    def predict(self, table):
        raise ValueError("a bug of the user's")


def test_recognition():
    backend = SklearnBackend()
    assert backend.recognises(Home())
    assert backend.recognises(make_pipeline(StandardScaler(), SVC()))
    for foreign in (object(), {"predict": 1}, "text", SGDClassifier, StandardScaler(), None):
        assert not backend.recognises(foreign)


def test_errors_of_a_users_estimator_stay_their_own():
    with pytest.raises(ValueError, match="a bug of the user's"):
        wrap(Home()).run({"x": X}, train=False)


def test_the_global_generator_comes_back():
    backend = SklearnBackend()
    state = backend.rng_state()
    first = np.random.random(5)
    backend.set_rng_state(state)
    assert np.array_equal(first, np.random.random(5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: wrap(SGDClassifier),
            r"SGDClassifier is a class, not an object\n  hint: pass an instance: SGDClassifier",
        ),
        (lambda: wrap(object()), "object is no scikit-learn estimator that predicts"),
        (lambda: wrap(SVC(), input_name=["x"]), r"no option 'input_name'\n  hint: did you mean 'input_names'\?"),
        (lambda: wrap(SVC(), output_names=["losss"]), r"SVC has no output 'losss'\n  hint: valid names: acc"),
        (lambda: wrap(MLPClassifier(), output_names=["losss"]), r"no output 'losss'\n  hint: did you mean 'loss'\?"),
        (lambda: wrap(SVC(), input_names=[]), "SVC has no inputs"),
        (lambda: wrap(SVC(), target_names=["a", "b"]), "SVC takes one target, not a, b"),
        (lambda: wrap(SVC(), input_names=["prediction"]), "'prediction' names both an output and a source"),
        (lambda: wrap(wrap(SVC()), input_names=["z"]), "a Model already, with other input_names"),
        (lambda: wrap(wrap(SVC()), labels=[0]), "a Model already, with other labels"),
    ],
)
def test_wrong_wrapping_is_told(make, message):
    with pytest.raises(ModelError, match=message):
        make()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"X": X, "y": Y}, "the batch has no 'x'\n  hint: valid names: X, y"),
        ({"x": X, "yy": Y}, r"the batch has no 'y'\n  hint: did you mean 'yy'\?"),
        ({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}, "'x' is ragged"),
        ({"x": X, "y": [[0]] * 23 + [[0, 1]]}, "'y' is ragged"),
        ({"x": X, "y": Y[:5]}, "differ in length: 'inputs' has 24, 'y' has 5"),
        ({"x": X[:0], "y": Y[:0]}, "the batch has no examples: 'x' is empty"),
        ({"x": X.reshape(24, 2, 2)[:0], "y": Y[:0]}, "the batch has no examples"),
        ({"x": 1.0, "y": Y}, "'x' is one value"),
        ({"x": X, "y": 1}, "'y' has 0"),
        ({"x": X, "y": Y + 7}, "target 'y' has the value 7, which is not among the labels: 0, 1, 2"),
        ({"x": X, "y": Y.astype(str)}, "target 'y' has the value '0', which is not among the labels: 0, 1, 2"),
        ({"x": X, "y": np.eye(3)[Y]}, r"target 'y' has shape \(24, 3\): a class an example is needed"),
        ({"x": X * np.nan, "y": Y}, "MLPClassifier: Input X contains NaN"),
    ],
)
def test_a_batch_that_does_not_fit_is_told(batch, message):
    with pytest.raises(ModelError, match=message):
        wrap(MLPClassifier(random_state=0), labels=[0, 1, 2]).run(batch, train=True)


def test_inputs_of_different_lengths_are_told():
    model = wrap(SGDClassifier(), input_names=["a", "b"], labels=[0, 1])
    with pytest.raises(ModelError, match="differ in length: 'a' has 24, 'b' has 3"):
        model.run({"a": X, "b": X[:3], "y": Y}, train=True)


def test_texts_cannot_be_joined():
    with pytest.raises(ModelError, match="'b' holds texts, which cannot be joined"):
        wrap(SVC(), input_names=["a", "b"]).run({"a": [[1.0]], "b": ["text"]}, train=False)


def test_another_width_is_told():
    model = wrap(GaussianNB(), labels=[0, 1, 2])
    model.run(BATCH, train=True)
    with pytest.raises(ModelError, match="GaussianNB: X has 3 features, but GaussianNB is expecting 4"):
        model.run({"x": X[:, :3]}, train=False)


def test_a_classifier_without_labels_is_told_what_to_add():
    with pytest.raises(ModelError, match=r"must know all classes before its first batch\n  hint: add `labels`"):
        wrap(MLPClassifier()).run(BATCH, train=True)


def test_an_estimator_that_cannot_learn_from_batches_is_told_which_can():
    with pytest.raises(ModelError, match=r"LogisticRegression cannot learn from batches.*\n  hint: these can:.*MLPCl"):
        wrap(LogisticRegression(), labels=[0, 1, 2]).run(BATCH, train=True)
    with pytest.raises(ModelError, match=r"MLPClassifier cannot learn from batches: as it is configured"):
        wrap(MLPClassifier(solver="lbfgs"), labels=[0, 1, 2]).run(BATCH, train=True)


def test_predicting_before_training_is_told():
    with pytest.raises(ModelError, match=r"has not been fitted yet\n  hint: train it first; .*skip_zeroth_epoch"):
        wrap(MLPClassifier()).run({"x": X}, train=False)
