"""The group ``models`` over a socket."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest

from .answers import items, words

StartServer = Callable[..., AbstractContextManager[Any]]

ARTIFACT_FIELDS = {
    "id",
    "name",
    "description",
    "task_type",
    "created_at",
    "updated_at",
    "latest_version",
}
VERSION_FIELDS = {
    "id",
    "artifact_id",
    "version",
    "source_run_id",
    "status",
    "metrics_json",
    "config_json",
    "provenance_json",
    "storage_uri",
    "sha256",
    "size_bytes",
    "created_at",
}


def create(client: httpx2.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/models", json={"name": str(uuid4()), **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def train(client: httpx2.Client, dataset: str, **fields: Any) -> str:
    """Id of a run that completed."""
    wanted = {"dataset_key": dataset, "model_id": "counting", "dry_run": False, **fields}
    answer = client.post("/api/tunix/run", json=wanted)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "completed", answer.text
    return str(answer.json()["run_id"])


def promote(
    client: httpx2.Client, artifact_id: str, run_id: str, label: str | None = None
) -> httpx2.Response:
    wanted = {"source_run_id": run_id, "version_label": label, "description": "good"}
    return client.post(f"/api/models/{artifact_id}/versions/promote", json=wanted)


@pytest.fixture(scope="module")
def run_id(client: httpx2.Client, numbers_dataset: str) -> str:
    """A completed run."""
    return train(client, numbers_dataset)


@pytest.fixture
def version(client: httpx2.Client, run_id: str) -> dict[str, Any]:
    """The first version of a family of its own."""
    answer = promote(client, create(client)["id"], run_id)
    assert answer.status_code == 200, answer.text
    promoted: dict[str, Any] = answer.json()
    return promoted


def test_a_family_is_made_and_read_back(client: httpx2.Client) -> None:
    name = str(uuid4())
    created = create(client, name=name, description="Größe\0", task_type="sums")
    assert created.keys() == ARTIFACT_FIELDS
    assert str(UUID(created["id"])) == created["id"]
    assert created["created_at"].endswith("Z")
    shown = {key: created[key] for key in ("name", "description", "task_type", "latest_version")}
    assert shown == {
        "name": name,
        "description": "Größe\0",
        "task_type": "sums",
        "latest_version": None,
    }
    read = client.get(f"/api/models/{created['id']}")
    assert (read.status_code, read.json()) == (200, created)


def test_what_is_not_said_is_null(client: httpx2.Client) -> None:
    created = create(client)
    assert (created["description"], created["task_type"]) == (None, None)


def test_a_name_is_taken_once(client: httpx2.Client) -> None:
    name = create(client)["name"]
    assert name in words(client.post("/api/models", json={"name": name}), 409)


@pytest.mark.parametrize("name", ["a", ".", "A-1_b.c", "x" * 256])
def test_a_name_at_the_bounds_is_taken(client: httpx2.Client, name: str) -> None:
    assert create(client, name=name)["name"] == name


@pytest.mark.parametrize(
    ("fields", "name", "kind"),
    [
        ({}, "name", "missing"),
        ({"name": ""}, "name", "string_too_short"),
        ({"name": "x" * 257}, "name", "string_too_long"),
        ({"name": "a b"}, "name", "string_pattern_mismatch"),
        ({"name": "a/b"}, "name", "string_pattern_mismatch"),
        ({"name": "a\n"}, "name", "string_pattern_mismatch"),
        ({"name": "a\0"}, "name", "string_pattern_mismatch"),
        ({"name": "ä"}, "name", "string_pattern_mismatch"),
        ({"name": 1}, "name", "string_type"),
        ({"name": "a", "task_type": "t" * 65}, "task_type", "string_too_long"),
        ({"name": "a", "description": []}, "description", "string_type"),
    ],
)
def test_a_family_beyond_the_bounds_is_refused(
    client: httpx2.Client, fields: dict[str, Any], name: str, kind: str
) -> None:
    item = items(client.post("/api/models", json=fields))[0]
    assert (item["loc"], item["type"]) == (["body", name], kind)


def test_families_are_listed_last_changed_first(client: httpx2.Client, run_id: str) -> None:
    first, second = create(client), create(client)
    listed = client.get("/api/models").json()
    assert [model["id"] for model in listed[:2]] == [second["id"], first["id"]]
    version = promote(client, first["id"], run_id).json()
    answer = client.get("/api/models")
    assert answer.status_code == 200
    assert answer.json()[0] == client.get(f"/api/models/{first['id']}").json()
    assert answer.json()[0]["latest_version"] == version
    assert answer.json()[0]["updated_at"] == version["created_at"]
    assert answer.json()[1] == second


def test_a_part_of_the_list_may_be_asked_for(client: httpx2.Client) -> None:
    for _ in range(3):
        create(client)
    everything = client.get("/api/models").json()
    assert client.get("/api/models?limit=2").json() == everything[:2]
    assert client.get("/api/models?limit=100&offset=1").json() == everything[1:101]
    assert client.get("/api/models?offset=2").json() == everything[2:]
    assert client.get(f"/api/models?offset={2**63 - 1}").json() == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", f"offset={2**63}"])
def test_a_part_beyond_the_bounds_is_refused_in_words(client: httpx2.Client, query: str) -> None:
    assert query.partition("=")[0] in words(client.get(f"/api/models?{query}"), 422)


def test_a_part_that_is_no_number_is_refused(client: httpx2.Client) -> None:
    assert items(client.get("/api/models?limit=x&offset=y"))


@pytest.mark.parametrize(
    "path", ["/api/models/{}", "/api/models/versions/{}", "/api/models/versions/{}/download"]
)
def test_what_is_unknown_is_not_found(client: httpx2.Client, path: str) -> None:
    assert "not found" in words(client.get(path.format(uuid4())), 404)
    assert items(client.get(path.format("x")))[0]["type"] == "uuid_parsing"


def test_a_name_that_looks_like_an_id_hides_nothing(
    client: httpx2.Client, version: dict[str, Any]
) -> None:
    shadow = create(client, name=version["artifact_id"])
    assert client.get(f"/api/models/{version['artifact_id']}").json()["id"] != shadow["id"]
    unknown = str(uuid4())
    create(client, name=unknown)
    assert client.get(f"/api/models/{unknown}").status_code == 404
    assert client.get(f"/api/models/versions/{unknown}").status_code == 404


def test_a_run_becomes_a_version(client: httpx2.Client, run_id: str, numbers_dataset: str) -> None:
    artifact = create(client)
    answer = promote(client, artifact["id"], run_id)
    assert answer.status_code == 200, answer.text
    version = answer.json()
    assert version.keys() >= VERSION_FIELDS
    assert version["artifact_id"] == artifact["id"]
    assert (version["version"], version["status"]) == ("v1", "ready")
    assert (version["source_run_id"], version["description"]) == (run_id, "good")
    assert version["provenance_json"]["dataset_key"] == numbers_dataset
    assert len(version["sha256"]) == 64
    files = Path(unquote(urlsplit(version["storage_uri"]).path))
    assert version["storage_uri"].startswith("file:///")
    assert version["size_bytes"] == sum(f.stat().st_size for f in files.iterdir()) > 0
    assert client.get(f"/api/models/versions/{version['id']}").json() == version
    assert client.get(f"/api/models/{artifact['id']}").json()["latest_version"] == version


def test_an_evaluated_run_is_promoted_with_its_scores(
    client: httpx2.Client, numbers_dataset: str
) -> None:
    run_id = train(client, numbers_dataset)
    for _ in range(2):
        answer = client.post(
            f"/api/tunix/runs/{run_id}/evaluate", json={"judge_override": "answer_correctness"}
        )
        assert answer.status_code == 201, answer.text
    version = promote(client, create(client)["id"], run_id)
    assert version.status_code == 200, version.text
    assert version.json()["metrics_json"].keys() == {"answer_correctness"}


def test_the_same_content_is_a_version_once(client: httpx2.Client, run_id: str) -> None:
    artifact_id = create(client)["id"]
    first = promote(client, artifact_id, run_id).json()
    assert promote(client, artifact_id, run_id).json() == first
    labelled = promote(client, artifact_id, run_id, "best")
    assert labelled.status_code == 200
    assert (labelled.json()["version"], labelled.json()["sha256"]) == ("best", first["sha256"])
    assert labelled.json()["id"] != first["id"]


def test_labels_count_on(client: httpx2.Client, run_id: str, numbers_dataset: str) -> None:
    artifact_id = create(client)["id"]
    assert promote(client, artifact_id, run_id, "v7").status_code == 200
    other = train(client, numbers_dataset, settings={"steps": 3})
    assert promote(client, artifact_id, other).json()["version"] == "v8"


@pytest.mark.parametrize("label", ["a", "1.0", "A-b_c.d", "v" * 64])
def test_a_label_at_the_bounds_is_taken(client: httpx2.Client, run_id: str, label: str) -> None:
    answer = promote(client, create(client)["id"], run_id, label)
    assert (answer.status_code, answer.json()["version"]) == (200, label)


@pytest.mark.parametrize("label", ["", ".a", "-a", "_a", "a b", "a/b", "a\n", "ä", "v" * 65])
def test_a_label_beyond_the_bounds_is_refused(
    client: httpx2.Client, run_id: str, label: str
) -> None:
    [item] = items(promote(client, create(client)["id"], run_id, label))
    assert (item["loc"], item["type"]) == (["body", "version_label"], "string_pattern_mismatch")


def test_what_cannot_be_promoted_is_refused(
    client: httpx2.Client, run_id: str, numbers_dataset: str
) -> None:
    artifact_id = create(client)["id"]
    assert "not found" in words(promote(client, str(uuid4()), run_id), 400)
    assert "not found" in words(promote(client, artifact_id, str(uuid4())), 400)
    wanted = {"dataset_key": numbers_dataset, "model_id": "counting", "dry_run": True}
    dry = client.post("/api/tunix/run", json=wanted).json()["run_id"]
    words(promote(client, artifact_id, dry), 400)
    failed = client.post(
        "/api/tunix/run", json={**wanted, "dry_run": False, "settings": {"fail_at": 2}}
    ).json()
    assert failed["status"] == "failed"
    assert "failed" in words(promote(client, artifact_id, failed["run_id"]), 400)


def test_a_label_names_one_content(
    client: httpx2.Client, run_id: str, numbers_dataset: str
) -> None:
    artifact_id = create(client)["id"]
    assert promote(client, artifact_id, run_id, "best").status_code == 200
    other = train(client, numbers_dataset, settings={"steps": 4})
    assert "best" in words(promote(client, artifact_id, other, "best"), 400)
    # Not even for the same content, which has it already.
    assert "best" in words(promote(client, artifact_id, run_id, "best"), 400)


def test_promoting_needs_a_run(client: httpx2.Client) -> None:
    path = f"/api/models/{create(client)['id']}/versions/promote"
    assert items(client.post(path, json={}))[0]["loc"] == ["body", "source_run_id"]
    assert items(client.post(path, json={"source_run_id": "x"}))[0]["type"] == "uuid_parsing"
    assert items(client.post("/api/models/x/versions/promote", json={}))


def download(client: httpx2.Client, version: dict[str, Any], **headers: str) -> httpx2.Response:
    address = f"/api/models/versions/{version['id']}/download"
    return client.get(address, headers={key.replace("_", "-"): v for key, v in headers.items()})


def test_a_version_is_downloaded_as_a_zip_file(
    client: httpx2.Client, version: dict[str, Any]
) -> None:
    answer = download(client, version)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    name = f"{version['artifact_id']}_{version['version']}.zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["last-modified"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["answer.json"]
        assert json.loads(archive.read("answer.json")).keys() == {"answer", "counts", "echo"}


def test_a_download_can_be_resumed(client: httpx2.Client, version: dict[str, Any]) -> None:
    whole = download(client, version)
    tag = whole.headers["etag"]
    rest = download(client, version, Range="bytes=10-", If_Range=tag)
    assert rest.status_code == 206
    assert whole.content[:10] + rest.content == whole.content
    changed = download(client, version, Range="bytes=10-", If_Range='"other"')
    assert (changed.status_code, changed.content) == (200, whole.content)
    beyond = download(client, version, Range=f"bytes={len(whole.content)}-")
    words(beyond, 416)
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    words(download(client, version, Range="lines=1"), 400)


def test_a_download_leaves_nothing_behind(start_server: StartServer, tmp_path: Path) -> None:
    registry, temporary = tmp_path / "registry", tmp_path / "temporary"
    temporary.mkdir()
    environment = {"MODEL_REGISTRY_PATH": str(registry), "TMPDIR": str(temporary)}
    with start_server(tmp_path, environment=environment) as server:
        version = _promoted(server.client)
        answers = [download(server.client, version) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert list(temporary.iterdir()) == []
    # The setting says where versions are kept.
    assert str(registry) in version["storage_uri"]
    assert any(registry.rglob("answer.json"))


def test_files_that_are_gone_or_changed_are_not_downloaded(
    start_server: StartServer, tmp_path: Path
) -> None:
    registry = tmp_path / "registry"
    with start_server(tmp_path, environment={"MODEL_REGISTRY_PATH": str(registry)}) as server:
        version = _promoted(server.client)
        [stored] = registry.rglob("answer.json")
        stored.chmod(0o644)
        stored.write_text("{}")
        changed = words(download(server.client, version), 500)
        stored.parent.chmod(0o755)
        shutil.rmtree(stored.parent)
        gone = words(download(server.client, version), 404)
        read = server.client.get(f"/api/models/versions/{version['id']}")
    assert str(tmp_path) not in changed + gone
    assert read.status_code == 200
    assert read.json()["storage_uri"].startswith("registry://")


def _promoted(client: httpx2.Client) -> dict[str, Any]:
    """A version on a new server."""
    lines = json.dumps(
        {
            "trace_version": "1",
            "prompt": "?",
            "final_answer": "!",
            "steps": [{"i": 0, "type": "t", "content": "c"}],
        }
    )
    sent = client.post(
        "/api/datasets/ingest?source_name=a",
        content=lines,
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert sent.status_code == 201
    wanted = {"dataset_name": "a", "dataset_version": "1"}
    assert client.post("/api/datasets/build", json=wanted).status_code == 201
    answer = promote(client, create(client)["id"], train(client, "a-1"))
    assert answer.status_code == 200, answer.text
    version: dict[str, Any] = answer.json()
    return version
