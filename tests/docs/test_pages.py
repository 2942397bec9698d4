"""What the pages show is true: every fenced block is run or read, in order, in one folder a page.

    console   the lines after `$ ` are run; each must exit with 0 (or N, when it ends in `# exit N`). Lines below a
              command must appear in its output in that order; `…` stands for anything. Commands that set up a
              machine (pip, nox, git) are not run here: `.ci/run` does that.
    python    run, in one namespace a page; a block that starts with `>>>` is a doctest
    yaml      read. A block whose first line is a comment with a file name, like `# train.yaml`, is written to that
    json      file for the blocks below it; a named yaml block is a config and must pass `mlcore run FILE --dry-run`
    toml
    text, mermaid, diff     only read by people

The examples/ folder is there too.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(page for page in ROOT.glob("packages/*/README.md") if page.parent.name != "torch" or find_spec("torch")),
]
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w.-]+\.(?:yaml|py|json|toml))\n")
SET_UP = re.compile(r"\b(?:pip|nox|git|pytest)\b")


@dataclass
class Block:
    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        match = FILE_NAME.match(self.text)
        return match[1] if match else None


def blocks(text: str) -> list[Block]:
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in BLOCK.finditer(text)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the output lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            assert found, f"a console block starts with output: {line}"
            found[-1][1].append(line)
    return found


def check_output(shown: list[str], output: str) -> None:
    """Each shown line must be a line of the output, in the order shown."""
    left = iter([line.rstrip() for line in output.splitlines()])
    for line in shown:
        if line.strip() == "…":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
        assert any(pattern.fullmatch(got) for got in left), f"not printed: {line}\n--- printed:\n{output}"


def run_console(block: Block, namespace: dict) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command, shown in commands(block.text):
        if SET_UP.search(command):
            continue
        match = re.search(r"# exit (\d+)$", command)
        done = subprocess.run(
            ["bash", "-c", command], check=False, env=environment, capture_output=True, text=True, timeout=120
        )
        output = done.stdout + done.stderr
        assert done.returncode == (int(match[1]) if match else 0), f"$ {command}\n{output}"
        check_output(shown, output)


def run_python(block: Block, namespace: dict) -> None:
    if not block.text.startswith(">>>"):
        exec(compile(block.text, f"python block of line {block.line}", "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(block.text, namespace, "python block", None, block.line)
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append, clear_globs=False)
    assert not told, "".join(told)
    namespace.update(test.globs)


def run_yaml(block: Block, namespace: dict) -> None:
    YAML(typ="safe").load(block.text)
    if block.file:
        run_console(Block("console", f"$ mlcore run {block.file} --dry-run", block.line), namespace)


def run_nothing(block: Block, namespace: dict) -> None:
    """For people only."""


RUN = {
    "console": run_console,
    "python": run_python,
    "yaml": run_yaml,
    "json": lambda block, namespace: json.loads(block.text),
    "toml": lambda block, namespace: tomllib.loads(block.text),
    "text": run_nothing,
    "mermaid": run_nothing,
    "diff": run_nothing,
}


def check_page(text: str, name: str) -> None:
    namespace: dict = {"__name__": "page"}
    for block in blocks(text):
        try:
            assert block.language in RUN, f"a block in {block.language or 'no language'}; known: {', '.join(RUN)}"
            if block.file:
                Path(block.file).write_text(block.text)
            if not (block.file and block.language == "python"):
                RUN[block.language](block, namespace)
        except BaseException as error:
            error.add_note(f"in the block at {name}:{block.line}")
            raise


@pytest.fixture
def desk(tmp_path, monkeypatch, empty_memory):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_shows_what_is_true(page, desk):
    check_page(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\n$ false\n```\n", "\\$ false"),
        ("```console\n$ echo yes\nno\n```\n", "not printed: no"),
        ("```console\n$ printf 'b\\na\\n'\na\nb\n```\n", "not printed: b"),
        ("```console\nyes\n```\n", "starts with output"),
        ("```python\nassert False, 'wrong'\n```\n", "wrong"),
        ("```python\n>>> 1 + 1\n3\n```\n", r"Got:\s+2"),
        ("```yaml\na: [\n```\n", "while parsing"),
        ("```json\n{\n```\n", "Expecting"),
        ("```\nx\n```\n", "no language"),
    ],
)
def test_a_page_that_lies_is_caught(page, message, desk):
    with pytest.raises(Exception, match=message) as caught:
        check_page(page, "page.md")
    assert "page.md:1" in caught.value.__notes__[0]


def test_a_page_that_is_true_passes(desk):
    check_page(
        "```console\n$ echo a 1.5 s\na … s\n$ exit 3  # exit 3\n$ pip install nothing-at-all\n```\n"
        "```python\n# helper.py\nx = 3\n```\n```python\nimport helper\ny = helper.x\n```\n```python\n>>> y\n3\n```\n",
        "page.md",
    )
