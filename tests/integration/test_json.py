"""What `--json` prints is what docs/json.md promises: every key, of that type, and no other."""

from __future__ import annotations

import json
import re

import pytest
from tests.integration.conftest import GATED, ROOT, Desk, distribution, small

import mlcore
from mlcore.runs.ids import is_id, new_id

PAGE = (ROOT / "docs" / "json.md").read_text()
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
TYPES = {
    "text": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float) or value in NOT_FINITE,
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
    "any": lambda value: True,
}


def promised(section):
    """Key to type, of the table in a section of the page."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\S+)` \| ([a-z ]+) \|", text, re.MULTILINE))


def pattern(key):
    parts = re.split(r"(<\w+>)", key)
    return "".join(".+" if part.startswith("<") else re.escape(part) for part in parts)


def leaves(value, path=""):
    """Every value that is no container, and every container that is empty, with its path."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, f"{path}[]")
    else:
        yield path, value


def check(section, output, *, seen=None):
    """Each key that is there is promised and of the promised type; those promised are noted in `seen`."""
    wanted = promised(section)
    assert wanted, section
    for path, value in leaves(output):
        if value in ([], {}) and any(key.startswith(path) for key in wanted):
            continue
        free = [key for key in wanted if wanted[key] == "any" and re.match(pattern(key) + r"($|[.\[])", path)]
        keys = free or [key for key in wanted if re.fullmatch(pattern(key), path)]
        assert keys, f"{section}: {path} is not in the page"
        kinds = wanted[keys[0]].split(" or ")
        assert any(TYPES[kind](value) for kind in kinds), f"{section}: {path} is {value!r}, promised is {kinds}"
        if seen is not None:
            seen.update(keys)


def strict(text):
    """Parse as a parser does that knows no more than JSON."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def only_line(done):
    """What was printed, if it is one line."""
    assert done.out.endswith("\n")
    [line] = done.out.splitlines()
    return strict(line)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, zygote):
    """A store with a run that was stopped and resumed with an override, one that failed, and one from Python."""
    desk = Desk(tmp_path_factory.mktemp("shelf"), zygote)
    config = desk.write(GATED)
    calm = config.read_text()
    config.write_text(calm.replace("at: 0", "at: 2"))
    desk.outputs = {"stopped": desk.mlcore("run", config, "--name", "two words", "--json")}
    config.write_text(calm)
    desk.outputs["resumed"] = desk.mlcore("resume", "two words", "model.alpha=0.002", "--json")
    module = desk.path / "gated.py"
    sound = module.read_text()
    module.write_text(sound.replace("            yield batch", "            yield batch if self._epoch < 2 else 1 / 0"))
    desk.outputs["failed"] = desk.mlcore("run", config, "--name", "broken", "--json")
    module.write_text(sound)
    with mlcore.start_run(store=str(desk.store), name="by hand") as run:
        run.log(1, loss=float("nan"), **{"far.away": float("inf"), "far.below": float("-inf")})
        run.log(2.5, loss=0.5)
        run.use(desk.path / "gated.py")
        run.use("model:gated@v2")
        run.save_model(mlcore.load_model("model:gated@v1", store=mlcore.Store(desk.store)), "by hand")
    return desk


def test_run_and_resume_print_one_object(shelf):
    codes = {"stopped": 130, "resumed": 0, "failed": 1}
    statuses = {"stopped": "stopped", "resumed": "finished", "failed": "failed"}
    for name, done in shelf.outputs.items():
        assert done.code == codes[name], done.err
        value, seen = only_line(done), set()
        check("run, resume", value, seen=seen)
        assert seen == set(promised("run, resume"))
        assert value["status"] == statuses[name]
    assert shelf.outputs["stopped"].json["id"] == shelf.outputs["resumed"].json["id"]


def test_a_program_that_prints_leaves_the_last_line_to_the_object(quick):
    config = quick.write(GATED)
    module = quick.path / "gated.py"
    module.write_text("print('imported')\n" + module.read_text().replace("self.train =", "print('made'); self.train ="))
    done = quick.mlcore("run", config, "--json").ok()
    assert done.out.splitlines()[:-1] == ["imported", "made"]
    check("run, resume", strict(done.out.splitlines()[-1]))


def test_dry_run_prints_the_plan_and_touches_nothing(quick):
    done = quick.mlcore("run", *small(), "--dry-run", "--json").ok()
    seen = set()
    check("run --dry-run", only_line(done), seen=seen)
    assert seen == set(promised("run --dry-run"))
    assert only_line(done)["config"]["dataset"]["batch_size"] == 128
    assert not quick.store.exists()


@pytest.mark.parametrize("command", [["ls"], ["runs", "ls"]], ids=" ".join)
def test_ls_prints_an_array_of_the_same_objects(command, shelf, quick):
    value = only_line(shelf.mlcore(*command, "--json").ok())
    seen = set()
    check("ls, runs ls", value, seen=seen)
    assert seen == set(promised("ls, runs ls")) == {f"[].{key}" for key in promised("run, resume")}
    assert [run["name"] for run in value] == ["by hand", "broken", "two words"]
    assert value[1] == shelf.outputs["failed"].json
    assert value[2] == shelf.outputs["resumed"].json
    assert only_line(shelf.mlcore(*command, "--json", "-n", "1").ok()) == value[:1]
    assert only_line(quick.mlcore(*command, "--json").ok()) == []
    assert not quick.store.exists()


@pytest.mark.parametrize("command", [["show"], ["runs", "show"]], ids=" ".join)
def test_show_prints_all_of_a_run(command, shelf):
    seen = set()
    by_name = {}
    for run in only_line(shelf.mlcore("ls", "--json")):
        by_name[run["name"]] = only_line(shelf.mlcore(*command, run["id"], "--json").ok())
        check("show, runs show", by_name[run["name"]], seen=seen)
        assert {key: by_name[run["name"]][key] for key in run} == run
    assert seen == set(promised("show, runs show")) - {"warnings[]"}
    assert "ZeroDivisionError" in by_name["broken"]["reason"]
    assert by_name["broken"]["traceback"].startswith("Traceback")
    assert by_name["two words"]["attempts"][1]["overrides"] == ["model.alpha=0.002"]
    assert by_name["two words"]["config"]["model"]["alpha"] == 0.002
    assert [epoch["epoch"] for epoch in by_name["two words"]["epochs"]] == [1, 2, 3, 4]
    assert sum(checkpoint["best"] for checkpoint in by_name["two words"]["checkpoints"]) == 1
    assert [alias for model in by_name["two words"]["models"] for alias in model["aliases"]].count("latest") == 1


def test_numbers_that_json_lacks_are_texts(shelf):
    shown = only_line(shelf.mlcore("show", "by hand", "--json").ok())
    assert {metric["name"]: (metric["stream"], metric["last"], metric["best"]) for metric in shown["metrics"]} == {
        "loss": (None, 0.5, 0.5),
        "away": ("far", "Infinity", "Infinity"),
        "below": ("far", "-Infinity", "-Infinity"),
    }
    points = only_line(shelf.mlcore("runs", "metrics", "by hand", "--json").ok())
    assert points["loss"]["values"] == ["NaN", 0.5]
    assert points["loss"]["steps"] == [1, 2.5]


def test_damage_in_the_journal_is_told(shelf, tmp_path, zygote):
    run = only_line(shelf.mlcore("runs", "path", "by hand", "--json"))
    copy = Desk(tmp_path / "copy", zygote)
    copy.store.mkdir()
    for path in shelf.store.rglob("*"):
        if path.is_file() and (run["id"] in str(path) or path.name == "mlcore.json"):
            target = copy.store / path.relative_to(shelf.store)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes().replace(b'"points"', b'"poi\x00s"', 1))
    done = copy.mlcore("show", run["id"], "--json").ok()
    check("show, runs show", only_line(done))
    warnings = only_line(done)["warnings"]
    assert warnings
    for warning in warnings:
        assert "journal/1-main.1.jsonl line" in warning
        assert warning in done.err


def test_runs_compare(shelf):
    done = shelf.mlcore("runs", "compare", "two words", "broken", "by hand", "--json").ok()
    seen = set()
    check("runs compare", only_line(done), seen=seen)
    assert seen == set(promised("runs compare"))
    [row] = [row for row in only_line(done)["config"] if row["key"] == "model.alpha"]
    assert row["values"] == [0.002, 0.001, None]


def test_runs_log(quick):
    (quick.path / "hello.py").write_text("print('hällo')\n")
    value = only_line(
        quick.mlcore("runs", "log", quick.mlcore("run", "hello.py", "--json").ok().json["id"], "--json").ok()
    )
    check("runs log", value)
    assert value["text"] == "hällo\n"


def test_runs_are_exported_removed_brought_back_and_collected(quick, tmp_path):
    made = quick.mlcore("run", *small(1), "--json").ok().json
    exported = only_line(quick.mlcore("runs", "export", made["id"], "--to", tmp_path / "other", "--json").ok())
    check("runs restore, runs export", exported)
    assert exported == {**made, "path": made["path"].replace(str(quick.store), str(tmp_path / "other"))}
    removed = only_line(quick.mlcore("runs", "rm", made["id"], "--json").ok())
    check("runs rm", removed)
    assert removed == [{"id": made["id"], "name": made["name"]}]
    assert only_line(quick.mlcore("ls", "--json").ok()) == []
    back = only_line(quick.mlcore("runs", "restore", made["id"], "--json").ok())
    check("runs restore, runs export", back)
    assert back == made
    quick.mlcore("runs", "rm", made["id"], "--json").ok()
    mlcore.Store(quick.store).blobs.add_bytes(b"nobody's")
    for options in (["--dry-run"], []):
        seen = set()
        value = only_line(quick.mlcore("runs", "gc", "--days", "0", "--json", *options).ok())
        check("runs gc", value, seen=seen)
        assert seen == set(promised("runs gc"))
        assert value["runs"] == [made["id"]]
    assert only_line(quick.mlcore("runs", "gc", "--days", "0", "--json").ok())["runs"] == []


def test_runs_sync_with_nothing_to_ship(quick):
    assert only_line(quick.mlcore("runs", "sync", "--json").ok()) == []


def test_runs_path_and_runs_metrics(shelf):
    for command, section in ((["runs", "path"], "runs path"), (["runs", "metrics"], "runs metrics")):
        seen = set()
        check(section, only_line(shelf.mlcore(*command, "two words", "--json").ok()), seen=seen)
        assert seen == set(promised(section))
    points = only_line(shelf.mlcore("runs", "metrics", "two words", "valid.loss", "--json").ok())
    assert list(points) == ["valid.loss"]
    assert points["valid.loss"]["steps"] == [1, 2, 3, 4]
    wrong = shelf.mlcore("runs", "metrics", "two words", "valid.los", "--json")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'valid.loss'?" in wrong.err


def test_plugins_with_one_that_is_broken_and_one_that_is_odd(desk, tmp_path):
    place = tmp_path / "site"
    distribution(place, "broken-one", "mlcore.plugins", {"broken": "broken_one"}, "raise RuntimeError('not\\ntoday')")
    code = "import mlcore\n\n@mlcore.hookimpl\ndef mlcore_register_backends(register): register('sklearn', 'odd_one:X')"
    distribution(place, "odd-one", "mlcore.plugins", {"odd": "odd_one"}, code)
    command = [*desk.command("plugins", "--json")[:-2], "--no-plugin", "emloop_compat"]  # it needs no store
    done = desk.wait(desk.started(command, PYTHONPATH=str(place))).ok()
    value, seen = only_line(done), set()
    check("plugins", value, seen=seen)
    found = {record["name"]: record for record in value}
    assert seen >= set(promised("plugins")) - {"[].warnings[]"}
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["error"] == "RuntimeError: not today"
    assert found["emloop_compat"]["status"] == "blocked"
    assert {"kind": "backend", "name": "native"} in found["core"]["offers"]
    assert "broken" in done.err
    assert any(record["warnings"] for record in value) or found["odd"]["status"] == "failed"


def test_doctor_prints_findings(quick):
    done = quick.mlcore("doctor", "--json").ok()
    value, seen = only_line(done), set()
    check("doctor", value, seen=seen)
    assert seen == set(promised("doctor"))
    subjects = {finding["subject"]: finding["text"] for finding in value}
    assert {"python", "mlcore-core", "numpy", "plugin core", "store", "store round trip", "disk"} <= subjects.keys()
    assert re.search(r"loaded in [\d.]+ ms", subjects["plugin core"])
    assert re.fullmatch(r"[\d.]+ ms", subjects["store round trip"])
    assert subjects["store exclusivity"].startswith("atomic")
    assert re.fullmatch(r"[\d.]+ GB free", subjects["disk"])
    assert not quick.store.exists(), "it left something behind"


def test_doctor_fails_where_the_store_does(quick):
    quick.store.write_text("a file")
    done = quick.mlcore("doctor", "--json")
    assert done.code == 1
    [bad] = [finding for finding in only_line(done) if finding["status"] == "error"]
    check("doctor", [bad])
    assert bad["subject"] == "store round trip"
    assert bad["hint"]


REFUSED = {
    ("run", "missing.yaml"): "missing.yaml",
    ("resume", "nothing"): "there is no run 'nothing'",
    ("show", "nothing"): "there is no run 'nothing'",
    ("runs", "path", ""): "there is no run ''",
    ("runs", "metrics", "nothing"): "there is no run 'nothing'",
}


@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_a_refused_command_prints_nothing(command, shelf):
    done = shelf.mlcore(*command, "--json")
    assert (done.code, done.out) == (2, "")
    assert REFUSED[command] in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("argv", [["plugin", "mine", "--kind", "backend"], ["project", "mine"]], ids=" ".join)
def test_new(argv, quick):
    done = quick.zygote.run(["new", *argv, "--json"], quick.path).ok()
    seen = set()
    check("new plugin, new project", only_line(done), seen=seen)
    assert seen == set(promised("new plugin, new project"))


def test_every_command_has_json_and_a_place_in_the_page(shelf):
    sections = [name.strip() for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) for name in heading.split(",")]
    groups, found = [[]], []
    for group in groups:
        listed = shelf.zygote.run([*group, "--help"], shelf.path).ok().out.split("Commands:\n")[1].split("\n\n")[0]
        for name in re.findall(r"^  (\w+)", listed, re.MULTILINE):
            helped = shelf.zygote.run([*group, name, "--help"], shelf.path).ok().out
            if "Commands:" in helped:
                groups.append([*group, name])
                continue
            found.append(" ".join([*group, name]))
            assert "--json" in helped, found[-1]
            assert found[-1] in sections, f"docs/json.md lacks it: {found[-1]}"
    assert {"run", "resume", "ls", "show", "plugins", "doctor", "runs ls", "runs show"} <= set(found)


# --- what RUN may be


def test_ids_sort_as_the_runs_began():
    ids = [new_id(1_795_182_081 + number / 1000) for number in range(0, 5000, 3)]
    assert ids == sorted(ids)
    assert all(is_id(run_id) for run_id in ids)
    assert len({new_id(7.5) for _ in range(200)}) == 200


@pytest.fixture(scope="module")
def many(tmp_path_factory, zygote):
    """Runs whose ids are made up, so that they share what the tests need them to share."""
    desk = Desk(tmp_path_factory.mktemp("many"), zygote)
    desk.mlcore("run", *small(1), "--name", "origin").ok()
    [origin] = desk.runs()
    for run_id, name in (
        ("20260101-000000-aaaaaa", "first"),
        ("20260101-000000-aabbbb", "second"),
        ("20260102-000000-cccccc", "twice"),
        ("20260103-000000-dddddd", "twice"),
        ("20260104-000000-eeeeee", "aa"),
    ):
        target = desk.store / "runs" / "2026-01" / run_id
        target.mkdir(parents=True)
        for path in origin.iterdir():
            if path.is_file():
                (target / path.name).write_text(
                    path.read_text().replace(origin.name, run_id).replace('"origin"', f'"{name}"')
                )
    return desk


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("20260101-000000-aabbbb", "20260101-000000-aabbbb"),
        ("20260101-000000-aab", "20260101-000000-aabbbb"),
        ("20260102", "20260102-000000-cccccc"),
        ("aab", "20260101-000000-aabbbb"),
        ("cccccc", "20260102-000000-cccccc"),
        ("first", "20260101-000000-aaaaaa"),
        ("twice", "20260103-000000-dddddd"),
        ("aa", "20260104-000000-eeeeee"),
        ("store/runs/2026-01/20260102-000000-cccccc", "20260102-000000-cccccc"),
        ("store/runs/2026-01/20260102-000000-cccccc/", "20260102-000000-cccccc"),
        ("./store/../store/runs/2026-01/20260101-000000-aaaaaa", "20260101-000000-aaaaaa"),
    ],
    ids=str,
)
def test_a_run_is_found_by(wanted, found, many):
    assert only_line(many.mlcore("show", wanted, "--json").ok())["id"] == found


def test_a_url_of_a_run_finds_it(many):
    url = (many.store / "runs" / "2026-01" / "20260102-000000-cccccc").as_uri()
    assert only_line(many.mlcore("show", url, "--json").ok())["name"] == "twice"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("20260101", "2 runs begin with '20260101': 20260101-000000-aaaaaa, 20260101-000000-aabbbb"),
        ("2", "6 runs begin with '2': …, 20260101-000000-aabbbb, 20260102-000000-cccccc"),
        ("frist", "there is no run 'frist'\n  hint: did you mean 'first'?"),
        ("20260104-000000-eeeeef", "did you mean '20260104-000000-eeeeee'?"),
        ("", "there is no run ''"),
        ("store", "there is no run 'store'"),
        ("../x", "there is no run '../x'"),
        ("nosuch://bucket/run", "nosuch"),
    ],
    ids=str,
)
def test_a_run_that_is_not_clear_is_an_error_that_helps(wanted, message, many):
    done = many.mlcore("show", wanted, "--json")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_copy_outside_of_a_store_is_read_but_not_resumed(many, tmp_path):
    loose = tmp_path / "a" / "b" / "c" / "loose"
    source = many.store / "runs" / "2026-01" / "20260102-000000-cccccc"
    loose.mkdir(parents=True)
    for path in source.iterdir():
        (loose / path.name).write_bytes(path.read_bytes())
    assert only_line(many.mlcore("show", loose, "--json").ok())["name"] == "twice"
    before = sorted(tmp_path.rglob("*"))
    done = many.mlcore("resume", loose)
    assert done.code == 2
    assert "does not lie in a store" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_with_a_broken_header_does_not_hide_the_others(quick):
    quick.mlcore("run", *small(1), "--name", "sound").ok()
    broken = quick.store / "runs" / "2026-01" / "20260101-000000-aaaaaa"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    done = quick.mlcore("ls", "--json").ok()
    assert [run["name"] for run in only_line(done)] == ["sound"]
    assert "warning:" in done.err
    assert "run.json" in done.err
    assert only_line(quick.mlcore("show", "sound", "--json").ok())["name"] == "sound"
    shown = quick.mlcore("show", "aaaaaa")
    assert shown.code == 2
    assert "run.json" in shown.err
    assert "Traceback" not in shown.err
