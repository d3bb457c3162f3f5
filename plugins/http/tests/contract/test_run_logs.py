"""The log of a run as server-sent events over a socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from attrs import frozen

from tunix_core import Workspace
from tunix_core.records import TrainingRequest

StartServer = Callable[..., AbstractContextManager[Any]]
Fields = dict[str, str]

LONG = "x" * 50_000 + "\n"


@frozen
class Printing:
    """A run that prints what a test says.

    Args:
        client: Sends requests to a server that has no worker of its own.
        workspace: The server's workspace.
        run_id: The run.
    """

    client: httpx2.Client
    workspace: Workspace
    run_id: str

    def print(self, *lines: str, stream: Any = "stdout") -> None:
        with self.workspace.runs.log(self.run_id).writer() as writer:
            writer.feed(stream, "".join(lines).encode())

    def end(self) -> None:
        self.workspace.runs.cancel(self.run_id)

    @contextmanager
    def events(self, since_seq: int | None = None, **headers: str) -> Iterator[Iterator[Fields]]:
        query = {} if since_seq is None else {"since_seq": str(since_seq)}
        path = f"/api/tunix/runs/{self.run_id}/logs"
        with self.client.stream("GET", path, params=query, headers=headers) as answer:
            assert answer.status_code == 200
            yield parse(answer.iter_lines())

    def all(self, since_seq: int | None = None, **headers: str) -> list[Fields]:
        with self.events(since_seq, **headers) as events:
            return list(events)


def parse(lines: Iterator[str]) -> Iterator[Fields]:
    """Events as their fields, by the rules of the standard that matter here."""
    fields: Fields = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        elif fields:
            yield fields
            fields = {}
    assert not fields


def data(event: Fields) -> Any:
    return json.loads(event["data"])


def named(events: list[Fields], name: str) -> list[Any]:
    return [data(event) for event in events if event.get("event") == name]


@pytest.fixture(scope="module")
def idle_server(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    environment = {"TUNIX_HTTP_WORKERS": "0"}
    with start_server(tmp_path_factory.mktemp("idle"), environment=environment) as started:
        yield started


@pytest.fixture
def printing(idle_server: Any) -> Iterator[Printing]:
    with Workspace(idle_server.workspace) as workspace:
        run = workspace.runs.submit(TrainingRequest(dataset_key="any", model_id="any"))
        yield Printing(idle_server.client, workspace, run.id)


def test_a_run_that_ended_is_told_whole(printing: Printing) -> None:
    printing.print("first\n", "zweite Größe \u2028 😀\n")
    printing.print("third\r\n", stream="stderr")
    printing.end()
    events = printing.all()
    assert events[0] == {"retry": "2000"}
    logs = [event for event in events if event.get("event") == "log"]
    assert [event["id"] for event in logs] == ["1", "2", "3"]
    assert [data(event)["seq"] for event in logs] == [1, 2, 3]
    assert [data(event)["stream"] for event in logs] == ["stdout", "stdout", "stderr"]
    chunks = [data(event)["chunk"] for event in logs]
    assert chunks == ["first\n", "zweite Größe \u2028 😀\n", "third\r\n"]
    assert all(data(event)["created_at"].endswith("Z") for event in logs)
    assert events[-1]["event"] == "status"
    assert data(events[-1]) == {"status": "cancelled"}
    assert len(events) == 5


def test_the_answer_is_an_event_stream_that_nothing_on_the_way_keeps(printing: Printing) -> None:
    printing.end()
    answer = printing.client.get(f"/api/tunix/runs/{printing.run_id}/logs")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("since_seq", [-(2**70), -1, 0, 1, 2, 3, 4, 2**70])
def test_a_reader_goes_on_after_what_it_has(printing: Printing, since_seq: int) -> None:
    printing.print("1\n", "2\n", "3\n")
    printing.end()
    logs = named(printing.all(since_seq), "log")
    assert [log["seq"] for log in logs] == [seq for seq in (1, 2, 3) if seq > since_seq]


def test_the_last_event_id_goes_before_the_query(printing: Printing) -> None:
    printing.print("1\n", "2\n", "3\n")
    printing.end()

    def seen(last_event_id: str, since_seq: int | None) -> list[int]:
        events = printing.all(since_seq, **{"Last-Event-ID": last_event_id})
        return [log["seq"] for log in named(events, "log")]

    assert seen("2", None) == [3]
    assert seen("1", 2) == [2, 3]
    assert seen("", 2) == [3]
    assert seen("no number", 2) == [3]
    assert seen("-1", 2) == [3]
    assert seen("9" * 5000, 2) == [3]


def test_a_since_seq_that_is_no_number_is_refused(printing: Printing) -> None:
    path = f"/api/tunix/runs/{printing.run_id}/logs"
    assert printing.client.get(path, params={"since_seq": "x"}).status_code == 422
    assert printing.client.get("/api/tunix/runs/x/logs").status_code == 422


def test_a_pending_run_is_cancelled_at_once(printing: Printing) -> None:
    path = f"/api/tunix/runs/{printing.run_id}"
    cancelled = printing.client.post(f"{path}/cancel")
    assert cancelled.status_code == 200
    assert set(cancelled.json()) == {"message"}
    shown = printing.client.get(path).json()
    assert shown["status"] == "cancelled"
    assert shown["completed_at"] is not None
    assert "cancelled" in shown["stderr"]
    assert printing.client.get(f"{path}/status").json()["status"] == "cancelled"
    assert printing.client.post(f"{path}/cancel").status_code == 400


def test_an_unknown_run_is_an_error_event(idle_server: Any) -> None:
    answer = idle_server.client.get(f"/api/tunix/runs/{uuid4()}/logs")
    assert answer.status_code == 200
    (event,) = parse(iter(answer.text.splitlines()))
    assert event["event"] == "error"
    assert data(event) == {"error": "Run not found"}


def test_a_reader_sees_lines_as_they_are_printed_and_the_end(printing: Printing) -> None:
    with printing.events() as events:
        assert next(events) == {"retry": "2000"}
        for seq in (1, 2):
            assert data(next(events)) == {"seq": seq - 1}
            printing.print(f"line {seq}\n")
            event = next(events)
            while event["event"] == "heartbeat":
                event = next(events)
            assert (event["id"], data(event)["chunk"]) == (str(seq), f"line {seq}\n")
        printing.print("the last words\n")
        printing.end()
        rest = list(events)
    assert [log["chunk"] for log in named(rest, "log")] == ["the last words\n"]
    assert data(rest[-1]) == {"status": "cancelled"}


def test_heartbeats_come_once_a_second_and_name_the_last_line(printing: Printing) -> None:
    printing.print("1\n")
    with printing.events(since_seq=7) as events:
        next(events)
        started = time.monotonic()
        beats = [next(events) for _ in range(3)]
        seconds = time.monotonic() - started
    assert [(beat["event"], data(beat)) for beat in beats] == [("heartbeat", {"seq": 7})] * 3
    assert seconds > 1.5


def test_a_reader_may_wait_for_lines_far_ahead(printing: Printing) -> None:
    printing.print("1\n", "2\n")
    with printing.events(since_seq=3) as events:
        next(events)
        next(events)
        printing.print("3\n", "4\n")
        event = next(events)
        while event["event"] == "heartbeat":
            event = next(events)
    assert (event["id"], data(event)["chunk"]) == ("4", "4\n")


def test_many_readers_see_the_same(printing: Printing) -> None:
    readers = [printing.events() for _ in range(20)]
    opened = [reader.__enter__() for reader in readers]
    try:
        printing.print(*(f"{number}\n" for number in range(1000)))
        printing.end()
        seen = [
            [event for event in events if event.get("event") != "heartbeat"] for events in opened
        ]
    finally:
        for reader in readers:
            reader.__exit__(None, None, None)
    assert len(seen[0]) == 1002
    assert all(events == seen[0] for events in seen)


def test_any_place_in_a_large_log_is_found(printing: Printing) -> None:
    lines = [LONG if number % 7 == 0 else f"{number}\n" for number in range(1, 701)]
    printing.print(*lines)
    printing.end()
    for since_seq in (0, 1, 6, 7, 120, 150, 151, 333, 699, 700, 701):
        logs = named(printing.all(since_seq), "log")
        assert [log["seq"] for log in logs] == list(range(since_seq + 1, 701))
        assert [log["chunk"] for log in logs] == lines[since_seq:]


def test_what_a_torn_last_line_says_is_left_out(printing: Printing) -> None:
    printing.print("whole\n")
    with printing.workspace.runs.log(printing.run_id).path.open("ab") as file:
        file.write(b'{"stream": "stdout", "chu')
    printing.end()
    assert [log["chunk"] for log in named(printing.all(), "log")] == ["whole\n"]
