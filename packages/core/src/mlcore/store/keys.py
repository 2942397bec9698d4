"""Which names may become paths in a store."""

from __future__ import annotations

import unicodedata

from mlcore.errors import StoreError

# What begins so is being written or removed; it is never listed, and no key may begin so.
TEMPORARY = ".tmp-"

_LONGEST_PART = 255
# A name is often given an ending, `.json` for one; the longest part of a path must still hold both.
_LONGEST_NAME = 200


def check_key(key: str, *, root: bool = False) -> str:
    """Return the key if it is one.

    Args:
        key: Relative, its parts separated by `/`.
        root: Whether the empty key, which names the folder itself, will do.

    Raises:
        StoreError: It is none; the message says why.
    """
    if key or not root:
        for part in key.split("/"):
            if fault := _fault(part):
                raise StoreError(
                    f"{key!r} is not a valid key: {fault}", hint="keys are relative paths such as 'runs/7/run.json'"
                )
    return key


def _fault(part: str) -> str | None:
    if not part:
        return "it has an empty part"
    if part in {".", ".."}:
        return f"it has a part {part!r}"
    if part.startswith(TEMPORARY):
        return f"parts that begin with {TEMPORARY!r} are reserved for unfinished files"
    if "\\" in part or any(unicodedata.category(char) in {"Cc", "Cs"} for char in part):
        return "it has a backslash, a control character or half a surrogate pair"
    if len(part.encode()) > _LONGEST_PART:
        return f"a part is longer than {_LONGEST_PART} bytes"
    return None


def safe_name(text: str) -> str:
    """Return a name that a user gave, if it can be one part of a path.

    Example:
        >>> safe_name("my model 2")
        'my model 2'

    Raises:
        StoreError: It cannot; names are refused rather than changed, so that two never become one.
    """
    fault = "it has a slash" if "/" in text else _fault(text)
    if not fault and (text.startswith(".") or text != text.strip()):
        fault = "it begins with a dot, or has spaces around it"
    if not fault and len(text.encode()) > _LONGEST_NAME:
        fault = f"it is longer than {_LONGEST_NAME} bytes"
    if fault:
        raise StoreError(
            f"{text!r} cannot be a name: {fault.replace('an empty part', 'no characters')}",
            hint="use letters, digits, '-', '_', '.' and spaces between words",
        )
    return text
