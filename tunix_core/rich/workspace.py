"""A workspace: how much there is, and the newest of everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tunix_core.base.paths import WorkspacePaths
from tunix_core.datasets.files import MANIFEST
from tunix_core.datasets.reading import outline
from tunix_core.evaluation.basis import training_text
from tunix_core.evaluation.leaderboard import Leaderboard
from tunix_core.evaluators import USUAL_JUDGE_FULL
from tunix_core.rich.markup import Html, attempt, estimate, facts, heading, table, whole
from tunix_core.rich.readable import bare, short, when
from tunix_core.rich.runs import status
from tunix_core.store import Store
from tunix_core.store.evaluations import LeaderboardFilters

NEWEST = 5


def workspace_html(paths: WorkspacePaths) -> str:
    """A workspace in a notebook; its database is opened for that and closed again."""
    manifests = _newest_first(paths.datasets)
    where = {"directory": str(paths.root), "datasets": f"{len(manifests):,}"}
    parts = [facts(where.items())]
    if paths.database.exists():
        parts.append(attempt(lambda: _stored(paths)))
    newest = manifests[:NEWEST]
    parts.append(attempt(lambda: _titled("Newest datasets", [_dataset(path) for path in newest])))
    return whole("Workspace", *parts)


def _stored(paths: WorkspacePaths) -> Html:
    """What the database holds."""
    with closing(Store.open(paths.database)) as store:
        parts = [
            attempt(lambda: facts(_counts(store))),
            attempt(lambda: _titled("Newest runs", _runs(store))),
            attempt(lambda: _titled("Leaderboard", _leaderboard(store, paths))),
            attempt(lambda: _titled("Models", _models(store))),
        ]
    return Html("".join(parts))


def _titled(title: str, rows: Sequence[dict[str, Any]]) -> Html:
    return Html(f"{heading(title)}{table(rows)}") if rows else Html()


def _newest_first(datasets: Path) -> list[Path]:
    found = [(path.stat().st_mtime_ns, path) for path in datasets.glob(f"*/{MANIFEST}")]
    return [path for _, path in sorted(found, reverse=True)]


def _dataset(path: Path) -> dict[str, Any]:
    held = outline(path)
    return {
        "dataset": held["dataset_key"],
        "items": f"{held['trace_count']:,}",
        "strategy": held["selection_strategy"],
        "built": when(held["created_at"]),
    }


def _counts(store: Store) -> Iterator[tuple[str, Any]]:
    yield "traces", f"{store.traces.count():,}"
    by_status: dict[str, int] = {}
    for total in store.runs.totals(()):
        by_status[total.status] = by_status.get(total.status, 0) + total.count
    states = ", ".join(f"{count:,} {state}" for state, count in by_status.items())
    yield "runs", f"{sum(by_status.values()):,}" + (f": {states}" if states else "")
    yield "evaluations", f"{store.evaluations.count():,}"
    yield "models", f"{store.models.count():,}"


def _runs(store: Store) -> list[dict[str, Any]]:
    return [
        {
            "run": short(run.id),
            "status": status(run),
            "model": run.model_id,
            "dataset": run.dataset_key,
            "steps": run.result and run.result.steps,
            "loss": run.result and run.result.metrics.get("loss"),
            "created": when(run.created_at),
        }
        for run in store.runs.select({}, NEWEST, 0)
    ]


def _leaderboard(store: Store, paths: WorkspacePaths) -> list[dict[str, Any]]:
    wanted = LeaderboardFilters(evaluator=USUAL_JUDGE_FULL)
    places = Leaderboard(store, paths).places(wanted, NEWEST, 0, with_outdated=False)
    return [
        {
            "rank": place.rank_text,
            "run": short(held.run_id),
            "model": store.runs.select({"id": held.run_id}, 1, 0)[0].model_id,
            "dataset": held.dataset_key,
            "answers": place.group.settings,
            bare(held.evaluator): estimate(held.scorecard.overall),
            "judged": when(held.created_at),
            "": training_text(held),
        }
        for place in places
        for held in (place.evaluation,)
    ]


def _models(store: Store) -> list[dict[str, Any]]:
    families = store.models.artifacts(NEWEST)
    newest = store.models.newest_versions([family.name for family in families])
    return [
        {
            "model": family.name,
            "newest version": newest[family.name].version if family.name in newest else None,
            "changed": when(family.updated_at),
        }
        for family in families
    ]
