"""Chromium, driven by Playwright, and what goes wrong on the pages it shows."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 60.0
DRAWN = "[...document.querySelectorAll('.chart')].every((chart) => chart.data)"
CALL = """async ([name, given]) => {
  const client = await import("/static/client.js");
  const answer = await client[name](...given);
  return answer instanceof Blob ? [...new Uint8Array(await answer.arrayBuffer())] : answer;
}"""
REFUSAL = """async ([name, given]) => {
  const client = await import("/static/client.js");
  try {
    await client[name](...given);
  } catch (error) {
    const { name, status, message, detail } = error;
    return { name, status, message, detail, isError: error instanceof Error };
  }
}"""


# Playwright keeps what it makes of a method as an attribute of its object.
@define(slots=False, eq=False)
class Tab:
    """A tab of the browser that remembers everything that goes wrong in it.

    Args:
        page: The tab, as Playwright has it.
        url: The server.
        problems: Errors on the console, exceptions, requests that failed or were refused.
    """

    page: Page
    url: str
    problems: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("response", self._note_answer)

    def open(self, path: str) -> None:
        """Go to a page of the server and wait until its charts are drawn."""
        self.page.goto(self.url + path)
        self.until(DRAWN)

    def until(self, script: str) -> Any:
        """Wait until an expression is true; its value.

        Playwright's own ``wait_for_function`` needs ``eval``, which the page forbids.
        """
        from playwright.sync_api import Error

        deadline = time.monotonic() + WAIT_S
        last: Any = None
        while time.monotonic() < deadline:
            try:
                last = self.page.evaluate(script)
            except Error as error:
                # Between two pages there is nothing to look at.
                last = error
            else:
                if last:
                    return last
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never true: {script}; at last {last!r}")

    def call(self, name: str, *given: Any) -> Any:
        """What a function of ``client.js`` returns; a file as its bytes."""
        answer = self.page.evaluate(CALL, [name, list(given)])
        is_file = isinstance(answer, list) and bool(answer) and isinstance(answer[0], int)
        return bytes(answer) if is_file else answer

    def call_refused(self, name: str, *given: Any) -> dict[str, Any]:
        """The error that a function of ``client.js`` throws."""
        refusal: dict[str, Any] = self.page.evaluate(REFUSAL, [name, list(given)])
        self.forgive(refusal["status"])
        return refusal

    def forgive(self, status: int) -> None:
        """Forget the answers with a status that a test asked for.

        Raises:
            AssertionError: There was none.
        """
        asked = re.compile(rf"(refused:|status of) {status}\b")
        kept = [problem for problem in self.problems if not asked.search(problem)]
        assert kept != self.problems, f"no answer had status {status}"
        self.problems[:] = kept

    def look_like(self, width: int, scheme: Literal["light", "dark"]) -> None:
        """Take a width in pixels, and a colour scheme."""
        self.page.set_viewport_size({"width": width, "height": 844 if width < 600 else 900})
        self.page.emulate_media(color_scheme=scheme)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _note_failure(self, request: Request) -> None:
        # What a page is still reading when it is left is given up by the browser itself.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"failed: {request.url}: {request.failure}")

    def _note_answer(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"refused: {response.status} {response.url}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium.

    Raises:
        FileNotFoundError: None is installed.
    """
    from playwright.sync_api import expect, sync_playwright

    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise FileNotFoundError(f"none of {', '.join(NAMES)} is on PATH")
    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
