"""Stored models: numbers, aliases, races, and names of every kind."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_checkpoint import Constant

from mlcore import load_model, save_model
from mlcore.errors import CorruptError, KeyExistsError, MlcoreError, StoreError, VersionError
from mlcore.store import Store, use_store
from mlcore.versions import Models


@pytest.fixture
def models(tmp_path):
    return Models(Store(str(tmp_path / "store")))


def together(count, work):
    """Run a function in threads that begin at once; what they raised is raised here."""
    barrier, errors = threading.Barrier(count), []

    def run(number):
        barrier.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_versions_are_numbered_and_never_change(models):
    first = models.save(Constant(1), "digits", made={"step": 1})
    second = models.save(Constant(2), "digits", made={"step": 2})
    assert [first.number, second.number] == [1, 2]
    assert first.digest != second.digest
    assert models.resolve("model:digits@v1").digest == first.digest
    assert models.resolve("model:digits").number == 2
    assert models.resolve(f"model:{first.record.id}@v2").number == 2
    assert models.resolve("model:digits@v1").manifest.meta["made"] == {"step": 1}


def test_the_same_contents_of_the_same_step_are_one_version(models):
    one = models.save(Constant(1), "digits", aliases=("best",), made={"run": "r", "step": 1})
    again = models.save(Constant(1), "digits", aliases=("latest",), made={"run": "r", "step": 1})
    other = models.save(Constant(1), "digits", made={"run": "r", "step": 2})
    assert [one.number, again.number, other.number] == [1, 1, 2]
    assert again.aliases == ("best", "latest")
    assert one.digest == other.digest


def test_an_alias_points_at_one_version_and_moves(models):
    models.save(Constant(1), "digits", aliases=("best", "latest"), made={"step": 1})
    second = models.save(Constant(2), "digits", aliases=("latest",), made={"step": 2})
    assert second.aliases == ("latest",)
    assert models.resolve("model:digits@best").number == 1
    assert models.resolve("model:digits@latest").number == 2
    assert load_model("model:digits@best", store=models.store).value == "1 False"


@pytest.mark.parametrize(
    ("reference", "fragments"),
    [
        ("model:digist", ("there is no model 'digist'", "did you mean 'digits'?")),
        ("model:digits@bets", ("model digits has no version alias 'bets'", "did you mean 'best'?")),
        ("model:digits@v3", ("model digits has no version 3",)),
        ("model:digits@v0", ("model digits has no version 0",)),
        ("model:empty", ("model empty has no contents yet",)),
        ("model:empty@best", ("model empty has no contents yet",)),
        ("model:", ("'model:' is not a model reference", "write model:NAME@ALIAS")),
        ("model:@best", ("is not a model reference",)),
        ("digits", ("'digits' is not a model reference",)),
        ("model:a/b", ("a/b", "slash")),
        ("model:../x", ("../x", "slash")),
    ],
)
def test_what_a_reference_does_not_name_is_told_with_the_nearest(models, reference, fragments):
    models.save(Constant(1), "digits", aliases=("best",))
    models.create("empty")
    with pytest.raises(MlcoreError) as caught:
        models.resolve(reference)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_loading_what_is_no_model_is_told(models, tmp_path):
    with pytest.raises(VersionError, match="there is no model bundle here"):
        load_model(tmp_path / "nothing")
    with pytest.raises(VersionError, match="there is no model bundle here"):
        load_model("digits")
    with use_store(models.store.url), pytest.raises(VersionError, match="there is no model 'digits'"):
        load_model("model:digits")
    assert not (tmp_path / "store").exists()


def test_a_model_is_loaded_from_where_it_was_saved(tmp_path):
    save_model(Constant(7), tmp_path / "bundle")
    assert load_model(tmp_path / "bundle").value == "7 False"
    assert load_model(str(tmp_path / "bundle")).value == "7 False"
    assert load_model((tmp_path / "bundle").as_uri()).value == "7 False"


# --- races ---


def test_of_many_who_create_a_name_one_wins(models):
    won, lost = [], []

    def create(number):
        try:
            won.append(models.create("digits"))
        except KeyExistsError:
            lost.append(number)

    together(8, create)
    assert (len(won), len(lost)) == (1, 7)
    assert models.find("digits").id == won[0].id
    assert [record.id for record in models.all()] == [won[0].id]


def test_of_many_edits_none_is_lost(models):
    record = models.create("digits")

    def edit(number):
        for turn in range(5):
            models.edit(
                record.id, lambda now, tag=f"{number}-{turn}": now.__class__(**{**vars(now), "tags": (*now.tags, tag)})
            )

    together(6, edit)
    newest = models.get(record.id)
    assert newest.edit == 31
    assert sorted(newest.tags) == sorted(f"{number}-{turn}" for number in range(6) for turn in range(5))


def test_many_saves_at_once_are_as_many_versions(models):
    together(6, lambda number: models.save(Constant(number), "digits", aliases=(f"by-{number}",), made={"by": number}))
    record = models.find("digits")
    assert record.version == 6
    for number in range(6):
        version = models.resolve(f"model:digits@by-{number}")
        assert version.manifest.meta["made"] == {"by": number}
        assert load_model(f"model:digits@by-{number}", store=models.store).value == f"{number} False"


def test_a_change_that_raises_changes_nothing(models):
    record = models.create("digits")
    with pytest.raises(ZeroDivisionError):
        models.edit(record.id, lambda now: 1 / 0)
    assert models.get(record.id).edit == 1


# --- names ---


@pytest.mark.parametrize("name", ["Zahlen äöü", "数字", "a.b", "v1", "best", "x" * 150, "a-b", "🎲"])
def test_a_name_of_any_script_is_a_name(models, name):
    models.save(Constant(1), name)
    assert models.find(name).name == name
    assert models.resolve(f"model:{name}@v1").record.name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", " x", "x ", ".hidden", "a\x00b", "a\nb", "a\\b", "x" * 256, "\ud800"]
)
def test_a_name_that_is_none_is_refused_and_leaves_nothing(models, name, tmp_path):
    with pytest.raises(StoreError, match="cannot be a name"):
        models.save(Constant(1), name)
    with pytest.raises(StoreError, match="cannot be a name"):
        models.create(name)
    assert not list((tmp_path / "store").glob("models/*"))


def test_an_at_sign_in_a_name_is_refused_as_no_reference_could_name_it(models):
    with pytest.raises(MlcoreError, match="@"):
        models.create("a@b")


@settings(max_examples=60)
@given(st.text(max_size=12))
def test_whatever_the_name_only_our_errors_come_out(text):
    models = Models(Store("memory://odd-names"))
    try:
        record = models.ensure(text)
    except MlcoreError:
        return
    assert models.find(text).id == record.id


# --- rot ---


def test_a_record_that_cannot_be_read_is_told(models, tmp_path):
    record = models.save(Constant(1), "digits").record
    path = tmp_path / "store" / "models" / record.id / f"{record.edit}.json"
    for junk in (b"{", b"5", b"{}", b"\xff"):
        path.write_bytes(junk)
        with pytest.raises(CorruptError, match="this record cannot be read") as caught:
            models.find("digits")
        assert str(path) in str(caught.value)
    pointer = tmp_path / "store" / "models" / "by-name" / "digits.json"
    pointer.write_bytes(b"[]")
    with pytest.raises(CorruptError, match="this record cannot be read"):
        models.find("digits")


def test_what_a_newer_mlcore_added_to_a_record_is_ignored(models, tmp_path):
    record = models.create("digits")
    path = tmp_path / "store" / "models" / record.id / "1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert models.find("digits") == record


def test_what_a_creation_left_that_was_cut_short_is_no_model(models, tmp_path):
    record = models.create("digits")
    (tmp_path / "store" / "models" / "by-name" / "digits.json").unlink()
    assert list(models.all()) == []
    assert models.ensure("digits").id != record.id


# --- refusals leave nothing ---


@pytest.mark.parametrize("alias", ["", "v1", "a\nb", "\x00"])
def test_an_alias_that_no_reference_could_name_is_refused(models, alias, tmp_path):
    with pytest.raises(StoreError, match="cannot be a version alias"):
        models.save(Constant(1), "digits", aliases=(alias,))
    assert not list((tmp_path / "store").glob("models/*"))


def test_what_is_no_model_leaves_no_model(models, tmp_path):
    with pytest.raises(MlcoreError, match="no backend recognises"):
        models.save(object(), "digits")
    with pytest.raises(MlcoreError, match="JSON"):
        models.save(Constant(1), "digits", made={"by": object()})
    assert not list((tmp_path / "store").glob("models/*"))
