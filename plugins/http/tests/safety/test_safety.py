"""Who is let in, and what every answer carries."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tunix_http.guards.hosts import AllowedHosts
from tunix_http.guards.request_body import stream_body_to_file

if TYPE_CHECKING:
    from .conftest import Answer, ServeApp, Served

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - opens nothing
PAGE_ORIGIN = b"Origin: http://localhost:5173"
BEARER = b"Authorization: Bearer " + TOKEN.encode()


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    return str(json.loads(answer.body)["detail"])


# Hosts.


@pytest.mark.parametrize("host", [b"127.0.0.1", b"localhost:1", b"LocalHost", b"[::1]:80"])
def test_names_of_this_machine_are_served(host: bytes, served: Served) -> None:
    assert served.ask(b"GET /api/health", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8000",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"evil.example@127.0.0.1",
        b"localhost:80:80",
        b"localhost.",
        b"192.0.2.1",
        b"\xff",
    ],
)
def test_a_name_that_was_pointed_at_this_machine_is_not_served(host: bytes, served: Served) -> None:
    answer = served.ask(b"GET /api/health", host=host)
    assert answer.status == 421
    assert "Host" in detail(answer)


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n"])
def test_exactly_one_host_has_to_be_named(hosts: bytes, served: Served) -> None:
    answer = served.send(b"GET /api/health HTTP/1.1\r\nConnection: close\r\n" + hosts + b"\r\n")
    assert answer.status == 400
    assert "Host" in detail(answer)


def test_further_hosts_are_a_setting(serve_app: ServeApp) -> None:
    with serve_app(allowed_hosts=["Lab.example", "other.example:81"]) as served:
        for host, status in (
            (b"lab.example", 200),
            (b"lab.example:9", 200),
            (b"sub.lab.example", 421),
            (b"other.example:81", 200),
            (b"other.example:82", 421),
            (b"other.example", 421),
        ):
            assert served.ask(b"GET /api/health", host=host).status == status, host


@given(st.binary(), st.booleans())
def test_no_host_but_the_allowed_is_ever_served(host: bytes, twice: bool) -> None:
    hosts = AllowedHosts("127.0.0.1", [])
    name = re.sub(r":\d+$", "", host.decode("latin-1").lower())
    for _ in range(1 + twice):
        served = hosts.includes(host, "192.0.2.7")
        assert not served or name in {"localhost", "127.0.0.1", "[::1]", "192.0.2.7"}


def test_the_address_that_was_connected_to_needs_no_setting() -> None:
    hosts = AllowedHosts("0.0.0.0", [])  # noqa: S104 - the case in question
    assert hosts.includes(b"192.0.2.7:8000", "192.0.2.7")
    assert hosts.includes(b"[2001:db8::1]:8000", "2001:db8::1")
    assert not hosts.includes(b"192.0.2.8:8000", "192.0.2.7")


# Origins.


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"http://127.0.0.1:1"])
def test_a_foreign_page_changes_nothing(method: bytes, origin: bytes, served: Served) -> None:
    answer = served.ask(method + b" /api/echo\r\nOrigin: " + origin)
    assert answer.status == 403
    assert "Origin" in detail(answer)
    assert "access-control-allow-origin" not in answer.headers


def test_a_foreign_page_cannot_read_either(served: Served) -> None:
    answer = served.ask(b"GET /api/health\r\nOrigin: http://evil.example")
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_page_may_change_things(served: Served) -> None:
    answer = served.ask(b"POST /api/echo\r\nOrigin: http://" + served.host)
    assert answer.status == 200


def test_a_page_of_the_contract_may_ask_with_credentials(served: Served) -> None:
    for head in (b"POST /api/echo\r\n", b"GET /api/health\r\n", b"GET /nowhere\r\n"):
        answer = served.ask(head + PAGE_ORIGIN)
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"


def test_a_page_of_the_contract_is_told_what_it_may_send(served: Served) -> None:
    ask = b"\r\nAccess-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: X-Any"
    answer = served.ask(b"OPTIONS /api/echo\r\n" + PAGE_ORIGIN + ask)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert answer.headers["access-control-allow-headers"] == "X-Any"
    assert answer.headers["access-control-max-age"] == "600"
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert served.ask(b"OPTIONS /api/echo\r\nOrigin: http://evil.example" + ask).status == 400


def test_answers_differ_by_origin_for_caches(served: Served) -> None:
    assert served.ask(b"GET /api/health").headers["vary"] == "Origin"


# The token.


def test_without_the_token_there_is_only_health(serve_app: ServeApp) -> None:
    with serve_app(token=TOKEN) as served:
        assert served.ask(b"GET /api/health").status == 200
        for head in (
            b"GET /",
            b"POST /api/echo",
            b"GET /nowhere",
            b"GET /api/health/",
            b"GET /api/echo\r\nAuthorization: Bearer " + TOKEN[:-1].encode(),
            b"GET /api/echo\r\nAuthorization: Bearer",
            b"GET /api/echo\r\nAuthorization: Basic " + TOKEN.encode(),
            b"GET /api/echo\r\nCookie: tunix_session=" + TOKEN.encode(),
            b"GET /api/echo\r\nCookie: tunix_session=\xff",
            b"GET /api/echo?token=" + TOKEN.encode(),
        ):
            answer = served.ask(head)
            assert answer.status == 401, head
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "token" in detail(answer)
        assert served.ask(b"POST /api/echo\r\n" + BEARER).status == 200


def test_a_page_of_the_contract_learns_that_a_token_is_needed(serve_app: ServeApp) -> None:
    with serve_app(token=TOKEN) as served:
        preflight = b"\r\nAccess-Control-Request-Method: POST"
        assert served.ask(b"OPTIONS /api/echo\r\n" + PAGE_ORIGIN + preflight).status == 200
        refused = served.ask(b"POST /api/echo\r\n" + PAGE_ORIGIN)
        assert refused.status == 401
        assert refused.headers["access-control-allow-origin"] == "http://localhost:5173"


def test_a_browser_signs_in_once(serve_app: ServeApp) -> None:
    with serve_app(token=TOKEN) as served:
        answer = served.ask(f"GET /page/a%20b?x=1&token={TOKEN}&y=%26".encode())
        assert answer.status == 303
        assert answer.headers["location"] == "/page/a%20b?x=1&y=%26"
        cookie, *properties = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(properties)
        assert TOKEN not in cookie
        assert served.ask(b"GET /page/a%20b\r\nCookie: " + cookie.encode()).status == 200
        assert served.ask(b"GET /?token=wrong\r\nCookie: " + cookie.encode()).status == 401


@pytest.mark.parametrize("path", [b"//evil.example/", b"/%2Fevil.example", b"/\\evil.example"])
def test_signing_in_leads_to_no_other_host(path: bytes, serve_app: ServeApp) -> None:
    with serve_app(token=TOKEN) as served:
        answer = served.ask(b"GET " + path + b"?token=" + TOKEN.encode())
        # A path may also be refused before it gets that far.
        assert answer.status in (303, 400)
        assert re.match(r"/[^/\\]", answer.headers.get("location", "/x"))


# Headers.


def test_a_page_runs_no_script_but_ours_and_is_shown_in_no_frame(served: Served) -> None:
    headers = served.ask(b"GET /").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["default-src"] == "'none'"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_what_the_api_says_is_kept_nowhere(served: Served) -> None:
    for head in (b"GET /api/health", b"POST /api/echo\r\nOrigin: http://evil.example"):
        headers = served.ask(head).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_request_keeps_its_id_or_gets_one(served: Served) -> None:
    given_id = served.ask(b"GET /api/health\r\nX-Request-ID: a.B_7-x").headers["x-request-id"]
    assert given_id == "a.B_7-x"
    fresh = set()
    for unusable in (b"", b"two words", b"x" * 65, b'"quoted"', b"\xe9"):
        answer = served.ask(b"GET /api/health\r\nX-Request-ID: " + unusable)
        fresh.add(answer.headers["x-request-id"])
    assert len(fresh) == 5
    assert all(re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", found) for found in fresh)


# The logs.


def test_every_request_has_a_line_without_its_query(served: Served) -> None:
    before = served.position()
    answer = served.ask(b"GET /page/%22%0A?token=" + TOKEN.encode() + b"\r\nX-Request-ID: one")
    served.ask(b"GET /api/health", host=b"evil.example")
    first, second = served.lines_after(before, 2)
    assert {key: first[key] for key in ("request_id", "method", "path", "status", "bytes")} == {
        "request_id": "one",
        "method": "GET",
        "path": '/page/"\n',
        "status": 200,
        "bytes": len(answer.body),
    }
    assert first["client"] == "127.0.0.1"
    assert first["ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert second["status"] == 421


def test_a_failure_is_told_to_the_log_alone(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer = served.ask(b"GET /api/fail\r\nX-Request-ID: the-one")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-request-id"] == "the-one"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "the-one" in record.getMessage()
    assert "on purpose" in caplog.text


def test_every_answer_is_observed(serve_app: ServeApp) -> None:
    with serve_app() as served:
        served.ask(b"GET /api/health")
        served.ask(b"GET /api/fail")
        served.ask(b"POST /api/echo\r\nOrigin: http://evil.example")
    assert served.seen == [("GET", 200), ("GET", 500), ("POST", 403)]


# Bodies.


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def post(path: bytes, rest: bytes, served: Served) -> Any:
    head = b"POST %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n" % (path, served.host)
    return served.send(head + rest)


@pytest.mark.parametrize("path", [b"/api/echo", b"/api/upload"])
def test_a_body_is_counted_whatever_it_says_of_its_size(path: bytes, served: Served) -> None:
    line = b"x" * 999 + b"\n"
    fits, exceeds = line * 100, line * 100 + b"x"
    for body, status in ((fits, 200), (exceeds, 413)):
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        assert post(path, length + body, served).status == status
        pieces = chunked(body[:40_000], body[40_000:])
        answer = post(path, b"Transfer-Encoding: chunked\r\n\r\n" + pieces, served)
        assert answer.status == status
    assert "exceeds maximum" in answer.body.decode()


def test_a_length_that_is_no_number_is_refused(served: Served) -> None:
    for length in (b"ten", b"-1", b"1.0", b"1" * 100, b"4, 5"):
        answer = post(b"/api/echo", b"Content-Length: %b\r\n\r\nbody" % length, served)
        assert answer.status in (400, 413), length
        assert detail(answer)


def test_an_upload_is_written_and_one_that_fails_leaves_nothing(served: Served) -> None:
    lines = b"".join(b"%d\n" % number for number in range(1000))
    assert served.ask(b"POST /api/upload", lines).body == b"%d" % len(lines)
    assert (served.folder / "upload").read_bytes() == lines
    answer = served.ask(b"POST /api/upload", b"short\n" + b"x" * 1001)
    assert answer.status == 413
    assert b"line 2 exceeds maximum" in answer.body
    assert not (served.folder / "upload").exists()
    assert served.ask(b"POST /api/upload", b"x" * 1000 + b"\n" + b"x" * 1000).status == 200


@given(st.lists(st.text("x\n", min_size=1).map(str.encode)), st.integers(0, 8))
def test_a_line_is_as_long_as_it_is_however_it_arrives(pieces: list[bytes], longest: int) -> None:
    arriving = [
        *({"type": "http.request", "body": piece, "more_body": True} for piece in pieces),
        {"type": "http.request", "body": b"", "more_body": False},
    ]

    async def receive() -> Any:
        return arriving.pop(0)

    text = b"".join(pieces)
    long = [number for number, line in enumerate(text.split(b"\n"), start=1) if len(line) > longest]
    with TemporaryDirectory() as folder:
        target = Path(folder) / "upload"
        request = Request({"type": "http", "headers": []}, receive)
        sending = stream_body_to_file(request, target, 1000, longest)
        if long:
            with pytest.raises(HTTPException, match=f"line {long[0]} exceeds maximum"):
                asyncio.run(sending)
            assert not target.exists()
        else:
            assert asyncio.run(sending) == len(text)
            assert target.read_bytes() == text
