"""Stored models: a record of edits, immutable versions of contents, and aliases that point at versions.

    models/<id>/<n>.json            the whole record after edit n; created exclusively, never changed
    models/<id>/v<k>/manifest.json  version k: a bundle whose contents are blobs; created exclusively, never changed
    models/by-name/<name>.json      which id has a name; created exclusively

Reading is reading the highest n. An edit is the creation of n + 1: whoever loses the race reads again and reapplies.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlcore.bundle import MANIFEST, Bundle, Manifest
from mlcore.errors import KeyExistsError, KeyMissingError, StoreError, VersionError, nearest
from mlcore.model import Labels, Model, pack_model, restore_model
from mlcore.plugins import PluginHost
from mlcore.signature import watch
from mlcore.store import Blobs, Folder, Store, find_store, read_record, safe_name

_REFERENCE = re.compile(r"model:(?P<name>[^@]+)(@(?P<alias>.+))?")
_NUMBER = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class Record:
    """The state of a stored model after its newest edit.

    Args:
        id: 32 hexadecimal digits.
        name: Unique in its store; None for a model without a name.
        edit: The number of this edit, from 1.
        time: When it was made, seconds since the epoch.
        version: The number of the newest contents; 0 before the first.
        aliases: Version aliases to version numbers.
        tags: Free words.
        labels: Class names to target values.
        fields: Whatever else a layer keeps with a model (JSON values).
    """

    id: str
    name: str | None
    edit: int
    time: float
    version: int = 0
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    labels: Labels = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """One immutable state of a stored model's contents."""

    record: Record
    number: int
    bundle: Bundle
    manifest: Manifest

    @property
    def digest(self) -> str:
        """Of the contents alone: equal for equal files."""
        return self.manifest.digest

    @property
    def url(self) -> str:
        """Where the bundle is."""
        return self.bundle.folder.url

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases that point here."""
        return tuple(sorted(alias for alias, number in self.record.aliases.items() if number == self.number))


class Models:
    """The models of a store.

    Example:
        >>> models = Models(Store("memory://shelf"))
        >>> record = models.create("digits")
        >>> models.find("digits").id == record.id
        True
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._folder = store / "models"
        self._saved: dict[str, int] = {}  # what this object saved last, by model id

    def create(self, name: str | None = None, **fields: Any) -> Record:  # fields: JSON values of a layer
        """Make a model without contents.

        Raises:
            KeyExistsError: The name is taken.
        """
        pointer = None if name is None else _pointer(name)
        self.store.prepare()
        record = Record(id=uuid.uuid4().hex, name=name, edit=1, time=time.time(), fields=fields)
        self._folder.create(f"{record.id}/1.json", _encode(record))
        if pointer is not None:
            try:
                self._folder.create(pointer, json.dumps({"id": record.id}).encode())
            except KeyExistsError:
                self._folder.remove_tree(record.id)
                raise
        return record

    def adopt(self, record: Record) -> None:
        """Make a model of another store known here, with its id and name but without contents.

        Raises:
            KeyExistsError: The name belongs to another model.
        """
        empty = replace(record, edit=1, version=0, aliases={})
        with suppress(KeyExistsError):
            self._folder.create(f"{record.id}/1.json", _encode(empty))
        if record.name is not None and not self._owns(record.name, record.id):
            self._folder.create(_pointer(record.name), json.dumps({"id": record.id}).encode())

    def ensure(self, name: str) -> Record:
        """The model of that name, made when there is none yet; safe against another process doing the same."""
        try:
            return self.find(name)
        except VersionError:
            pass
        try:
            return self.create(name)
        except KeyExistsError:
            return self.find(name)

    def find(self, name: str) -> Record:
        """The model of that name or id."""
        try:
            return self.get(self._owner(name))
        except KeyMissingError:
            if self._folder.exists(f"{safe_name(name)}/1.json"):
                return self.get(name)
            raise self._unknown(name) from None

    def _owner(self, name: str) -> str:
        return read_record(self._folder, _pointer(name), lambda data: str(data["id"]))

    def get(self, model_id: str) -> Record:
        """The newest state of a model."""
        newest = max(self._edits(model_id), default=0)
        if not newest:
            raise self._unknown(model_id)
        return self._read(model_id, newest)

    def all(self) -> Iterator[Record]:
        """Every model of the store, but for what is left of creations that lost their name or were cut short."""
        for entry in self._folder.list():
            if entry.is_folder and entry.key != "by-name":
                record = self.get(entry.key)
                if record.name is None or self._owns(record.name, record.id):
                    yield record

    def _owns(self, name: str, model_id: str) -> bool:
        try:
            return self._owner(name) == model_id
        except KeyMissingError:
            return False

    def edit(self, model_id: str, change: Callable[[Record], Record]) -> Record:
        """Apply a change to the newest state; reapplied to a newer one if another process was quicker.

        Args:
            model_id: The model.
            change: Maps the present record to the wanted one. It may be called several times.
        """
        self.store.writer.claim()
        while True:
            present = self.get(model_id)
            wanted = change(present)
            wanted = replace(wanted, id=present.id, edit=present.edit + 1, time=time.time())
            try:
                self._folder.create(f"{model_id}/{wanted.edit}.json", _encode(wanted))
            except KeyExistsError:
                continue
            return wanted

    def save(
        self,
        model: object,
        name: str,
        *,
        aliases: tuple[str, ...] = (),
        labels: Labels | None = None,
        made: Mapping[str, Any] | None = None,  # JSON values: run, step, metadata
        host: PluginHost | None = None,
    ) -> Version:
        """Store the present state of a model object as a version.

        Saving the same contents again for the same `made` moves the aliases and makes no version: a step that is
        repeated after a crash leaves one.

        Args:
            model: Anything that `as_model` takes.
            name: Of the stored model, made when there is none.
            aliases: Version aliases to point at this version.
            labels: Class names to target values, kept in the record.
            made: What made it: lineage and metadata, kept with the version.
            host: The plugins to ask.

        Raises:
            StoreError: The name or an alias cannot be one.
        """
        model_name(name)
        _check_aliases(aliases)
        self.store.writer.claim()
        self.store.prepare()
        manifest = pack_model(model, self.store.blobs, {"made": dict(made or {})}, host)
        record = self.ensure(name)
        number = self._saved[record.id] = self._commit(record, manifest)
        # A clean-up may have taken a blob between its storing and the manifest that refers to it.
        while not all(self.store.blobs.has(entry.sha256) for entry in manifest.files.values()):
            pack_model(model, self.store.blobs, {}, host)
        kept = labels or getattr(model, "labels", None) or record.labels
        record = self.edit(record.id, lambda now: _with_version(now, number, aliases, kept))
        return Version(record, number, self._bundle(record.id, number), manifest)

    def _commit(self, record: Record, manifest: Manifest) -> int:
        """Give a version the next free number; the manifest's exclusive creation decides who gets it.

        Where the same contents were made by the same step, their number is kept: for a second alias of one step, and
        after a crash between this creation and the edit of the record.
        """
        last = self._saved.get(record.id)
        if last and _alike(self.version(record, last).manifest, manifest):
            return last
        number = record.version
        while not number or not _alike(self.version(record, number).manifest, manifest):
            number += 1
            with suppress(KeyExistsError):
                self._folder.create(f"{record.id}/v{number}/{MANIFEST}", manifest.encode())
                break
        return number

    def version(self, record: Record, number: int) -> Version:
        """Version `number` of a model."""
        bundle = self._bundle(record.id, number)
        manifest = bundle.manifest()
        if manifest is None:
            raise VersionError(f"model {record.name or record.id} has no version {number}", where=self.store.url)
        return Version(record, number, bundle, manifest)

    def resolve(self, reference: str) -> Version:
        """The version that `model:NAME`, `model:NAME@ALIAS` or `model:NAME@v3` names.

        Without an alias it is the newest. NAME may be an id.
        """
        match = _REFERENCE.fullmatch(reference)
        if not match:
            raise VersionError(
                f"{reference!r} is not a model reference", hint="write model:NAME@ALIAS or model:NAME@v3"
            )
        record = self.find(match["name"])
        return self.version(record, self._number(record, match["alias"]))

    def _number(self, record: Record, alias: str | None) -> int:
        if not record.version:
            raise VersionError(f"model {record.name or record.id} has no contents yet", where=self.store.url)
        if alias is None:
            return record.version
        if alias in record.aliases:
            return record.aliases[alias]
        if match := _NUMBER.fullmatch(alias):
            return int(match[1])
        known = [*record.aliases, f"v{record.version}"]
        raise VersionError(
            f"model {record.name or record.id} has no version alias {alias!r}",
            where=self.store.url,
            hint=nearest(alias, known),
        )

    def _bundle(self, model_id: str, number: int) -> Bundle:
        return Bundle(self._folder / model_id / f"v{number}")

    def _edits(self, model_id: str) -> list[int]:
        stems = (entry.key.rpartition("/")[2].removesuffix(".json") for entry in self._folder.list(model_id))
        return [int(stem) for stem in stems if stem.isdecimal()]

    def _read(self, model_id: str, number: int) -> Record:
        return read_record(self._folder, f"{model_id}/{number}.json", _record)

    def _unknown(self, name: str) -> VersionError:
        names = [entry.key.rpartition("/")[2].removesuffix(".json") for entry in self._folder.list("by-name")]
        return VersionError(f"there is no model {name!r}", where=self.store.url, hint=nearest(name, names))


def _alike(one: Manifest, other: Manifest) -> bool:
    """Whether contents and makers are the same, however many batches the model has seen since."""
    return one.files == other.files and {**one.meta, "signature": None} == {**other.meta, "signature": None}


def model_name(text: str) -> str:
    """Return a name that a user gave, if a model can have it.

    Raises:
        StoreError: It cannot.
    """
    if "@" in text:
        raise StoreError(f"{text!r} cannot be a name: what follows an '@' is a version alias")
    return safe_name(text)


def _pointer(name: str) -> str:
    return f"by-name/{model_name(name)}.json"


def _record(data: Any) -> Record:  # whatever JSON gave
    known = {name: data[name] for name in Record.__dataclass_fields__ if name in data}
    return Record(**{**known, "tags": tuple(data["tags"])})


def copy_version(source: Models, target: Models, name: str, number: int) -> None:
    """Copy one version of a model into another store, with its number and those aliases that point at it.

    Raises:
        KeyExistsError: The name belongs to another model there.
    """
    version = source.version(source.find(name), number)
    for entry in version.manifest.files.values():
        if not target.store.blobs.has(entry.sha256):
            with source.store.blobs.open(entry.sha256) as file:
                target.store.blobs.add_stream(file)
    record = version.record
    target.adopt(record)
    with suppress(KeyExistsError):
        (target.store / "models" / record.id).create(f"v{number}/{MANIFEST}", version.manifest.encode())
    target.edit(record.id, lambda now: _with_version(now, number, version.aliases, record.labels))


def _check_aliases(aliases: Iterable[str]) -> None:
    for alias in aliases:
        if not alias or not alias.isprintable():
            raise StoreError(f"{alias!r} cannot be a version alias", hint="use a word, such as best")
        if _NUMBER.fullmatch(alias):
            raise StoreError(f"{alias!r} cannot be a version alias: it is the number of a version")


def _encode(record: Record) -> bytes:
    return (json.dumps(vars(record), sort_keys=True) + "\n").encode()


def _with_version(record: Record, number: int, aliases: tuple[str, ...], labels: Labels) -> Record:
    moved = {**record.aliases, **dict.fromkeys(aliases, number)}
    return replace(record, version=max(record.version, number), aliases=moved, labels=labels)


def load_model(
    reference: str | Path,
    *,
    store: Store | None = None,
    trusted: Collection[str] = (),
    into: object | None = None,
    host: PluginHost | None = None,
) -> Model:
    """Load a model from the store (`model:NAME@ALIAS`), or from the bundle at a path or URL.

    Args:
        reference: What to load.
        store: Where model names are looked up; the current one by default.
        trusted: Full names of types that its files may use, besides those that its backend always trusts.
        into: A Model or an object that takes the saved state over; see `mlcore.restore_model`.
        host: The plugins to ask for the backend.

    Raises:
        VersionError: There is no such model, version or alias.
        CorruptError: A file is not what was saved.

    The first batch that it runs must look like those that it was saved after: see `mlcore.signature`.
    """
    bundle, blobs = _find_bundle(reference, store)
    model = restore_model(bundle, blobs=blobs, trusted=trusted, into=into, host=host)
    watch(model, check=True)
    return model


def _find_bundle(reference: str | Path, store: Store | None) -> tuple[Bundle, Blobs | None]:
    """The bundle that is meant, and where its contents are."""
    if str(reference).startswith("model:"):
        store = store or Store(find_store().url)
        return Models(store).resolve(str(reference)).bundle, store.blobs
    bundle = Bundle(Folder(str(reference)))
    if bundle.manifest() is None:
        raise VersionError(
            "there is no model bundle here",
            where=bundle.folder.url,
            hint="pass model:NAME@ALIAS or the folder of a saved model",
        )
    return bundle, None
