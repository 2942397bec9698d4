"""From any object to a Model: which backend knows it, what is stored, what comes back."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.core.test_checkpoint import Constant

from mlcore import as_model, restore_model, save_model
from mlcore.bundle import Bundle
from mlcore.errors import CorruptError, ModelError, PluginError
from mlcore.hookspecs import hookimpl
from mlcore.model import Model, NativeBackend, backend_of, check_recognisable, import_object, label_map, made_class
from mlcore.plugins import PluginHost

HERE = "tests.core.test_model"


class Knob:
    """What only the backends below know."""

    def __init__(self, value=0):
        self.value = value


class KnobModel:
    input_names, target_names, output_names = ("x",), (), ("y",)

    def __init__(self, subject, labels=None):
        self.subject, self.labels = subject, labels

    def run(self, batch, *, train):
        return {"y": [self.subject.value for _ in batch["x"]]}

    def save(self, directory, *, training=False):
        (directory / "value").write_text(str(self.subject.value))


class KnobBackend:
    name = "knob"

    def recognises(self, obj):
        return isinstance(obj, Knob | KnobModel)

    def wrap(self, obj, *, input_names=None, target_names=None, output_names=None, labels=None, **options):
        if options:
            raise ModelError(f"knobs take no option {next(iter(options))!r}")
        return obj if isinstance(obj, KnobModel) else KnobModel(obj, labels)

    def load(self, directory, manifest, *, trusted=()):
        return KnobModel(Knob(int((directory / "value").read_text())), manifest.meta["labels"])

    def rng_state(self):
        return None

    def set_rng_state(self, state):
        pass


class Rival(KnobBackend):
    name = "rival"


class Never(KnobBackend):
    def __init__(self):
        raise AssertionError("this backend must not be asked")


def host_of(**backends):
    """A host with backends: name to target and options."""

    class Plugin:
        @hookimpl
        def mlcore_register_backends(self, register):
            for name, (kind, options) in backends.items():
                register(name, f"{HERE}:{kind}", **options)

    host = PluginHost(allow=()).load()
    host.add("test", Plugin())
    return host


@pytest.fixture
def knobs():
    return host_of(knob=("KnobBackend", {}))


# --- which backend ---


def test_the_backend_that_recognises_an_object_makes_the_model(knobs):
    model = as_model(Knob(3), labels={"on": 1}, host=knobs)
    assert model.run({"x": [0, 0]}, train=False) == {"y": [3, 3]}
    assert model.labels == {"on": 1}
    assert as_model(model, host=knobs) is model
    assert backend_of(Knob(), knobs).name == "knob"


def test_a_model_is_a_model_already():
    model = Constant(1)
    assert isinstance(model, Model)
    assert as_model(model) is model
    assert backend_of(model).name == "native"


def test_a_plugin_goes_before_native():
    host = host_of(knob=("KnobBackend", {}))
    assert backend_of(KnobModel(Knob()), host).name == "knob"
    assert backend_of(KnobModel(Knob()), PluginHost(allow=()).load()).name == "native"


def test_the_higher_priority_wins_and_equal_ones_are_told():
    assert backend_of(Knob(), host_of(knob=("KnobBackend", {}), rival=("Rival", {"priority": 1}))).name == "rival"
    with pytest.raises(ModelError, match="the backends knob and rival both recognise Knob") as caught:
        backend_of(Knob(), host_of(knob=("KnobBackend", {}), rival=("Rival", {})))
    assert "--no-plugin" in caught.value.hint


def test_a_backend_with_frameworks_is_asked_only_about_their_objects():
    host = host_of(knob=("KnobBackend", {}), never=("Never", {"frameworks": ("torch",)}))
    stranger = type("Stranger", (), {"__module__": "elsewhere"})()
    with pytest.raises(ModelError, match=r"no backend recognises elsewhere\.Stranger"):
        backend_of(stranger, host)


@pytest.mark.parametrize("thing", [object(), 5, None, "model", [1]])
def test_what_nobody_recognises_is_told(thing):
    with pytest.raises(ModelError, match="no backend recognises builtins") as caught:
        as_model(thing)
    assert "backends:" in caught.value.what
    assert "mlcore plugins" in caught.value.hint


def test_a_framework_without_its_backend_is_told_with_what_to_install():
    kind = type("Net", (), {"__module__": "torch.nn.modules"})
    with pytest.raises(ModelError, match=r"no backend recognises torch\.nn\.modules\.Net") as caught:
        as_model(kind(), host=PluginHost(allow=()).load())
    assert caught.value.hint.startswith(("pip install mlcore-torch", "switch the plugin on"))


def test_a_class_is_not_its_instance():
    with pytest.raises(ModelError, match="Constant is a class, not an object") as caught:
        as_model(Constant)
    assert caught.value.hint == "pass an instance: Constant(…)"


def test_a_class_that_cannot_be_a_model_is_known_before_there_is_an_object(knobs):
    check_recognisable(Constant)
    check_recognisable(Knob, knobs)
    with pytest.raises(ModelError, match="no backend recognises"):
        check_recognisable(Knob, PluginHost(allow=()).load())


def test_an_option_that_a_backend_does_not_know_is_told(knobs):
    with pytest.raises(ModelError, match="knobs take no option 'device'"):
        as_model(Knob(), device="cpu", host=knobs)
    with pytest.raises(ModelError, match="Constant is a Model already: input_names cannot be set from outside"):
        as_model(Constant(), input_names=["x"])
    assert as_model(Constant(), input_names=[]).input_names == ()


# --- labels ---


def test_labels_are_names_for_values():
    assert label_map(None) is None
    assert label_map({"cat": 0, "dog": 1}) == {"cat": 0, "dog": 1}
    assert label_map([0, 5, "x"]) == {"0": 0, "5": 5, "x": "x"}
    assert as_model(Constant(), labels=[3]).labels == {"3": 3}


@pytest.mark.parametrize("labels", ["cats", [1, "1"], ["a", "a"]])
def test_labels_that_would_be_lost_are_refused(labels):
    with pytest.raises(ModelError, match="label"):
        label_map(labels)


# --- stored and back ---


def test_what_is_saved_comes_back_with_names_and_labels(knobs, tmp_path):
    manifest = save_model(as_model(Knob(4), labels=[1, 2], host=knobs), tmp_path / "bundle", host=knobs)
    assert manifest.kind == "model"
    assert manifest.meta["backend"] == "knob"
    assert manifest.meta["class"] == f"{HERE}:Knob"
    assert (manifest.meta["input_names"], manifest.meta["output_names"]) == (["x"], ["y"])
    assert "mlcore-core" in manifest.meta["versions"]
    model = restore_model(Bundle(tmp_path / "bundle"), host=knobs)
    assert (model.subject.value, model.labels) == (4, {"1": 1, "2": 2})


def test_saving_again_replaces_and_the_same_state_has_the_same_bytes(tmp_path):
    first = save_model(Constant(1), tmp_path / "bundle")
    second = save_model(Constant(2), tmp_path / "bundle", training=True)
    assert first.digest != second.digest
    assert restore_model(Bundle(tmp_path / "bundle")).value == "2 True"
    assert save_model(Constant(2), tmp_path / "other", training=True).digest == second.digest


def test_a_native_model_is_loaded_by_its_class_in_another_process(tmp_path):
    (tmp_path / "knobs.py").write_text(
        "class Knob:\n    input_names = target_names = output_names = ()\n\n"
        "    def run(self, batch, *, train):\n        return {}\n\n"
        "    def save(self, directory, *, training=False):\n        (directory / 'x').write_text('1')\n\n"
        "    @classmethod\n    def load(cls, directory):\n        return cls()\n"
    )
    program = "import mlcore; from knobs import Knob; mlcore.save_model(Knob(), 'bundle')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    load = "import mlcore; print(type(mlcore.load_model('bundle')).__name__)"
    done = subprocess.run([sys.executable, "-c", load], cwd=tmp_path, check=True, timeout=120, capture_output=True)
    assert done.stdout.split() == [b"Knob"]
    (tmp_path / "knobs.py").unlink()
    (tmp_path / "look.py").write_text(
        "import mlcore\ntry:\n    mlcore.load_model('bundle')\n"
        "except mlcore.MlcoreError as error:\n    print(error.what)\n"
    )
    done = subprocess.run([sys.executable, "look.py"], cwd=tmp_path, check=True, timeout=120, capture_output=True)
    assert done.stdout.decode().strip() == "there is no module 'knobs' for 'knobs:Knob'"


class Unloadable:
    input_names = target_names = output_names = ()

    def run(self, batch, *, train):
        return {}

    def save(self, directory, *, training=False):
        pass


def test_what_could_never_be_loaded_is_refused_when_it_is_saved(tmp_path):
    class Inner(Constant):
        pass

    with pytest.raises(ModelError, match="Unloadable has no `load"):
        save_model(Unloadable(), tmp_path / "bundle")
    with pytest.raises(ModelError, match="is defined inside a function"):
        save_model(Inner(), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert as_model(Inner()).value == 0, "it can be used all the same"


def test_a_save_that_fails_leaves_no_bundle(tmp_path):
    class_ = type("Sore", (Constant,), {"__module__": __name__, "__qualname__": "Constant"})
    class_.save = lambda self, directory, training=False: (directory / "half").write_text("x") and 1 / 0
    with pytest.raises(ZeroDivisionError):
        save_model(class_(), tmp_path / "bundle")
    assert Bundle(tmp_path / "bundle").manifest() is None


def test_what_is_no_model_is_not_restored(tmp_path, knobs):
    with pytest.raises(CorruptError, match="not complete"):
        restore_model(Bundle(tmp_path / "nothing"))
    (tmp_path / "files").mkdir()
    Bundle(tmp_path / "table").write(tmp_path / "files", kind="table")
    with pytest.raises(ModelError, match="this bundle is a table, not a model"):
        restore_model(Bundle(tmp_path / "table"))
    save_model(Knob(), tmp_path / "bundle", host=knobs)
    with pytest.raises(PluginError, match="there is no backend 'knob'"):
        restore_model(Bundle(tmp_path / "bundle"))


def test_a_class_that_is_gone_is_told_with_the_nearest(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for path, fragment in {
        f"{HERE}:Unloadabel": "'Unloadable'",
        f"{HERE}:Unloadable": "has no `load(directory)`",
    }.items():
        Bundle(tmp_path / "bundle").write(files, kind="model", meta={"backend": "native", "class": path})
        with pytest.raises(ModelError) as caught:
            restore_model(Bundle(tmp_path / "bundle"))
        assert fragment in str(caught.value)


# --- objects by their path ---


@pytest.mark.parametrize(
    ("path", "what", "hint"),
    [
        ("Knob", "'Knob' is not the path of a class", "write package.module.Class"),
        ("", "'' is not the path of a class", "write package.module.Class"),
        ("collections.OrderedDic", "module 'collections' has no 'OrderedDic'", "did you mean 'OrderedDict'?"),
        ("colections.OrderedDict", "there is no module 'colections'", "did you mean 'collections'?"),
        ("xml.etre.X", "there is no module 'xml.etre'", "did you mean 'etree'?"),
        ("json:JSONDecoder.decod", "'JSONDecoder' has no 'decod'", "did you mean 'decode'?"),
        ("json.JSONDecoder.decode", "there is no module 'json.JSONDecoder'", "did you mean"),
        ("abc.ABC.x", "there is no module 'abc.ABC'", "abc:Name.Inner"),
        ("sklearn_.X", "there is no module 'sklearn_'", "sklearn"),
        ("qqqqqq.X", "there is no module 'qqqqqq'", "pip install qqqqqq"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_the_nearest(path, what, hint):
    with pytest.raises(ModelError) as caught:
        import_object(path)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_module_with_hundreds_of_names_does_not_list_them_all():
    with pytest.raises(ModelError) as caught:
        import_object("numpy.qqqqqqq")
    assert "and" in caught.value.hint
    assert len(caught.value.hint) < 500
    assert "_" not in caught.value.hint.partition(":")[2].split(",")[0][:2]


def test_an_error_inside_a_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "sore.py").write_text("import qqqqqq_missing")
    (tmp_path / "sorer.py").write_text("raise RuntimeError('sore')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="qqqqqq_missing"):
        import_object("sore.X")
    with pytest.raises(RuntimeError, match="sore"):
        import_object("sorer.X")


def make() -> Constant:
    return Constant()


def make_something():
    return Constant()


def test_a_function_says_what_it_makes_by_its_annotation():
    assert made_class(Constant, "x") is Constant
    assert made_class(make, "x") is Constant
    with pytest.raises(ModelError, match="does not say what it makes"):
        made_class(make_something, "x")
    with pytest.raises(ModelError, match="is no class but a int"):
        made_class(5, "x")


def test_native_keeps_no_generator():
    assert NativeBackend().rng_state() is None
    NativeBackend().set_rng_state({})
