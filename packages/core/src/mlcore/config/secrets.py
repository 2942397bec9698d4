"""Literals that look like secrets: found by their key or their shape, and never written to disk or shown.

A secret belongs in the environment: `password: ${env:DB_PASSWORD}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlcore.config.nodes import Alias, Mapping, Node, Scalar, Sequence
from mlcore.config.paths import Path, dotted

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ANYWHERE = re.compile(
    r"(^| )(\w*password|\w*passwd|passphrase|secret|credentials?|connection string|sshpass"
    r"|(api|access|account|encryption|private|signing) ?key)( |$)"
)
_LAST = re.compile(r"(^| )token$|\w pwd$")
# `pad_token: "<pad>"` is a tokenizer's vocabulary, `password_file` a place: neither is a secret.
_VOCABULARY = re.compile(r"(^| )(bos|cls|end|eos|eot|mask|pad|sep|special|start|stop|unk|per|next) token$")
_ABOUT = re.compile(
    r"(^| )(count|env|file|hash|host|id|len|length|name|path|policy|port|region|size|type|user|username|var|variable)$"
)

_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}|\bhf_[A-Za-z0-9]{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|\b(?<=[a-zA-Z0-9+.-])://[^\s/:@]*:[^\s/@]+@"
)
# Possessive, from the beginning of a word only: else a long line of one word takes quadratic time.
_ASSIGNMENT = re.compile(r"(?<![\w-])([\w-]++)([\"']?\s*[:=]\s*)(\S+)")
REFERENCE = re.compile(r"(?<!\$)\$\{[^}]*\}")
_MARKER = re.compile(r"^<redacted: set .*=…>$", re.DOTALL)
_HIDDEN = "<redacted>"


def is_secret_key(key: object) -> bool:
    """Say whether a key names a secret, as `db_password` and `apiKey` do and `max_tokens` does not."""
    if not isinstance(key, str):
        return False
    words = _words(key)
    if _ABOUT.search(words) or _VOCABULARY.search(words):
        return False
    return bool(_ANYWHERE.search(words) or _LAST.search(words))


def _words(key: str) -> str:
    return " ".join(word.lower() for word in _WORDS.findall(key) if not word.isdigit())


def _is_about(key: object) -> bool:
    return isinstance(key, str) and bool(_ABOUT.search(_words(key)))


def looks_secret(text: str) -> bool:
    """Say whether a text holds something of a secret's shape, or sets a key that names one."""
    return hide(text) != text


def hide(text: str) -> str:
    """Blank what looks like a secret in free text, such as a comment."""
    return _ASSIGNMENT.sub(_hide_assigned, _hide_shapes(text))


def hide_setting(name: str, value: str) -> str:
    """Blank the value of an environment variable if its name, or its shape, is a secret's."""
    return _HIDDEN if value and is_secret_key(name) else hide(value)


def hide_command(words: Iterable[str]) -> list[str]:
    """Blank the secrets in a command line: what looks like one, and what follows `--password` and its like."""
    found: list[str] = []
    before = ""
    for word in words:
        found.append(_HIDDEN if is_secret_option(before) and not word.startswith("-") else hide(word))
        before = word
    return found


def is_secret_option(word: object) -> bool:
    """Say whether a word of a command line says that the next one is a secret."""
    return isinstance(word, str) and word.startswith("-") and "=" not in word and is_secret_key(word.lstrip("-"))


def _hide_shapes(text: str) -> str:
    return _SHAPES.sub(_HIDDEN, text)


def _hide_assigned(found: re.Match[str]) -> str:
    key, between, _ = found.groups()
    return f"{key}{between}{_HIDDEN}" if is_secret_key(key) else found[0]


def marker(path: Path) -> str:
    """Write what stands in a stored config in place of a secret."""
    return f"<redacted: set {dotted(path)}=…>"


def is_marker(value: object) -> bool:
    """Say whether a value stands in place of a secret."""
    return isinstance(value, str) and bool(_MARKER.match(value))


def find_secrets(root: Mapping) -> dict[Scalar, Path]:
    """Find the literals that look like secrets, each with the key path at which it is written."""
    written = dict(scalars(root))
    search = _Search()
    search.look(root, named=False)
    return {node: path for node, path in written.items() if node in search.found}


def scalars(node: Node, path: Path = ()) -> list[tuple[Scalar, Path]]:
    """List the single values that are written in a tree, aliases left out."""
    if isinstance(node, Scalar):
        return [(node, path)]
    if isinstance(node, Sequence):
        return [pair for index, item in enumerate(node.items) for pair in scalars(item, (*path, index))]
    if isinstance(node, Mapping):
        return [found for pair in node.pairs for found in scalars(pair.value, (*path, pair.key.value))]
    return []


class _Search:
    def __init__(self) -> None:
        self.found: set[Scalar] = set()
        self._seen: set[tuple[Node, bool]] = set()

    def look(self, node: Node, *, named: bool) -> None:
        """Look at a node; `named` says that a key above it names a secret."""
        if isinstance(node, Alias):
            node = node.target
        if (node, named) in self._seen:
            return
        self._seen.add((node, named))
        if isinstance(node, Scalar):
            if _is_secret(node.value, named=named):
                self.found.add(node)
        elif isinstance(node, Sequence):
            before: object = None
            for item in node.items:
                self.look(item, named=named or is_secret_option(before))
                before = item.value if isinstance(item, Scalar) else None
        elif isinstance(node, Mapping):
            for pair in node.pairs:
                key = pair.key.value
                self.look(pair.value, named=is_secret_key(key) or (named and not _is_about(key)))


def _is_secret(value: object, *, named: bool) -> bool:
    if not isinstance(value, str) or not value or is_marker(value):
        return False
    literal = REFERENCE.sub("", value)
    option, equals, _ = value.partition("=")
    named = named or (bool(equals) and is_secret_option(option))
    return bool(_SHAPES.search(literal)) or (named and literal == value)
