"""The same bytes for the same state, in any process; and training that goes on as if never interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import skops.io
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cluster import Birch, MiniBatchKMeans
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from mlcore.bundle import Bundle
from mlcore.errors import ModelError
from mlcore.model import restore_model, save_model
from mlcore.store import as_folder
from mlcore_sklearn import SklearnBackend, SklearnModel, VersionMismatchWarning, trust
from mlcore_sklearn.canonical import dumps

X = np.abs(np.random.RandomState(0).normal(size=(60, 4)))
Y = np.arange(60) % 3

LEARNERS = {
    "mlp-adam": lambda: MLPClassifier((8, 4), random_state=0),
    "mlp-sgd": lambda: MLPClassifier((8,), solver="sgd", random_state=0),
    "mlp-global-generator": lambda: MLPClassifier((8,)),
    "mlp-own-generator": lambda: MLPClassifier((8,), random_state=np.random.RandomState(5)),
    "mlp-regressor": lambda: MLPRegressor(hidden_layer_sizes=(8,), random_state=0),
    "sgd": lambda: SGDClassifier(random_state=0),
    "sgd-averaged": lambda: SGDClassifier(random_state=0, average=15, loss="log_loss"),
    "sgd-global-generator": SGDClassifier,
    "sgd-regressor": lambda: SGDRegressor(random_state=0, average=True),
    "sgd-one-class": lambda: SGDOneClassSVM(random_state=0, average=5),
    "perceptron": lambda: Perceptron(random_state=0),
    "multinomial": MultinomialNB,
    "gaussian": GaussianNB,
    "bernoulli": BernoulliNB,
    "complement": ComplementNB,
    "k-means": lambda: MiniBatchKMeans(3, random_state=0, n_init=1),
    "k-means-global-generator": lambda: MiniBatchKMeans(3, n_init=1),
}

FITTED = {
    "pipeline": lambda: make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), MLPClassifier((3,), max_iter=3)),
    "scipy-ufunc": lambda: make_pipeline(FunctionTransformer(scipy.special.expit), GaussianNB()),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=3, random_state=0),
    "hist-boosting": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "hist-boosting-regressor": lambda: HistGradientBoostingRegressor(max_iter=3, random_state=0),
    "logistic": LogisticRegression,
    "svc": lambda: SVC(random_state=0),
    "neighbours": lambda: KNeighborsClassifier(algorithm="kd_tree"),
    "ball-tree": lambda: KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
    "gaussian-process": lambda: GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0),
}


def make_mlp():
    return MLPClassifier((8,), random_state=0)


def learn(model, steps):
    for step in steps:
        part = slice(step * 10 % 40, step * 10 % 40 + 20)
        model.run({"x": X[part], "y": Y[part]}, train=True)


def learner(name):
    return SklearnBackend().wrap(LEARNERS[name](), labels=[0, 1, 2])


def reload(model, tmp_path):
    save_model(model, tmp_path / "bundle", training=True)
    return restore_model(Bundle(as_folder(tmp_path / "bundle")))


@pytest.fixture(autouse=True)
def quiet_convergence():
    from sklearn.exceptions import ConvergenceWarning

    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("name", LEARNERS)
def test_training_goes_on_bit_for_bit(name, tmp_path):
    model = learner(name)
    learn(model, range(3))
    restored = reload(model, tmp_path)
    assert dumps(restored.estimator) == dumps(model.estimator)
    state = SklearnBackend().rng_state()
    learn(model, range(3, 9))
    SklearnBackend().set_rng_state(state)
    learn(restored, range(3, 9))
    assert dumps(restored.estimator) == dumps(model.estimator)
    assert np.array_equal(restored.estimator.predict(X), model.estimator.predict(X))


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_estimator_comes_back(name, tmp_path):
    model = SklearnBackend().wrap(FITTED[name]().fit(X, Y))
    restored = reload(model, tmp_path)
    assert dumps(restored.estimator) == dumps(model.estimator)
    assert np.array_equal(restored.estimator.predict(X), model.estimator.predict(X))


PROGRAM = """
import sys
for module in sys.argv[1].split(","):
    __import__(module)
sys.path.insert(0, sys.argv[2])
import test_sklearn_storage as tests
import json, warnings
from hashlib import sha256
warnings.simplefilter("ignore")
print(json.dumps({name: sha256(data).hexdigest() for name, data in tests.everything()}))
"""


def everything():
    for name in LEARNERS:
        np.random.seed(0)
        model = learner(name)
        learn(model, range(4))
        yield name, dumps(model.estimator)
    for name, make in FITTED.items():
        np.random.seed(0)
        yield name, dumps(make().fit(X, Y))


def test_any_process_writes_the_same_bytes():
    # MALLOC_PERTURB_ fills fresh memory (glibc), so that bytes nobody wrote would differ.
    found = []
    for number, imports in enumerate(["scipy.special,sklearn.svm", "skops.io", "fractions,numpy"]):
        command = [sys.executable, "-c", PROGRAM, imports, str(Path(__file__).parent)]
        environment = os.environ | {"PYTHONHASHSEED": str(number), "MALLOC_PERTURB_": str(17 + 50 * number)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == len(LEARNERS) + len(FITTED)


class Holder(BaseEstimator, RegressorMixin):
    """Holds what a test gives it."""

    def __init__(self, held=None):
        self.held = held

    def predict(self, table):
        return np.zeros(len(table))


def reloaded(held):
    return skops.io.loads(dumps(Holder(held)), trusted=[f"{__name__}.Holder", *trust.HELPERS]).held


@pytest.mark.parametrize(
    "value",
    [
        *(np.float64(0.1), np.float64("-0.0"), np.float64("inf"), np.float64(5e-324), np.float32(0.1), np.float16(0.1)),
        *(np.int64(-3), np.uint8(200), np.bool_(True), np.str_("é☃")),
    ],
)
def test_numbers_come_back_exactly_and_with_their_type(value):
    back = reloaded([value])[0]
    assert type(back) is type(value)
    assert back.tobytes() == value.tobytes()


def test_numbers_that_bytes_do_not_tell_apart_come_back():
    assert np.isnan(reloaded(np.float32("nan")))
    assert reloaded(np.longdouble("0.1")) == np.longdouble("0.1")


def test_equal_values_are_equal_bytes_whoever_shares_them():
    text = "".join(["sha", "red"])
    assert dumps(Holder([text, text, 300, (1, "a")])) == dumps(Holder(["shared", "sha" + text[3:], 300, (1, "a")]))


def test_sharing_of_arrays_is_kept_because_it_is_state():
    array = np.zeros(3)
    shared, apart = reloaded([array, array]), reloaded([array, array.copy()])
    assert shared[0] is shared[1]
    assert apart[0] is not apart[1]
    assert dumps(Holder([array, array])) != dumps(Holder([array, array.copy()]))


def test_the_order_of_sets_and_attributes_is_no_state():
    words = [f"word-{number}" for number in range(50)]
    backwards = words[::-1]
    assert dumps(Holder(set(words))) == dumps(Holder(set(backwards)))
    assert dumps(Holder(frozenset(words))) == dumps(Holder(frozenset(backwards)))
    assert reloaded(frozenset(words)) == frozenset(words)
    first, second = Holder(), Holder()
    first.a_, first.b_ = 1, "x"
    second.b_, second.a_ = "x", 1
    assert dumps(first) == dumps(second)
    back = skops.io.loads(dumps(first), trusted=[f"{__name__}.Holder"])
    assert (back.a_, back.b_, back.held) == (1, "x", None)


def test_the_order_of_dictionaries_is_kept():
    assert list(reloaded({"b": 1, "a": 2})) == ["b", "a"]


def test_padding_is_no_state():
    dtype = np.dtype([("a", "u1"), ("b", "f8")], align=True)
    dirty, clean = np.empty(4, dtype), np.zeros(4, dtype)
    dirty.view("u1")[:] = 255
    for array in (dirty, clean):
        array["a"], array["b"] = 1, 0.5
    assert dirty.tobytes() != clean.tobytes()
    assert dumps(Holder(dirty)) == dumps(Holder(clean))
    assert np.array_equal(reloaded(dirty), clean)


def test_the_global_generator_is_stored_by_reference():
    assert reloaded(np.random.mtrand._rand) is np.random.mtrand._rand
    own = np.random.RandomState(3)
    expected = np.random.RandomState(3).random(4)
    assert np.array_equal(reloaded(own).random(4), expected)


def test_ufuncs_keep_their_public_names():
    with zipfile.ZipFile(BytesIO(dumps(Holder([np.log1p, scipy.special.expit])))) as archive:
        text = archive.read("schema.json").decode()
    assert '"__class__":"log1p","__module__":"numpy"' in text
    assert '"__class__":"expit","__module__":"scipy.special"' in text


def test_an_archive_names_no_time_and_no_process():
    with zipfile.ZipFile(BytesIO(dumps(make_mlp().partial_fit(X, Y, classes=[0, 1, 2])))) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert all(name == "schema.json" or len(name) == 64 + len(".npy") for name in names)


def test_what_skops_cannot_store_is_told(tmp_path):
    with pytest.raises(ModelError, match="Birch cannot be stored without pickle"):
        SklearnModel(Birch().fit(X)).save(tmp_path)
    with pytest.raises(ModelError, match="Holder cannot be stored without pickle"):
        SklearnModel(Holder(number for number in range(3))).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_and_labels_come_back(tmp_path):
    names = {"input_names": ["a", "b"], "target_names": ["t"], "output_names": ["accuracy", "prediction"]}
    model = SklearnBackend().wrap(make_mlp(), **names, labels={"no": 0, "yes": 1})
    restored = reload(model, tmp_path)
    assert isinstance(restored, SklearnModel)
    assert {name: list(getattr(restored, name)) for name in names} == names
    assert restored.labels == {"no": 0, "yes": 1}


def test_another_version_is_told_in_one_line(tmp_path, monkeypatch):
    model = SklearnBackend().wrap(FITTED["pipeline"]().fit(X, Y))
    manifest = save_model(model, tmp_path)
    manifest.meta["versions"]["scikit-learn"] = "1.0"
    monkeypatch.setattr("sklearn.base.__version__", "1.0")
    model.save(tmp_path)
    monkeypatch.undo()
    with pytest.warns(
        VersionMismatchWarning, match=r"^saved with scikit-learn 1\.0, loaded with \S+: results may"
    ) as told:
        SklearnBackend().load(tmp_path, manifest)
    assert len(told) == 1
