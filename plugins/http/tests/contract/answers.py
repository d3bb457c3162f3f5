"""What tests of several groups send, and what they read out of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2

ITEM_KEYS = {"type", "loc", "msg", "input"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def items(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The validation items of a 422."""
    assert answer.status_code == 422, answer.text
    found: list[dict[str, Any]] = answer.json()["detail"]
    assert isinstance(found, list)
    for item in found:
        assert ITEM_KEYS <= item.keys() <= ITEM_KEYS | {"ctx"}
    return found


def words(answer: httpx2.Response, status: int) -> str:
    """The detail of an error that is said in words."""
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    return detail


def lines(traces: list[Any]) -> str:
    """Traces as NDJSON."""
    return "".join(json.dumps(trace) + "\n" for trace in traces)


def upload(
    client: httpx2.Client, content: str | bytes | Iterator[bytes], source: str, **headers: str
) -> httpx2.Response:
    """Send a file to be ingested."""
    return client.post(
        "/api/datasets/ingest",
        params={"source_name": source},
        content=content,
        headers={**NDJSON, **headers},
    )
