"""Requests made from the OpenAPI document find no answer that the document does not promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CASES = 5_000
# Enough examples per operation for that many requests, with the cases of the other phases.
EXAMPLES = 150

pytest.importorskip("schemathesis")


@pytest.mark.full
def test_five_thousand_generated_requests_pass_every_check(server: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            *("--config-file", str(HERE / "schemathesis.toml")),
            "run",
            f"{server.url}/openapi.json",
            *("--checks", "all", "--seed", "1", "--max-examples", str(EXAMPLES)),
            *("--continue-on-failure", "--request-timeout", "60", "--no-color"),
            *("--generation-database", "none", "--report", "json"),
            *("--report-json-path", str(report)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert server.process.poll() is None
    assert server.client.get("/api/health").status_code == 200
    assert json.loads(report.read_text())["test_cases"]["generated"] >= CASES
