"""The sessions of this repository: `nox -l` lists them, CONTRIBUTING.md says when to run which."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types", "alone", "lowest", "build", "docs", "torch"]

ROOT = Path(__file__).parent
CORE, PLUGINS = "core", ["emloop_compat", "sklearn"]
IMPORT_NAMES = {"core": "mlcore", "emloop_compat": "mlcore_emloop_compat", "sklearn": "mlcore_sklearn"}
DISTRIBUTIONS = [name.replace("_", "-") for name in ("mlcore_core", "mlcore_emloop_compat", "mlcore_sklearn")]
EXAMPLE = ROOT / "examples" / "digits" / "train.yaml"
STRICT = {"MLCORE_STRICT_PLUGINS": "1"}
FORBID = (
    "import sys, importlib.util as u; sys.exit([f'{n} is importable' for n in sys.argv[1:] if u.find_spec(n)] or 0)"
)


def install(session: nox.Session, *packages: str, tools: tuple[str, ...] = (), pins: str = "constraints.txt") -> None:
    """Install packages of ours, editable, and tools; every version comes from the pins."""
    ours = [part for name in packages for part in ("-e", f"packages/{name}")]
    session.install("-c", pins, *tools, *ours)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run all tests with all packages."""
    install(session, CORE, *PLUGINS, tools=("pytest", "hypothesis", "s3fs", "moto[server]"))
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, layers and the state of the tree."""
    install(session, CORE, *PLUGINS, tools=("ruff", "import-linter", "pytest", "hypothesis"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "packages/torch/src"})  # read, not installed: torch is large
    session.run("pytest", "-q", "tests/isolation/test_tree.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of all packages, strictly."""
    install(session, CORE, *PLUGINS, tools=("mypy", "pytest"))
    session.run("mypy", *session.posargs)


@nox.session
@nox.parametrize("package", [CORE, *PLUGINS], ids=[CORE, *PLUGINS])
def alone(session: nox.Session, package: str) -> None:
    """Run the tests of one package with nothing of ours but the core."""
    mine = {CORE, package}
    install(session, *sorted(mine), tools=("pytest", "hypothesis"))
    session.run("python", "-c", FORBID, *(name for key, name in IMPORT_NAMES.items() if key not in mine))
    session.run("mlcore", "plugins", env=STRICT)
    session.run("pytest", f"tests/{package}", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run all tests with the lowest versions that the packages promise to work with."""
    if sys.version_info >= (3, 13):
        session.skip("the lowest versions have no wheels for Python 3.13")
    install(session, CORE, *PLUGINS, tools=("pytest", "hypothesis"), pins="constraints-lowest.txt")
    # Old libraries beside newer ones warn of one another's deprecations, which is not our doing.
    # s3fs demands the fsspec of its own release.
    left_out = ("--ignore=tests/docs", "--ignore=tests/integration/test_s3.py")
    session.run("pytest", *left_out, "-W", "default::DeprecationWarning", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Check the torch backend, which no other session installs: torch is large."""
    tools = ("torch==2.13.0", "mypy", "pytest", "hypothesis")
    install(session, CORE, "torch", tools=tools)
    session.run("mypy", "packages/torch/src")
    session.run("pytest", "tests/torch", *session.posargs)
    install(session, *PLUGINS)
    session.run("pytest", "tests/torch/test_torch_main_loop.py", "tests/torch/test_torch_resume.py", *session.posargs)
    session.run("pytest", "tests/docs", "tests/isolation/test_star.py", "-k", "torch")


@nox.session
def build(session: nox.Session) -> None:
    """Build packages, ours and strangers', install the wheels elsewhere and use them."""
    install(session, CORE, *PLUGINS, tools=("build", "hatchling", "hypothesis", "pytest"))
    session.run("pytest", "tests/isolation/strangers.py", *session.posargs)
    with tempfile.TemporaryDirectory() as name:
        box = Path(name)
        wheels = _built(session, [CORE, *PLUGINS], box / "dist")
        session.run("python", "-m", "venv", str(box / "env"))
        bin_ = box / "env" / "bin"
        pins = str(ROOT / "constraints.txt")
        session.run(str(bin_ / "pip"), "install", "-q", "-c", pins, *map(str, wheels), external=True)
        session.chdir(box)
        example = ["run", str(EXAMPLE), "--store", str(box / "store")]
        project = ["new", "project", "mine"], ["run", "mine/train.yaml", "--store", str(box / "store")]
        for command in (["--version"], ["plugins"], example, *project):
            session.run(str(bin_ / "mlcore"), *command, env=STRICT, external=True)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build sdist and wheel of every package into dist/, and check them; not one of the defaults."""
    session.install("-c", "constraints.txt", "build", "hatchling")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    _built(session, sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml")), ROOT / "dist")


def _built(session: nox.Session, packages: list[str], folder: Path) -> list[Path]:
    """Build packages, and look into their wheels."""
    for package in packages:
        session.run("python", "-m", "build", "-q", "--no-isolation", "-o", str(folder), f"packages/{package}")
    wheels = sorted(folder.glob("*.whl"))
    versions = {wheel.name.split("-")[1] for wheel in wheels}
    if len(wheels) != len(packages) or len(versions) != 1:
        session.error(f"expected one wheel for each of {packages}, of one version: {[wheel.name for wheel in wheels]}")
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        for part in ("py.typed", "licenses/LICENSE"):
            if not any(name.endswith(part) for name in names):
                session.error(f"{wheel.name} has no {part}")
    return wheels


@nox.session
def docs(session: nox.Session) -> None:
    """Run what README and docs show, and the examples in docstrings."""
    install(session, CORE, *PLUGINS, tools=("pytest", "hypothesis"))
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Do what README's first command does."""
    session.run("bash", ".ci/readme-command", "run", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the budgets; not one of the defaults."""
    install(session, CORE, *PLUGINS)
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def pin(session: nox.Session) -> None:
    """Write constraints.txt and constraints-lowest.txt anew; not one of the defaults."""
    session.install("uv")
    _compile(session, (ROOT / "requirements-dev.txt").read_text(), "constraints.txt")
    newest = (ROOT / "constraints.txt").read_text().splitlines()
    tools = [line for line in newest if line.startswith(("pytest==", "hypothesis=="))]
    _compile(session, "\n".join(tools), "constraints-lowest.txt", "--resolution", "lowest-direct")


def _compile(session: nox.Session, wanted: str, output: str, *options: str) -> None:
    ours = [f"-e ./packages/{name}" for name in (CORE, *PLUGINS)]
    others = [line for line in wanted.splitlines() if not line.startswith("-")]
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "wanted.in"
        source.write_text("\n".join([*ours, *others]))
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--upgrade", "--python-version=3.11"]
        command += ["--no-header", "--no-annotate", *(f"--no-emit-package={name}" for name in DISTRIBUTIONS)]
        session.run(*command, *options, str(source), "-o", output, env={"UV_NO_CONFIG": "1"})
