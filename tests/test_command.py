"""The command as people meet it: child processes, their own file, and every way to go wrong."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import zstandard
from click.testing import CliRunner

from tunix_core.cli import cli
from tunix_core.plugins import Plugins, Selection

SAMPLES = Path(__file__).parent / "samples"
FORMATS = ("trace", "tunix_sft", "training_example", "show_your_work")
LINES = 300
BROKEN_EVERY = 15
LINE_LIMIT = 8 * 1024 * 1024


def trace(number: int) -> dict[str, Any]:
    """A trace that no generator of ours makes."""
    cars = number + 2
    return {
        "prompt": f"A train of {cars} cars – n° {number} – loses 2. How many remain? 🚂",
        "steps": [
            {"i": 0, "type": "decompose", "content": "Take away the cars that were lost."},
            {"i": 1, "type": "compute", "content": f"{cars} without 2: {number}"},
        ],
        "final_answer": "7" if number % 2 else str(number),
        "meta": {"source": "railway", "family": "trains", "line": {"gauge": 1435.5}},
    }


def altered(number: int, **changes: object) -> bytes:
    return json.dumps({**trace(number), **changes}).encode()


def without(number: int, key: str) -> bytes:
    return json.dumps({k: v for k, v in trace(number).items() if k != key}).encode()


def with_meta(number: int, text: str) -> bytes:
    return altered(number, meta="HERE").replace(b'"HERE"', text.encode())


def steps(*indices: object) -> list[dict[str, object]]:
    return [{"i": i, "type": "compute", "content": "1 + 1 = 2"} for i in indices]


# Makes a broken line, and how each of its problems begins.
BROKEN: tuple[tuple[Callable[[int], bytes], tuple[str, ...]], ...] = (
    (lambda n: altered(n, prompt=3), ("$.prompt: expected text, got an integer",)),
    (lambda n: altered(n, steps="first"), ("$.steps: expected a list",)),
    (lambda n: altered(n, steps=[]), ("$.steps: ",)),
    (lambda n: altered(n, steps=steps("0")), ("$.steps[0].i: expected an integer, got text",)),
    (lambda n: altered(n, steps=steps(0, True)), ("$.steps[1].i: expected an integer",)),
    (lambda n: altered(n, steps=steps(0, -1)), ("$.steps[1].i: must be 0 or more",)),
    (lambda n: altered(n, steps=steps(0, 1, 1)), ("$.steps: step indices must be unique",)),
    (lambda n: altered(n, meta=[1]), ("$.meta: expected an object",)),
    (lambda n: altered(n, final_answer=""), ("$.final_answer: length must be 1 to",)),
    (lambda n: without(n, "final_answer"), ("$.final_answer: ",)),
    (lambda n: altered(n, promt=1, final_answer=2.5), ("$.final_answer: ", "$.promt: unknown key")),
    (lambda n: with_meta(n, '{"loss": NaN}'), ("$: NaN is not JSON",)),
    (lambda n: with_meta(n, '{"loss": 1e999}'), ("$: number 1e999 is too large",)),
    (lambda n: with_meta(n, '{"a": 1, "a": 2}'), ("$: key 'a' occurs twice",)),
    (lambda n: with_meta(n, '{"a": ["\\ud83d"]}'), ("$.meta.a[0]: lone surrogate",)),
    (lambda n: with_meta(n, "[" * 150 + "]" * 150), ("$: nested deeper than 100 levels",)),
    (lambda n: with_meta(n, "[" * 90_000 + "]" * 90_000), ("$: nested deeper than 100 levels",)),
    (lambda n: altered(n, prompt="HERE").replace(b"HERE", b"\xff"), ("$: not UTF-8 at byte ",)),
    (lambda n: altered(n)[:-20], ("$: not JSON: ",)),
    (lambda n: altered(n, prompt="x" * LINE_LIMIT), (f"$: line is longer than {LINE_LIMIT}",)),
)
GOOD = LINES - len(BROKEN)

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def content() -> bytes:
    """300 lines, of which every 15th is broken in its own way."""
    lines = []
    for number in range(1, LINES + 1):
        index, rest = divmod(number, BROKEN_EVERY)
        lines.append(altered(number) if rest else BROKEN[index - 1][0](number))
    return b"\n".join(lines) + b"\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the counting trainer as an installed distribution."""
    site = tmp_path_factory.mktemp("site")
    info = site / "counting_trainer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-trainer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tunix_core]\ncounting = counting_trainer\n")
    shutil.copy(SAMPLES / "counting_trainer.py", site)
    return site


def command(site: Path, folder: Path) -> Command:
    """``tunix-rt`` in ``folder``; the workspace is the default one below it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNIX_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tunix_core.cli", *arguments],
            cwd=folder,
            env=kept | {"PYTHONPATH": str(site)},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def fresh(site: Path, tmp_path: Path) -> Command:
    """``tunix-rt`` in an empty directory."""
    return command(site, tmp_path)


class Line:
    """A workspace with the file imported, datasets built, runs trained and judged."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.folder = folder
        self.run = command(site, folder)
        (folder / "mine.jsonl").write_bytes(content())
        self.imported = self.run("traces", "import", "mine.jsonl", "--json")
        self.built = self.json("datasets", "build", "mine", "v1", "--filter", "source=railway")
        (folder / "sevens.jsonl").write_bytes(
            b"\n".join(altered(number, final_answer="7") for number in range(1000, 1030))
        )
        self.json("traces", "import", "sevens.jsonl", "--source", "sevens")
        self.json("datasets", "build", "sevens", "v1", "--filter", "source=sevens")
        start = ("runs", "start", "--trainer", "counting")
        # The first counts only sevens, and answers so; the second has counted nothing.
        self.good = self.json(*start, "sevens-v1", "--set", "steps=8", "--seed", "3")
        self.bad = self.json(*start, "sevens-v1", "--set", "steps=0")
        for run in (self.good, self.bad):
            run["evaluations"] = self.json("eval", "run", run["id"], "--dataset", "sevens-v1")

    def json(self, *arguments: str) -> Any:
        """What a command that ends well prints for programs."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def line(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(site, tmp_path_factory.mktemp("line"))


def test_an_import_reports_what_it_took_and_refused(line: Line) -> None:
    assert line.imported.returncode == 1
    (report,) = json.loads(line.imported.stdout)
    assert report.pop("import_id")
    assert report == {
        "file": "mine.jsonl",
        "accepted": GOOD,
        "duplicates": 0,
        "rejected": len(BROKEN),
        "rejects_path": "mine.jsonl.rejects.jsonl",
    }
    assert line.imported.stderr.splitlines()[-1] == (
        "20 lines were rejected; the reasons are in mine.jsonl.rejects.jsonl"
    )


def test_every_refused_line_has_its_number_path_and_reason(line: Line) -> None:
    text = (line.folder / "mine.jsonl.rejects.jsonl").read_text(encoding="utf-8")
    rejects = [json.loads(entry) for entry in text.splitlines()]
    assert [reject["line"] for reject in rejects] == list(range(15, 301, 15))
    for reject, (_, expected) in zip(rejects, BROKEN, strict=True):
        assert len(reject["problems"]) == len(expected), reject
        for problem, start in zip(sorted(reject["problems"]), expected, strict=True):
            assert problem.startswith(start), reject
        assert len(reject["text"]) <= 200
        assert reject["text"][:2] == '{"'


def test_nothing_of_the_refused_lines_is_stored(line: Line) -> None:
    assert line.built["trace_count"] == GOOD
    assert line.built["provenance"]["matched_count"] == GOOD
    exported = line.run("datasets", "export", "mine-v1").stdout.splitlines()
    prompts = {json.loads(entry)["prompts"] for entry in exported}
    assert prompts == {trace(n)["prompt"] for n in range(1, LINES + 1) if n % BROKEN_EVERY}


def test_importing_again_stores_nothing_twice(line: Line) -> None:
    again = line.run("traces", "import", "mine.jsonl", "--json")
    assert again.returncode == 1
    (report,) = json.loads(again.stdout)
    assert (report["accepted"], report["duplicates"]) == (0, GOOD)
    assert report["rejected"] == len(BROKEN)


def test_compressed_files_are_read_alike(fresh: Command, tmp_path: Path) -> None:
    data = content()
    (tmp_path / "mine.jsonl.gz").write_bytes(gzip.compress(data, 1))
    # Two frames one after the other, as appending makes them.
    frames = [zstandard.compress(part) for part in (data[:5000], data[5000:])]
    (tmp_path / "mine.jsonl.zst").write_bytes(b"".join(frames))
    done = fresh("traces", "import", "mine.jsonl.gz", "mine.jsonl.zst", "--json")
    assert done.returncode == 1
    first, second = json.loads(done.stdout)
    assert (first["accepted"], first["duplicates"], first["rejected"]) == (GOOD, 0, len(BROKEN))
    assert (second["accepted"], second["duplicates"], second["rejected"]) == (0, GOOD, len(BROKEN))
    rejects = [(tmp_path / report["rejects_path"]).read_bytes() for report in (first, second)]
    assert rejects[0] == rejects[1]


def test_a_file_that_breaks_off_keeps_what_came_before(fresh: Command, tmp_path: Path) -> None:
    whole = gzip.compress(b"\n".join(altered(number) for number in range(2000)))
    (tmp_path / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = fresh("traces", "import", "torn.jsonl.gz")
    assert done.returncode == 1
    progress, error = done.stderr.splitlines()
    assert progress.startswith("importing torn.jsonl.gz: ")
    assert error.startswith("error: torn.jsonl.gz: unreadable after line ")
    assert json.loads(fresh("traces", "list", "--json").stdout)["data"]


def test_files_before_one_that_cannot_be_read_are_reported(fresh: Command, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_bytes(altered(1) + b"\n{}\n")
    done = fresh("traces", "import", "one.jsonl", "two.jsonl", "--json")
    assert done.returncode == 2
    (report,) = json.loads(done.stdout)
    assert (report["accepted"], report["rejected"]) == (1, 1)
    assert done.stderr.splitlines()[-2].startswith("1 line was rejected")
    assert done.stderr.splitlines()[-1].startswith("error: two.jsonl does not exist")


def test_datasets_are_listed_shown_and_verified(line: Line) -> None:
    keys = {summary["dataset_key"]: summary for summary in line.json("datasets", "list")}
    assert set(keys) == {"mine-v1", "sevens-v1"}
    manifest = line.json("datasets", "show", "mine-v1")
    assert manifest["sha256"] == keys["mine-v1"]["sha256"] == line.built["sha256"]
    assert len(manifest["trace_ids"]) == manifest["trace_count"] == GOOD
    assert line.json("datasets", "verify", "mine-v1")["ok"] is True
    for verb in ("show", "verify"):
        done = line.run("datasets", verb, "mine-v1")
        assert done.returncode == 0
        assert "mine-v1" in done.stdout + done.stderr


@pytest.mark.parametrize("export_format", FORMATS)
def test_exports_are_the_same_bytes_every_time(line: Line, export_format: str) -> None:
    paths = [line.folder / f"{export_format}-{turn}.jsonl" for turn in (1, 2)]
    for path in paths:
        arguments = ("datasets", "export", "mine-v1", "--format", export_format)
        done = line.run(*arguments, "-o", path.name)
        assert (done.returncode, done.stderr) == (0, f"wrote {GOOD} lines to {path.name}\n")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert line.run(*arguments).stdout.encode() == paths[0].read_bytes()
    assert all("id" in json.loads(entry) for entry in paths[0].read_text().splitlines())


def test_a_dataset_edited_by_hand_is_refused_everywhere(fresh: Command, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_bytes(altered(1))
    assert fresh("traces", "import", "one.jsonl").returncode == 0
    assert fresh("datasets", "build", "one", "v1").returncode == 0
    data = tmp_path / "workspace" / "datasets" / "one-v1" / "dataset.jsonl"
    data.write_bytes(data.read_bytes().replace(b"3 without 2: 1", b"3 without 2: 2"))
    for arguments in (["verify", "one-v1"], ["export", "one-v1"], ["export", "one-v1", "-o", "x"]):
        done = fresh("datasets", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert_one_line(done)
        assert "one-v1" in done.stderr
        assert "sha256" in done.stderr or "hash" in done.stderr
    assert not (tmp_path / "x").exists()
    run = fresh("runs", "start", "one-v1", "--trainer", "counting", "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["status"] == "failed"
    assert "Traceback" not in run.stderr


def test_runs_are_shown_compared_and_measured(line: Line) -> None:
    assert line.good["status"] == "completed"
    assert [run["id"] for run in line.json("runs", "list", "--status", "completed")] == [
        line.bad["id"],
        line.good["id"],
    ]
    shown = line.json("runs", "show", line.good["id"][:8])
    assert shown["config"]["trainer"]["steps"] == 8
    steps = line.json("runs", "metrics", line.good["id"], "--last", "2")
    assert [step["step"] for step in steps] == [7, 8]
    assert line.json("runs", "compare", line.good["id"], line.bad["id"])["status"] == [
        "completed",
        "completed",
    ]
    assert line.run("runs", "logs", line.good["id"]).returncode == 0
    assert line.run("runs", "plot", line.good["id"], "-o", "loss.png").returncode == 0
    assert (line.folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_runs_are_judged_and_ranked(line: Line) -> None:
    scores = {e["evaluator"]: e["score"] for e in line.good["evaluations"]}
    assert scores["tunix-core/answer_correctness"] == 1.0
    assert scores["tunix-core/show_your_work"] == 1.0
    ranked = line.json("eval", "leaderboard", "--dataset", "sevens-v1")
    assert [e["run_id"] for e in ranked] == [line.good["id"], line.bad["id"]]
    shown = line.json("eval", "show", line.good["evaluations"][0]["id"], "--items")
    assert len(shown["items"]) == 30
    for arguments in (["leaderboard"], ["show", line.good["evaluations"][0]["id"], "--items"]):
        assert line.run("eval", *arguments).returncode == 0


def test_regress_check_says_good_regressed_or_not_comparable(line: Line) -> None:
    line.json("regress", "baseline", "released", line.good["id"])
    line.json("regress", "baseline", "unscored", line.good["id"], "-e", "step_validity")
    assert {b["name"] for b in line.json("regress", "list")} == {"released", "unscored"}
    good = line.run("regress", "check", line.good["id"], "released", "--json")
    assert (good.returncode, json.loads(good.stdout)["verdict"]["regressed"]) == (0, False)
    bad = line.run("regress", "check", line.bad["id"], "released", "--json")
    assert (bad.returncode, json.loads(bad.stdout)["verdict"]["regressed"]) == (1, True)
    assert "regressed" in line.run("regress", "check", line.bad["id"], "released").stdout
    apart = line.run("regress", "check", line.bad["id"], "unscored", "--json")
    assert (apart.returncode, apart.stdout) == (3, "")
    assert_one_line(apart)


def test_models_are_promoted_shown_verified_and_downloaded(line: Line) -> None:
    line.json("models", "create", "trains", "--description", "counts cars")
    version = line.json("models", "promote", "trains", line.good["id"])
    assert (version["version"], version["source_run_id"]) == ("v1", line.good["id"])
    assert version["metrics"]["answer_correctness"] == 1.0
    line.json("models", "alias", "trains@v1", "production")
    assert line.json("models", "show", "trains")["aliases"] == {"production": "v1"}
    assert line.json("models", "show", "trains@production")["sha256"] == version["sha256"]
    assert [model["name"] for model in line.json("models", "list")] == ["trains"]
    assert line.json("models", "verify", "trains@v1")["ok"] is True
    assert line.run("models", "download", "trains", "-o", "trains.zip").returncode == 0
    assert zipfile.is_zipfile(line.folder / "trains.zip")
    for arguments in (["list"], ["show", "trains"], ["show", "trains@v1"]):
        assert "v1" in line.run("models", *arguments).stdout


def test_a_run_that_fails_ends_with_one_line_and_exit_code_1(line: Line) -> None:
    start = ("runs", "start", "mine-v1", "--trainer", "counting", "--set", "fail_at=2")
    done = line.run(*start)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: run ")
    assert last.endswith("ended as failed: the loss is not a number (step 2)")


def test_the_doctor_says_what_is_here_and_what_is_broken(fresh: Command, site: Path) -> None:
    done = fresh("doctor", "--json")
    states = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)}
    assert states["tunix-core"] == "good"
    assert done.returncode == int("bad" in states.values())
    info = site / "acme_gone-1.0.dist-info"
    info.mkdir()
    try:
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gone\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[tunix_core]\ngone = acme_gone\n")
        done = fresh("doctor")
    finally:
        shutil.rmtree(info)
    assert done.returncode == 1
    broken = next(text for text in done.stdout.splitlines() if "acme-gone" in text)
    assert "bad" in broken
    assert "No module named 'acme_gone'" in broken


def assert_one_line(done: subprocess.CompletedProcess[str]) -> None:
    """One line that says what is wrong; click puts the usage before its own."""
    lines = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    if lines[0].startswith("Usage: "):
        assert lines[1].startswith("Try '")
        assert lines[2] == ""
        lines = lines[3:]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(("error: ", "Error: "))


COUNTING = "runs start mine-v1 --trainer counting"
WRONG = {
    "traces import empty.jsonl": "empty.jsonl is empty (it should hold one trace per line)",
    "traces import .": ". is a directory",
    "traces import nowhere.jsonl": "nowhere.jsonl does not exist",
    "traces import": "Missing argument 'FILES...'",
    "traces show 123": "trace '123' not found (see: tunix-rt traces list)",
    "traces generate dev-reasonin-v1 --count 3": "no generator is called 'dev-reasonin-v1'",
    "traces generate dev-reasoning-v1 --count many": "'many' is not a valid integer",
    "datasets show mine-v2": "dataset 'mine-v2' not found (did you mean 'mine-v1'?)",
    "datasets export ../mine-v1": "dataset '../mine-v1' not found",
    "datasets export mine-v1 --format csv": "'csv' is not one of 'trace', ",
    "datasets build mine": "Missing argument 'VERSION'",
    "datasets build other v1 --filter source": "'source' is not KEY=VALUE",
    "datasets build other v1 --filter source=a --filter source=b": "filter 'source' is given twice",
    "datasets build other v1 --filter source=nobody": "no trace matches",
    "datasets build other v1 --ids nowhere.txt": "cannot read the ids in nowhere.txt",
    "datasets build other v1 --import 7": "import '7' not found",
    "datasets build other v1 --mix railway": "'railway' is not SOURCE=SHARE",
    "datasets build other v1 --strategy random": "strategy random needs a seed",
    "runs start nothing-v1 --trainer counting": "dataset 'nothing-v1' not found",
    "runs start mine-v1 --trainer countin": "no trainer is called 'countin' (did you mean",
    f"{COUNTING} --set stepz=3": "plugin counting-trainer/counting: stepz: unknown key, did you",
    f"{COUNTING} --set steps=x --set no=1": "no: unknown key; steps: expected an integer, got text",
    f"{COUNTING} --set steps": "'steps' is not KEY=VALUE",
    f"{COUNTING} --set steps=3 --set steps=4": "setting 'steps' is given twice",
    f"{COUNTING} --template haiku": "unknown template 'haiku'",
    f"{COUNTING} --time-budget soon": "'soon' is no duration",
    "runs show 123": "run '123' not found (see: tunix-rt runs list)",
    "runs list --status finished": "'finished' is not one of 'pending', ",
    "runs strat mine-v1": "No such command 'strat'. Did you mean 'start'?",
    "run list": "No such command 'run'. Did you mean 'runs'?",
    "--wrkspace x runs list": "No such option '--wrkspace'",
    "--workspace empty.jsonl traces list": "cannot use empty.jsonl as a workspace",
    "--no-plugins=juxt traces list": "no installed plugin is called 'juxt'",
    "plugins show juxt": "no plugin is called 'juxt' (see: tunix-rt plugins list)",
    "eval run 123 --dataset mine-v1": "run '123' not found",
    "eval run 123 --dataset mine-v1 -e correctness": "no evaluator is called 'correctness'",
    "eval run 123 --dataset mine-v1 --generate temprature=1": "$.temprature: unknown key",
    "eval show 123": "evaluation '123' not found",
    "regress check 123 released-long-ago": "baseline 'released-long-ago' not found",
    "models show ghost": "model 'ghost' not found",
    "models promote ghost 123": "run '123' not found",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_usage_is_one_line_and_exit_code_2(line: Line, arguments: str) -> None:
    (line.folder / "empty.jsonl").touch()
    done = line.run(*arguments.split())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert_one_line(done)
    assert WRONG[arguments] in done.stderr


def commands(group: click.Group, ctx: click.Context, path: tuple[str, ...]) -> Iterator[list[str]]:
    """The words of every command below ``group``."""
    for name in group.list_commands(ctx):
        yield [*path, name]
        below = group.get_command(ctx, name)
        if isinstance(below, click.Group):
            yield from commands(below, ctx, (*path, name))


def test_every_verb_has_help() -> None:
    shared = {"plugins": Plugins.discover(Selection())}
    found = list(commands(cli, click.Context(cli, obj=shared), ()))
    assert ["datasets", "export"] in found
    assert len(found) > 40
    for words in found:
        result = CliRunner().invoke(cli, [*words, "--help"], obj=shared)
        assert result.exit_code == 0, (words, result.output)
        assert result.output.startswith(f"Usage: cli {' '.join(words)} ")
        # Not only what click makes up: every command says what it does.
        described = result.output.split("\n\n")[1].strip()
        assert described
        assert not described.startswith("Options:")
