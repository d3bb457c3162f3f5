"""``client.js`` in a real browser: every operation, against the running server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from .browser import Tab
from .conftest import Filled

pytestmark = pytest.mark.full

UPLOAD = """async (lines) => {
  const client = await import("/static/client.js");
  return client.ingestDataset(new Blob([lines]), { source_name: "browser" });
}"""
FOLLOW = """([run, since]) => new Promise(async (done) => {
  const client = await import("/static/client.js");
  const seen = [];
  client.streamRunLogs(run, {
    log: ({ seq, chunk }) => seen.push([seq, chunk]),
    status: ({ status }) => done({ seen, status }),
  }, { since_seq: since });
})"""
# Arguments, and where on the server the answer is; {names} stand for what is on it.
READS: dict[str, tuple[list[Any], str]] = {
    "getApiHealth": ([], "/api/health"),
    "getRediHealth": ([], "/api/redi/health"),
    "listTraces": ([{"limit": 3, "offset": 1}], "/api/traces?limit=3&offset=1"),
    "compareTraces": (
        ["{trace}", "{other_trace}"],
        "/api/traces/compare?base={trace}&other={other_trace}",
    ),
    "getTrace": (["{trace}"], "/api/traces/{trace}"),
    "getUngarStatus": ([], "/api/ungar/status"),
    "exportHighCardDuel": ([{"limit": 2}], "/api/ungar/high-card-duel/export.jsonl?limit=2"),
    "exportDataset": (
        ["{dataset}", {"format": "training_example"}],
        "/api/datasets/{dataset}/export.jsonl?format=training_example",
    ),
    "getTunixStatus": ([], "/api/tunix/status"),
    "listRuns": ([{"status": "completed", "limit": 1}], "/api/tunix/runs?status=completed&limit=1"),
    "getRun": (["{run}"], "/api/tunix/runs/{run}"),
    "getRunStatus": (["{run}"], "/api/tunix/runs/{run}/status"),
    "listRunArtifacts": (["{run}"], "/api/tunix/runs/{run}/artifacts"),
    "downloadRunArtifact": (
        ["{run}", "model/answer.json"],
        "/api/tunix/runs/{run}/artifacts/model/answer.json/download",
    ),
    "getRunMetrics": (["{run}", {"since": 5}], "/api/tunix/runs/{run}/metrics?since=5"),
    "getRunEvaluation": (["{run}"], "/api/tunix/runs/{run}/evaluation"),
    "listEvaluations": ([{"limit": 1}], "/api/tunix/evaluations?limit=1"),
    "listTuningJobs": ([], "/api/tuning/jobs"),
    "getTuningJob": (["{job}"], "/api/tuning/jobs/{job}"),
    "listModels": ([{"limit": 1}], "/api/models?limit=1"),
    "getModel": (["{model_id}"], "/api/models/{model_id}"),
    "getModelVersion": (["{version}"], "/api/models/versions/{version}"),
    "downloadModelVersion": (["{version}"], "/api/models/versions/{version}/download"),
}
# These are read by tests of their own: one never says the same twice, one does not end by itself.
READ_OTHERWISE = {"getMetrics", "streamRunLogs"}


@pytest.fixture
def page(tab: Tab) -> Tab:
    tab.open("/docs")
    return tab


@pytest.fixture(scope="module")
def held(client: httpx2.Client, names: Mapping[str, str]) -> dict[str, str]:
    """What the arguments and addresses are filled in with."""
    models = client.get("/api/models").json()
    (model,) = [one for one in models if one["name"] == names["model"]]
    version = client.get(f"/api/models/{model['id']}").json()["latest_version"]
    return {**names, "model_id": model["id"], "version": version["id"]}


def test_there_is_a_function_for_every_operation_and_little_else(
    page: Tab, client: httpx2.Client
) -> None:
    kinds = page.page.evaluate(
        "import('/static/client.js').then((client) =>"
        " Object.fromEntries(Object.entries(client).map(([name, one]) => [name, typeof one])))"
    )

    methods = client.get("/openapi.json").json()["paths"].values()
    reads = {held["get"]["operationId"] for held in methods if "get" in held}
    every = {one["operationId"] for held in methods for one in held.values()}
    assert kinds == dict.fromkeys(every | {"fetchJSON", "ApiError"}, "function")
    assert set(READS) | READ_OTHERWISE == reads


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_what_the_server_says(
    page: Tab, client: httpx2.Client, held: Mapping[str, str], name: str
) -> None:
    given, address = READS[name]

    said = page.call(name, *[_fill(one, held) for one in given])

    answer = client.get(address.format(**held))
    assert answer.status_code == 200
    if isinstance(said, bytes):
        assert said == answer.content
    else:
        assert said == (answer.text if isinstance(said, str) else answer.json())


def test_health_can_be_asked_for_by_its_path_too(page: Tab) -> None:
    assert page.call("fetchJSON", "/api/health") == {"status": "healthy"}


def test_the_figures_of_the_server_are_text(page: Tab) -> None:
    assert page.call("getMetrics").startswith("# HELP ")


def test_a_log_is_followed_to_its_end_from_where_it_is_known(
    page: Tab, client: httpx2.Client, numbers_dataset: str
) -> None:
    dry = {"dataset_key": numbers_dataset, "model_id": "x", "dry_run": True}
    run = client.post("/api/tunix/run", json=dry).json()

    whole = page.page.evaluate(FOLLOW, [run["run_id"], None])
    rest = page.page.evaluate(FOLLOW, [run["run_id"], 1])

    assert "".join(chunk for _, chunk in whole["seen"]) == run["stdout"]
    assert [seq for seq, _ in whole["seen"]] == list(range(1, len(whole["seen"]) + 1))
    assert rest["seen"] == whole["seen"][1:] != []
    assert whole["status"] == rest["status"] == "completed"


def test_traces_are_stored_scored_and_made_into_a_dataset(
    page: Tab, make_trace: Callable[..., dict[str, Any]]
) -> None:
    made = page.call("createTrace", make_trace(41))
    batch = page.call("createTracesBatch", [make_trace(42), make_trace(43)])
    lines = [json.dumps(make_trace(44)), '{"no": "trace"}']
    sent = page.page.evaluate(UPLOAD, "\n".join(lines))

    assert page.call("getTrace", made["id"])["payload"]["final_answer"] == "42"
    assert batch["created_count"] == 2
    assert page.call("scoreTrace", made["id"])["score"] > 0
    assert (sent["ingested_count"], sent["rejected_count"]) == (1, 1)
    duel = {"count": 2, "seed": 3, "persist": False}
    assert len(page.call("generateHighCardDuel", duel)["preview"]) == 2
    wanted = {"dataset_name": "from", "dataset_version": "browser", "limit": 2}
    key = page.call("buildDataset", wanted)["dataset_key"]
    assert key == "from-browser"
    assert page.call("exportSft", {"dataset_key": key}).count("\n") == 2
    manifest = {"dataset_key": key, "model_id": "x", "output_dir": "out"}
    assert "model_id" in page.call("createSftManifest", manifest)["manifest_yaml"]


def test_a_run_goes_all_the_way_to_a_promoted_version(page: Tab, filled: Filled) -> None:
    wanted = {
        "dataset_key": filled.dataset,
        "model_id": "x",
        "dry_run": False,
        "settings": {"steps": 4},
    }
    run = page.call("startRun", wanted)["run_id"]

    judged = page.call("evaluateRun", run, {})
    baseline = {"name": "of the browser", "run_id": run, "metric": "score"}
    page.call("createRegressionBaseline", baseline)
    checked = page.call("checkRegression", {"run_id": run, "baseline_name": "of the browser"})
    model = page.call("createModel", {"name": "made-in-the-browser"})
    version = page.call("promoteModelVersion", model["id"], {"source_run_id": run})

    assert page.call("getRunEvaluation", run)["evaluation_id"] == judged["evaluation_id"]
    assert (checked["verdict"], checked["delta"]) == ("pass", 0)
    assert page.call("downloadModelVersion", version["id"])[:2] == b"PK"


def test_a_run_is_started_without_waiting_and_cancelled(page: Tab, filled: Filled) -> None:
    slow = {
        "dataset_key": filled.dataset,
        "model_id": "x",
        "dry_run": False,
        "settings": {"steps": 900, "step_seconds": 0.1},
    }
    run = page.call("startRun", slow, {"mode": "async"})["run_id"]

    page.call("cancelRun", run)

    assert page.page.evaluate(FOLLOW, [run, None])["status"] == "cancelled"


def test_a_tuning_job_is_created_and_started(page: Tab, filled: Filled) -> None:
    job = page.call(
        "createTuningJob",
        {
            "name": "from the browser",
            "dataset_key": filled.dataset,
            "base_model_id": "x",
            "metric_name": "loss",
            "metric_mode": "min",
            "num_samples": 1,
            "search_space": {"steps": {"type": "choice", "values": [3]}},
        },
    )

    started = page.call("startTuningJob", job["id"])

    assert (job["status"], started["status"]) == ("created", "running")


def test_a_refusal_is_an_error_with_its_status_and_detail(page: Tab) -> None:
    missing = page.call_refused("getTrace", "00000000-0000-4000-8000-000000000000")
    assert (missing["name"], missing["status"], missing["isError"]) == ("ApiError", 404, True)
    assert missing["message"] == missing["detail"]
    assert "not found" in missing["message"]

    invalid = page.call_refused("createTrace", {})
    assert invalid["status"] == 422
    assert {"prompt", "steps"} <= {item["loc"][-1] for item in invalid["detail"]}
    assert "prompt: " in invalid["message"]


def test_an_overwritten_client_is_noticed_on_every_page(tab: Tab) -> None:
    other = "export const getApiHealth = 1;"
    tab.page.route(
        "**/client.js", lambda route: route.fulfill(body=other, content_type="text/javascript")
    )

    tab.page.goto(f"{tab.url}/runs")
    tab.until("document.readyState === 'complete'")
    tab.page.wait_for_timeout(200)

    (problem,) = tab.problems
    assert "does not provide an export named" in problem
    tab.problems.clear()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('a fault')", "console: a fault"),
        ("setTimeout(() => { throw new Error('a fault'); })", "exception: a fault"),
        ("fetch('/nope')", "refused: 404"),
    ],
)
def test_what_goes_wrong_on_a_page_is_noticed(tab: Tab, script: str, problem: str) -> None:
    tab.open("/docs")

    tab.page.evaluate(f"() => {{ {script} }}")
    tab.page.wait_for_timeout(200)

    assert any(held.startswith(problem) for held in tab.problems)
    tab.problems.clear()


def _fill(given: Any, held: Mapping[str, str]) -> Any:
    return given.format(**held) if isinstance(given, str) else given
