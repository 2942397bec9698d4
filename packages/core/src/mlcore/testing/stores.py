"""Does a place keep the contract of `mlcore.store.Folder`? For authors of filesystems for fsspec, and of Folders.

With pytest, as a class:

    class TestShelf(StoreConformance):
        def make_folder(self) -> Folder:
            return Folder(f"shelf://{uuid4().hex}")

or in any program: `check_store(lambda: Folder(f"shelf://{uuid4().hex}"))`.
"""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.bundle import Bundle
from mlcore.errors import CorruptError, KeyExistsError, KeyMissingError, StoreError
from mlcore.store import Blobs, Folder
from mlcore.testing.faults import failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ODD_NAMES = (
    "with space",
    "Ünïcödé-名前",
    "a.b.c",
    ".hidden",
    "~",
    "#%?&=+",
    "'\"",
    "-dash",
    "x" * 200,
    "[*]",
    "a:b@c",
)
_INVALID_NAMES = (
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a\\b",
    "a\0b",
    "a\nb",
    ".tmp-a",
    "a/.tmp-b",
    "x" * 256,
)


def check_store(make_folder: Callable[[], Folder]) -> None:
    """Run every check.

    Args:
        make_folder: Gives a new, empty folder at each call.

    Raises:
        AssertionError: A check failed; the message names it.
    """
    suite = StoreConformance()
    suite.make_folder = make_folder  # type: ignore[method-assign]
    for name in vars(StoreConformance):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except Exception as error:
                raise AssertionError(f"{name}: {str(error) or repr(error)}") from error


class StoreConformance:
    """The checks, one a method. A subclass provides `make_folder`."""

    def make_folder(self) -> Folder:
        """Give a new, empty folder."""
        raise NotImplementedError

    def test_round_trip(self) -> None:
        """What is put is read."""
        folder = self.make_folder()
        for key, data in {"small": b"1", "empty": b"", "deep/er/large": bytes(range(256)) * 4096}.items():
            folder.put_bytes(key, data)
            assert folder.read_bytes(key) == data, f"{key}: what was read is not what was put"
            assert (folder.exists(key), folder.size(key)) == (True, len(data)), f"{key}: wrong existence or size"
            with folder.open(key) as file:
                assert (file.read(3), file.read()) == (data[:3], data[3:]), f"{key}: wrong when read in parts"
        assert not folder.exists("deep/er"), "a folder is taken for a file"

    def test_replace(self) -> None:
        """A second put replaces all of the first."""
        folder = self.make_folder()
        folder.put_bytes("key", b"long content")
        folder.put_bytes("key", b"short", sync=False)
        assert folder.read_bytes("key") == b"short", "something of the old content is left"

    def test_local_files(self) -> None:
        """Files and trees of this machine go in and come out."""
        folder, tree = self.make_folder(), {"a": b"1", "b/c": b"2", "b/d/e": b"3" * 100_000}
        with tempfile.TemporaryDirectory() as directory:
            _write_tree(Path(directory, "in"), tree)
            folder.put_tree("kept", Path(directory, "in"))
            folder.put_file("one", Path(directory, "in", "a"))
            folder.fetch_tree("kept", Path(directory, "out"))
            folder.fetch_file("one", Path(directory, "new", "one"))
            assert Path(directory, "new", "one").read_bytes() == b"1", "the fetched file is not what was put"
            found = {name: Path(directory, "out", name).read_bytes() for name in tree}
        assert found == tree, "the fetched tree is not what was put"

    def test_readers_see_whole_files(self) -> None:
        """While a file is replaced, a reader gets the old one or the new one."""
        folder, size, done = self.make_folder(), 1 << 18, threading.Event()
        folder.put_bytes("key", b"0" * size)

        def replace() -> None:
            try:
                for number in range(40):
                    folder.put_bytes("key", b"%d" % (number % 10) * size, sync=False)
            finally:
                done.set()

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(replace)
            while not done.is_set():
                data = folder.read_bytes("key")
                assert len(data) == size, f"a reader saw {len(data)} of {size} bytes"
                assert data == data[:1] * size, "a reader saw parts of two contents"
            writing.result()

    def test_a_failed_put_changes_nothing(self) -> None:
        """When the source of a put breaks off, the key has its old content, or none."""
        folder = self.make_folder()
        folder.put_bytes("old", b"content")
        for key in ("old", "new"):
            with suppress(StoreError, _BrokenError):
                folder.put_stream(key, _Source([b"half" * 100_000, _break]))
        assert folder.read_bytes("old") == b"content", "the old content is lost"
        assert not folder.exists("new"), "half a file can be read"
        assert [entry.key for entry in folder.list()] == ["old"], "something unfinished is listed"

    def test_unfinished_files_are_not_listed(self) -> None:
        """A listing made during a put shows what was there before."""
        folder, seen = self.make_folder(), set[str]()
        folder.put_bytes("before", b"")

        def look() -> bytes:
            seen.update(entry.key for entry in [*folder.list(), *folder.list(recursive=True)])
            return b""

        folder.put_stream("key", _Source([b"half" * 100_000, look]))
        assert seen <= {"before"}, f"listed before it was whole: {', '.join(sorted(seen - {'before'}))}"

    def test_create_makes_a_key_once(self) -> None:
        """A key that exists cannot be created."""
        folder = self.make_folder()
        folder.create("a/key", b"first")
        folder.put_bytes("other", b"put")
        for key, data in {"a/key": b"first", "other": b"put"}.items():
            with _raises(KeyExistsError, f"creating {key} again"):
                folder.create(key, b"second")
            assert folder.read_bytes(key) == data, "a lost creation changed the content"

    def test_create_has_one_winner(self) -> None:
        """Of many threads that create one key, one wins. Not asked of places that promise a single writer only."""
        folder, racers = self.make_folder(), 6
        if folder.exclusive != "atomic":
            return
        barrier = threading.Barrier(racers)

        def race(racer: int, key: str) -> bool:
            barrier.wait()
            with suppress(KeyExistsError):
                folder.create(key, b"%d" % racer, sync=False)
                return True
            return False

        with ThreadPoolExecutor(racers) as pool:
            for number in range(30):
                key = f"key-{number}"
                won = list(pool.map(race, range(racers), [key] * racers))
                assert sum(won) == 1, f"{sum(won)} of {racers} writers created the same key"
                assert folder.read_bytes(key) == b"%d" % won.index(True), "the content is not the winner's"

    def test_listing(self) -> None:
        """Listings are sorted, name files and folders, and know sizes."""
        folder = self.make_folder()
        assert folder.list() == folder.list("nowhere") == [], "an empty listing is not empty"
        for key in ("b/2", "b/1", "c", "a/x/y", "bb"):
            folder.put_bytes(key, b"123")
        top = [(entry.key, entry.is_folder) for entry in folder.list()]
        assert top == [("a", True), ("b", True), ("bb", False), ("c", False)], f"wrong listing: {top}"
        assert [entry.key for entry in folder.list("b")] == ["b/1", "b/2"], "wrong listing of a folder"
        files = [(entry.key, entry.size) for entry in folder.list(recursive=True)]
        assert files == [(key, 3) for key in ("a/x/y", "b/1", "b/2", "bb", "c")], f"wrong recursive listing: {files}"

    def test_missing_keys(self) -> None:
        """What is not there is an error, never empty."""
        folder = self.make_folder()
        folder.put_bytes("a/b", b"")
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory, "target")
            actions: Mapping[str, Callable[[str], object]] = {
                "read_bytes": folder.read_bytes,
                "open": folder.open,
                "size": folder.size,
                "remove": folder.remove,
                "fetch_file": lambda key: folder.fetch_file(key, target),
            }
            for name, action in actions.items():
                for key in ("nothing", "a/nothing", "nothing/a"):
                    with _raises(KeyMissingError, f"{name} of a missing key"):
                        action(key)
            assert not target.exists(), "fetching a missing key wrote a file"
        assert not folder.exists("nothing"), "a missing key exists"

    def test_removal(self) -> None:
        """What is removed is gone, and nothing else."""
        folder = self.make_folder()
        for key in ("a/1", "a/2", "aa", "b/c/d"):
            folder.put_bytes(key, b"")
        folder.remove("a/1")
        folder.remove_tree("b")
        folder.remove_tree("nowhere")
        assert [entry.key for entry in folder.list(recursive=True)] == ["a/2", "aa"], "the wrong files are left"
        folder.put_bytes("b/c/d", b"again")
        folder.create("a/1", b"again")
        (folder / "a").remove_tree("")
        assert [entry.key for entry in folder.list(recursive=True)] == ["aa", "b/c/d"], "the wrong files are left"

    def test_folders_below(self) -> None:
        """A folder below another sees the same files by shorter keys."""
        folder = self.make_folder()
        (folder / "a" / "b").put_bytes("c", b"1")
        (folder / "a/b").create("d", b"2")
        assert folder.read_bytes("a/b/c") == b"1", "a file put below is not seen above"
        assert [entry.key for entry in (folder / "a").list(recursive=True)] == ["b/c", "b/d"], "wrong keys below"
        assert (folder / "a").url == f"{folder.url.removesuffix('/')}/a", "the URL of a folder below is not its place"

    def test_odd_names(self) -> None:
        """Spaces, signs and letters of all languages are kept."""
        folder = self.make_folder()
        for name in _ODD_NAMES:
            folder.put_bytes(f"{name}/{name}", name.encode())
        for name in _ODD_NAMES:
            assert folder.read_bytes(f"{name}/{name}") == name.encode(), f"{name!r} was not kept"
        names = {entry.key for entry in folder.list()}
        assert names == set(_ODD_NAMES), f"listed differently: {sorted(names ^ set(_ODD_NAMES))}"

    def test_invalid_names(self) -> None:
        """Keys that lead elsewhere are refused before anything is touched."""
        folder = self.make_folder()
        for key in _INVALID_NAMES:
            for action in (folder.read_bytes, folder.remove, folder.exists, lambda key: folder.put_bytes(key, b"")):
                with _raises(StoreError, f"the invalid key {key!r}"):
                    action(key)
        assert folder.list(recursive=True) == [], "an invalid key was written"

    def test_a_torn_bundle_is_not_complete(self) -> None:
        """A bundle whose writing stopped anywhere is told from a complete one."""
        folder = self.make_folder()
        with tempfile.TemporaryDirectory() as directory:
            _write_tree(Path(directory), {"a": b"new", "b/c": b"new"})
            for step in range(100):
                Bundle(folder).write(directory, kind="old")
                with suppress(StoreError):
                    Bundle(failing(folder, after=step)).write(directory, kind="new")
                    break
                manifest = Bundle(folder).manifest()
                assert manifest is None or (step == 0 and manifest.kind == "old"), (
                    f"complete, though torn at step {step}"
                )
        assert Bundle(folder).verify().kind == "new", "the bundle that was written is not complete"

    def test_a_flipped_bit_is_found(self) -> None:
        """Damage to any file of a bundle, and to a blob, is found."""
        folder, tree = self.make_folder(), {"a": b"content", "b/c": b"other content"}
        with tempfile.TemporaryDirectory() as directory:
            _write_tree(Path(directory, "in"), tree)
            Bundle(folder).write(Path(directory, "in"), kind="test")
            for name, data in tree.items():
                folder.put_bytes(name, bytes([data[0] ^ 1]) + data[1:])
                with _raises(CorruptError, f"verifying with a flipped bit in {name}"):
                    Bundle(folder).verify()
                with _raises(CorruptError, f"fetching with a flipped bit in {name}"):
                    Bundle(folder).fetch(Path(directory, "out"))
                folder.put_bytes(name, data)
            Bundle(folder).verify()

    def test_blobs(self) -> None:
        """A content is stored once; a rotten one is found, and the next save mends it."""
        folder = self.make_folder()
        blobs = Blobs(folder)
        digest = blobs.add_bytes(b"content")
        assert blobs.add_bytes(b"content") == digest, "equal contents have two digests"
        assert [entry.key for entry in blobs.list()] == [digest], "a content was stored twice"
        folder.put_bytes(folder.list("sha256", recursive=True)[0].key, b"contend")
        with _raises(CorruptError, "reading a rotten blob"):
            blobs.read(digest)
        assert blobs.add_bytes(b"content") == digest, "a save after rot has another digest"
        assert blobs.read(digest) == b"content", "a save did not mend a rotten blob"


class _BrokenError(Exception):
    """The source broke off."""


def _break() -> bytes:
    raise _BrokenError


class _Source:
    """A reader that gives bytes, then does what it was told."""

    def __init__(self, parts: list[bytes | Callable[[], bytes]]) -> None:
        self._parts = parts

    def read(self, size: int = -1, /) -> bytes:
        if not self._parts:
            return b""
        part = self._parts[0]
        if callable(part):
            self._parts = self._parts[1:]
            return part()
        taken, rest = (part, b"") if size < 0 else (part[:size], part[size:])
        self._parts = [rest, *self._parts[1:]] if rest else self._parts[1:]
        return taken


@contextmanager
def _raises(kind: type[Exception], doing: str) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{doing} did not raise {kind.__name__}")


def _write_tree(directory: Path, tree: Mapping[str, bytes]) -> None:
    for name, data in tree.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
