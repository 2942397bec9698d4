"""An estimator as bytes that depend on its state alone.

skops' own files name arrays after memory addresses and carry the time of writing. Here the same tree of nodes is
written so that equal states give equal bytes in any process, and `skops.io.load` still reads it:

* Identity is kept only where it is state: for mutable objects that are referred to more than once. Equal strings or
  numbers are shared or not by accident of interning, so they carry no identity.
* Members are named by the digest of their contents; padding inside structured arrays, which is uninitialised memory,
  is zeroed.
* Attributes and elements of sets are sorted. Other dictionaries keep their order, which is state.
* numpy's global generator is stored by reference: with `random_state=None` its state is the process's, not the
  estimator's.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, KeysView
from hashlib import sha256
from typing import Any, TypeAlias
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import scipy.special
import skops
import skops.io

# skops.io.dumps looks through all members again for each array, which is quadratic: an MLPClassifier keeps one loss for
# each batch it has seen. Its tree builder alone is linear, and knows the objects behind the nodes.
from skops.io._utils import SaveContext, get_state

from mlcore.errors import ModelError

# JSON: a dict with "__loader__" is a node, any other dict holds nodes by name.
Node: TypeAlias = dict[str, Any]

EPOCH = (1980, 1, 1, 0, 0, 0)
# Loaders of immutable values and of values that refer to something by name.
WITHOUT_IDENTITY = frozenset(
    {
        "BytesNode",
        "DTypeNode",
        "FunctionNode",
        "JsonNode",
        "MethodNode",
        "OperatorFuncNode",
        "PartialNode",
        "SliceNode",
        "TupleNode",
        "TypeNode",
    }
)


def dumps(obj: object) -> bytes:
    """Store an object in skops' format.

    Raises:
        ModelError: It holds something that skops cannot store.
    """
    members = _Members()
    context = SaveContext(zip_file=members)
    try:
        tree = get_state(obj, context)
    except (TypeError, ValueError, RecursionError) as error:
        name = type(obj).__name__
        raise ModelError(f"{name} cannot be stored without pickle: {error}", hint="replace that part of it") from error
    files: dict[str, bytes] = {}
    schema = _numbered(_Cleaner(members, context.memo, files).clean(tree))
    schema |= {"protocol": context.protocol, "_skops_version": skops.__version__}
    files["schema.json"] = json.dumps(schema, separators=(",", ":")).encode()
    return _archive(files)


class _Members:
    """What skops takes for the archive it writes to."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def namelist(self) -> KeysView[str]:
        return self.contents.keys()

    def writestr(self, name: str, data: bytes | memoryview) -> None:
        self.contents[name] = bytes(data)


class _Cleaner:
    """Takes everything out of a tree that is not state, but for the identities, which `_numbered` treats.

    Args:
        members: The members that skops wrote.
        objects: The objects behind the nodes, by identity.
        files: Receives the members that are still referred to, under their new names.
    """

    def __init__(self, members: _Members, objects: dict[int, object], files: dict[str, bytes]) -> None:
        self.members, self.objects, self.files = members, objects, files

    def clean(self, value: Any) -> Any:  # JSON
        """Copy a tree without its accidents."""
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not isinstance(value.get("__loader__"), str):
            return {key: self.clean(item) for key, item in value.items()}
        return self._clean_node(value)

    def _clean_node(self, node: Node) -> Node:
        obj = self.objects[node["__id__"]]
        if obj is np.random.mtrand._rand:
            return _by_name("numpy.random.mtrand", "_rand")
        if isinstance(obj, np.ufunc):
            return _by_name(_home(obj, node["__module__"]), obj.__name__)
        if isinstance(obj, np.generic) and _is_plain(obj):
            return _scalar(obj)
        node = {key: self.clean(value) for key, value in node.items()}
        self._tidy(node, obj)
        return node

    def _tidy(self, node: Node, obj: object) -> None:
        if node["__loader__"] in WITHOUT_IDENTITY:
            del node["__id__"]
        if isinstance(node.get("file"), str):
            node["file"] = self._keep(node["file"], obj)
        elif node["__loader__"] == "ObjectNode" and isinstance(node.get("content"), dict):
            _sort_attributes(node["content"])
        elif isinstance(obj, set):
            node["content"].sort(key=_value_key)
        elif isinstance(obj, frozenset):
            node["content"]["content"][0]["content"].sort(key=_value_key)

    def _keep(self, name: str, obj: object) -> str:
        data = self.members.contents[name]
        if isinstance(obj, np.ndarray | np.void) and obj.dtype.names:
            data = _without_padding(data)
        new = f"{sha256(data).hexdigest()}.{name.rpartition('.')[2]}"
        self.files[new] = data
        return new


def _by_name(module: str, name: str) -> Node:
    return {"__class__": name, "__module__": module, "__loader__": "FunctionNode"}


def _home(ufunc: np.ufunc, found: str) -> str:
    """Name a ufunc's public module; skops takes the first imported one that happens to hold it."""
    for module in (np, scipy.special):
        if getattr(module, ufunc.__name__, None) is ufunc:
            return module.__name__
    return found


def _is_plain(value: np.generic) -> bool:
    """Whether Python has an exact counterpart that JSON can hold; `longdouble` and dates have none."""
    return isinstance(value, np.str_) or (value.dtype.kind in "biuf" and value.dtype.itemsize <= 8)


def _scalar(value: np.generic) -> Node:
    """Store a number in the tree itself, exactly: one member for each would make files of many losses huge."""
    kind = "bool_" if isinstance(value, np.bool_) else type(value).__name__
    plain: Node = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
    plain |= {"content": json.dumps(value.item()), "is_json": True}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [plain]}
    return {
        "__class__": kind,
        "__module__": "numpy",
        "__loader__": "ConstructorFromReduceNode",
        "content": arguments,
    }


def _sort_attributes(attributes: Node) -> None:
    """Sort the attributes of an object: in which order they were first set is no state."""
    content = attributes.get("content")
    if attributes["__loader__"] != "DictNode" or not isinstance(content, dict):
        return
    kinds = dict(zip(content, attributes["key_types"]["content"], strict=True))
    attributes["content"] = {name: content[name] for name in sorted(content)}
    attributes["key_types"]["content"] = [kinds[name] for name in sorted(content)]


def _value_key(node: Node) -> str:
    return json.dumps(_without_identity(node), sort_keys=True)


def _without_identity(value: Any) -> Any:  # JSON
    if isinstance(value, list):
        return [_without_identity(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_identity(item) for key, item in value.items() if key != "__id__"}
    return value


def _without_padding(data: bytes) -> bytes:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _numbered(tree: Node) -> Node:
    """Number the objects that are referred to more than once, in order of appearance; the others need no number."""
    times = Counter(node["__id__"] for node in _identified(tree))
    numbers: dict[int, int] = {}
    for node in _identified(tree):
        identity = node.pop("__id__")
        if times[identity] > 1:
            node["__id__"] = numbers.setdefault(identity, len(numbers) + 1)
    return tree


def _identified(value: Any) -> Iterator[Node]:  # JSON
    if isinstance(value, list):
        for item in value:
            yield from _identified(item)
    elif isinstance(value, dict):
        if isinstance(value.get("__loader__"), str) and "__id__" in value:
            yield value
        for item in list(value.values()):
            yield from _identified(item)


def _archive(files: dict[str, bytes]) -> bytes:
    """Zip without compression, whose result depends on the zlib that is installed."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name in sorted(files):
            info = ZipInfo(name, EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()
