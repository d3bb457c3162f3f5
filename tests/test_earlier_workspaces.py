"""A workspace of the first version: opened, read, checked and continued."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

from tunix_core import Workspace
from tunix_core.records import Run

LATER_TABLES = ("trace_scores", "tuning_trials", "tuning_jobs")
LATER_COLUMNS = {
    "evaluations": ("verdict", "grade", "items_sha256", "basis"),
    "baselines": ("metric_name", "lower_is_better", "eval_set", "wanted_dataset_key"),
}
LATER_MIGRATIONS = (
    "trace_scores",
    "verdicts_and_metric_baselines",
    "tuning",
    "settings_not_yet_accepted",
    "evidence_of_evaluations",
)


def make_old(workspace: Workspace) -> None:
    """Take away from a workspace what the first version did not have."""
    with closing(sqlite3.connect(workspace.paths.database)) as connection:
        take_away(connection)
        connection.commit()


def take_away(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 0")
    connection.execute("DROP INDEX evaluations_items")
    for table in LATER_TABLES:
        connection.execute(f"DROP TABLE {table}")
    for table, columns in LATER_COLUMNS.items():
        for column in columns:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for name in LATER_MIGRATIONS:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (name,))
    for table, column, key in (
        ("evaluations", "scorecard", "stddev"),
        ("runs", "config", "request"),
        ("runs", "config", "requested"),
        ("runs", "result", "weights_sha256"),
    ):
        select = f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608
        rows = connection.execute(select).fetchall()
        for row_id, text in rows:
            older = json.dumps(without(key, json.loads(text)))
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (older, row_id))  # noqa: S608


def give_lease(workspace: Workspace, run: Run, number: float) -> None:
    with closing(sqlite3.connect(workspace.paths.database)) as connection:
        connection.execute("UPDATE runs SET lease_expires = ? WHERE id = ?", (number, run.id))
        connection.commit()


def without(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without(key, held) for name, held in value.items() if name != key}
    return value


def text_of(workspace: Workspace, run: Run) -> str:
    return "".join(chunk.chunk for chunk in workspace.runs.log(run.id).read())


def test_a_workspace_of_the_first_version_is_read_and_continued(
    counting_workspace: Workspace,
) -> None:
    runs = counting_workspace.runs
    good = runs.create("numbers-v1", "counting")
    bad = runs.create("numbers-v1", "counting", {"fail_at": 7})
    for run in (good, bad):
        counting_workspace.worker().execute(run.id)
    lost = runs.create("numbers-v1", "counting", {"steps": 20})
    runs.claim("a worker that died")
    judged = counting_workspace.evaluations.judge(good.id)
    counting_workspace.regressions.set_baseline("released", good.id)
    said = text_of(counting_workspace, bad)
    make_old(counting_workspace)
    # The first version wrote the time of day.
    give_lease(counting_workspace, lost, time.time() + 15)

    with Workspace(counting_workspace.paths.root, counting_workspace.plugins) as workspace:
        found = {run.id: run.status for run in workspace.runs.list()}
        assert found == {good.id: "completed", bad.id: "failed", lost.id: "failed"}
        assert text_of(workspace, bad) == said
        assert "the loss is not a number" in said
        (ranked,) = workspace.evaluations.leaderboard()
        assert (ranked.id, ranked.score, ranked.grade) == (judged.id, judged.score, True)
        assert workspace.evaluations.verdict(ranked) == judged.verdict
        assert not workspace.regressions.check(good.id, "released")[1].regressed
        assert workspace.regressions.check_metric(good.id, "released").verdict == "pass"
        assert workspace.tuning.list() == []
        trace = workspace.traces.list(limit=1).items[0]
        assert workspace.traces.record_score(trace.id).score > 0
        workspace.runs.resume(lost.id)
        assert workspace.worker().execute(lost.id).status == "completed"


def test_a_lease_that_was_counted_otherwise_has_run_out(counting_workspace: Workspace) -> None:
    runs = counting_workspace.runs
    run = runs.create("numbers-v1", "counting")
    claimed = runs.claim("a worker of an earlier version")
    assert claimed is not None
    # By the time of day, by the time since the machine was started, and by that of years.
    for number in (time.time() + 15, time.monotonic() + 15, 86_400.0 * 365):
        assert runs.heartbeat(claimed) == "running"
        give_lease(counting_workspace, run, number)
        assert runs.get(run.id).status == "failed"
