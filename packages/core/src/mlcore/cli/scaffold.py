"""New packages from the templates that mlcore ships: every file is written, or none.

A template is a file `mlcore/templates/<folder>/<path>.tmpl`. `$name` and its like are replaced in it (`$$` is a `$`),
and `__module__` and `dot-` in its path.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources, util
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from mlcore.errors import MlcoreError

_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 60
_SUFFIX = ".tmpl"


@dataclass(frozen=True)
class Package:
    """The package that is wanted.

    Args:
        name: Of its distribution.
        what: `plugin` or `project`.
        description: One line.
    """

    name: str
    what: str
    description: str

    @property
    def module(self) -> str:
        """What is imported."""
        return _module(self.name)

    def facts(self) -> Mapping[str, str]:
        """What templates can say."""
        here = metadata.version("mlcore-core")
        major, minor, *_ = here.split(".")
        allowed = f">={major}.{minor},<{major}.{int(minor) + 1}"
        ours = {key: f"mlcore-{rest}{allowed}" for key, rest in _DISTRIBUTIONS.items()}
        return {"name": self.name, "module": self.module, "description": self.description, **ours}


def named(name: str, what: str, description: str) -> Package:
    """Check a name.

    Args:
        name: Of the distribution.
        what: `plugin` or `project`.
        description: One line.

    Raises:
        MlcoreError: The name cannot be one, or is taken; the hint has one that can.
    """
    wrong = _wrong(name)
    if wrong:
        raise MlcoreError(f"{name!r} cannot name a {what}: {wrong}", hint=f"try {_suggestion(name, what)}")
    return Package(name, what, description)


_DISTRIBUTIONS = {"core": "core", "emloop": "emloop-compat", "sklearn": "sklearn"}


def write(package: Package, templates: Sequence[str], directory: Path | None = None) -> Path:
    """Write a package.

    Args:
        package: What is wanted.
        templates: Folders of templates; no two have a file of one path.
        directory: The folder to write; named as the package, in the working folder, by default.

    Returns:
        The folder.

    Raises:
        MlcoreError: There is something already, or it cannot be written.
    """
    target = Path(package.name) if directory is None else directory
    _refuse_existing(target)
    files = {path: text for folder in templates for path, text in _rendered(folder, package)}
    try:
        _write(files, target.resolve())
    except OSError as error:
        raise MlcoreError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _refuse_existing(target: Path) -> None:
    if target.is_dir():
        found = next(target.iterdir(), None)
        if found is not None:
            raise MlcoreError(
                f"the folder {target} is not empty: it has {found.name}", hint="choose another one by --directory"
            )
    elif target.exists() or target.is_symlink():
        raise MlcoreError(f"{target} exists, and is no folder", hint="choose another one by --directory")


def _rendered(folder: str, package: Package) -> Iterator[tuple[PurePosixPath, str]]:
    facts = package.facts()
    for path, source in _files(resources.files("mlcore") / "templates" / folder):
        name = path.name.removesuffix(_SUFFIX)
        named = path.with_name(f".{name.removeprefix('dot-')}" if name.startswith("dot-") else name)
        text = Template(source.read_text(encoding="utf-8")).substitute(facts)
        yield PurePosixPath(*(package.module if part == "__module__" else part for part in named.parts)), text


def _files(folder: Traversable, below: PurePosixPath = PurePosixPath()) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _files(entry, below / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield below / entry.name, entry


def _write(files: Mapping[PurePosixPath, str], target: Path) -> None:
    """Write beside the target first, so that a full disk leaves nothing half-written."""
    existing = next(folder for folder in (target, *target.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".mlcore-new-", dir=existing) as name:
        draft = Path(name, "draft")
        for path, text in files.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
        if existing == target:
            _fill(target, draft)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(target)


def _fill(target: Path, draft: Path) -> None:
    """Move into a folder that is there; it may be the working folder, which a rename would take away."""
    moved: list[Path] = []
    try:
        for part in sorted(draft.iterdir()):
            moved.append(part.rename(target / part.name))
    except OSError:
        for part in moved:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        raise


def _module(name: str) -> str:
    return re.sub(r"[-.]+", "_", name).lower()


def _wrong(name: str) -> str | None:
    """Why a name cannot be that of a distribution and of the module in it; None when it can."""
    module = _module(name)
    if not _NAME.fullmatch(name):
        return "it begins with a letter and has letters, digits, - and _ only"
    if len(name) > _LONGEST:
        return f"it has more than {_LONGEST} characters"
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        return f"{module} is a word of Python itself"
    if module in sys.stdlib_module_names or module in ("core", "mlcore", "tests"):
        return f"{module} is the name of something else that is always there"
    if util.find_spec(module) is not None:
        return f"a package {module} is installed here"
    return None


def _suggestion(name: str, what: str) -> str:
    """The nearest name that can be one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    base = "-".join(words)[: _LONGEST - 12].strip("-")
    if not base[:1].isalpha():
        base = f"{what}-{base}" if base else f"my-{what}"
    tries = (base, f"{base}-{what}", *(f"{base}-{number}" for number in range(2, 100)))
    return next((each for each in tries if _wrong(each) is None), f"my-{what}")
