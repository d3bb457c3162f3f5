"""A real browser without a library: Chromium, told what to do over a pair of pipes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu")
WAIT_S = 60.0
LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One tab of a headless Chromium.

    Commands and events are JSON texts that end with a zero byte (the Chrome DevTools Protocol
    over ``--remote-debugging-pipe``), read from descriptor 3 and written to descriptor 4.

    Args:
        profile: An empty directory for what the browser keeps.

    Raises:
        FileNotFoundError: No Chromium is installed.
    """

    def __init__(self, profile: Path) -> None:
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise FileNotFoundError(f"none of {', '.join(NAMES)} is on PATH")
        reads, self._out = os.pipe()
        self._in, writes = os.pipe()
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        # Numbers that are neither 3 nor 4, so that neither is closed before it is copied.
        ours = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, ours), program, *flags],
            pass_fds=ours,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in ours:
            os.close(end)
        os.close(reads)
        os.close(writes)
        self._pending = b""
        self._count = 0
        self._session: str | None = None
        self.problems: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> None:
        """Go to a page and wait until it and its scripts are loaded."""
        self.tell("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, a promise awaited.

        Raises:
            AssertionError: It throws.
        """
        answer = self.tell(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> Any:
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                value = self.run(condition)
            except AssertionError as error:
                # Between two pages there is nothing to look at.
                value = None
                last = str(error)
            else:
                last = repr(value)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"never true: {condition}; at last {last}")

    def look_like(self, width: int, scheme: str) -> None:
        """Take a width in pixels, and ``light`` or ``dark``."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.tell("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.tell(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._out)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            chunk = os.read(self._in, 65536)
            assert chunk, "the browser has ended"
            self._pending += chunk
        text, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        """Keep what went wrong on the page."""
        method, said = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(said["exceptionDetails"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.problems.append(f"{said['entry']['text']} {said['entry'].get('url')}")
