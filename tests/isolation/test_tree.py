"""The state of the repository as a tree of files: no package needs to be installed for these tests."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
# torch is large: its backend is no requirement, and only the session `torch` installs it.
REQUIRED = [package for package in PACKAGES if package.name != "torch"]
REQUIREMENTS = sorted(ROOT.glob("requirements*.txt")) + sorted(ROOT.glob("constraints*.txt"))
FORBIDDEN = {
    "an absolute path of one machine": re.compile(r"(?<![\w.}\])*])/(?:root|Users|work|opt)/\w{2}"),
    "a path of this machine": re.compile("|".join(re.escape(f"{path}/") for path in (ROOT, Path.home()))),
    "the host of a package registry": re.compile(r"\bpy(?:pi|thonhosted)\.(?:org|io)\b"),
    "a conflict marker": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}


def tracked_texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def metadata(package: Path) -> dict:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def test_there_are_packages():
    assert {"core", "emloop_compat", "sklearn"} <= {package.name for package in PACKAGES}


def test_all_packages_share_one_version():
    assert len({metadata(package)["version"] for package in PACKAGES}) == 1


def test_plugins_pin_the_minor_version_of_the_core():
    major, minor, _ = metadata(ROOT / "packages" / "core")["version"].split(".")
    wanted = f"mlcore-core>={major}.{minor},<{major}.{int(minor) + 1}"
    for package in PACKAGES:
        ours = [need for need in metadata(package)["dependencies"] if need.startswith("mlcore")]
        assert ours == ([] if package.name == "core" else [wanted]), package.name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_has_what_every_package_has(package):
    assert (package / "README.md").read_text().startswith(f"# {metadata(package)['name']}\n")
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert len(list(package.glob("src/*/py.typed"))) == 1
    assert (ROOT / "tests" / package.name).is_dir()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_dependencies_have_lower_bounds_only(package):
    for need in metadata(package)["dependencies"]:
        if not need.startswith("mlcore"):
            assert re.fullmatch(r"[\w.-]+>=[\d.]+", need), need


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirement_files_name_no_host(path):
    for line in path.read_text().splitlines():
        text = line.partition("#")[0]
        assert "://" not in text, line
        assert not re.match(r"\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text), line


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_constraints_pin_every_direct_dependency(name):
    pinned = {line.split("==")[0] for line in (ROOT / name).read_text().splitlines()}
    needed = {re.split(r"[>=]", need)[0] for package in REQUIRED for need in metadata(package)["dependencies"]}
    assert {need.replace(".", "-") for need in needed if not need.startswith("mlcore")} <= pinned


def test_requirements_install_every_package():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line[3:] for line in lines if line.startswith("-e ")] == [
        f"packages/{package.name}" for package in REQUIRED
    ]


def test_no_tracked_file_says_where_it_was_written():
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match.group()}"
        for path in tracked_texts()
        for text in [path.read_text(encoding="utf-8")]
        for what, pattern in FORBIDDEN.items()
        for match in pattern.finditer(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [f"see {Path.home()}/x", f"{ROOT}/README.md", '"/' + 'root/xy"', "from py" + "pi.org", "<<<<" + "<<< HEAD"],
)
def test_what_is_forbidden_is_seen(text):
    assert any(pattern.search(text) for pattern in FORBIDDEN.values())
