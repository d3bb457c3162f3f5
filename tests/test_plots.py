"""``runs plot``: curves in the terminal and in files."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tunix_core import Workspace
from tunix_core.errors import UsageError
from tunix_core.rich.plots import Picture, draw_metric, metric_curves, plot_metric

PLOT = [sys.executable, "-m", "tunix_core.cli", "--workspace", "workspace", "runs", "plot"]
ESCAPE = "\x1b["


@pytest.fixture
def run_ids(counting_workspace: Workspace) -> list[str]:
    """Two runs with a loss at every step; one has a held-out loss at some, the other at one."""
    ids = []
    for every in (20, 60):
        run = counting_workspace.runs.create("numbers-v1", "counting")
        steps: list[dict[str, float]] = [{"step": n, "loss": every / n} for n in range(1, 101)]
        for step in steps[every - 1 :: every]:
            step["eval_loss"] = step["loss"] + 0.5
        steps[-1]["padding"] = float("nan")
        path = counting_workspace.paths.run(run.id) / "metrics.jsonl"
        path.write_text("".join(json.dumps(step) + "\n" for step in steps))
        ids.append(run.id)
    return ids


def plot(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return subprocess.run(
        [*PLOT, *arguments], cwd=folder, env=kept, capture_output=True, text=True, check=False
    )


def test_curves_are_drawn_as_plain_text_off_a_terminal(run_ids: list[str], tmp_path: Path) -> None:
    done = plot(tmp_path, *run_ids)
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout
    assert {len(row) for row in done.stdout.splitlines()} == {80}
    assert re.search(rf"• {run_ids[0][:8]} .*\n.*\n.*\+ {run_ids[1][:8]} ", done.stdout)
    assert re.search(r"\n +20 +40 +60 +80 +100 *\n +step", done.stdout)
    assert plot(tmp_path, *run_ids).stdout == done.stdout


def test_curves_fill_a_terminal_and_have_colours_there(run_ids: list[str], tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 61, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = subprocess.Popen(
        [*PLOT, *run_ids], cwd=tmp_path, env=kept, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    written = b""
    try:
        while part := os.read(screen, 65536):
            written += part
    except OSError:
        pass  # Linux says so that the other end is closed
    os.close(screen)
    assert child.wait(60) == 0
    drawn = written.decode()
    assert ESCAPE in drawn
    rows = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
    assert ({len(row) for row in rows}, len(rows)) == ({61}, 18)


def test_a_metric_of_some_steps_is_drawn(run_ids: list[str], tmp_path: Path) -> None:
    shown = plot(tmp_path, *run_ids, "--metric", "eval_loss").stdout
    assert all(run_id[:8] in shown for run_id in run_ids)
    alone = plot(tmp_path, run_ids[1][:8], "--metric", "eval_loss").stdout
    assert alone.splitlines()[0].strip() == f"eval_loss of {run_ids[1][:8]}"
    assert alone.count("•") == 1


def test_a_metric_that_no_step_has_is_one_line_that_says_which_there_are(
    run_ids: list[str], tmp_path: Path
) -> None:
    for metric in ("lozz", "padding", "step"):
        done = plot(tmp_path, run_ids[0], "--metric", metric)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"error: no step of these runs has a metric '{metric}' "
            "(recorded: eval_loss, loss, padding)\n"
        )


def test_a_run_that_was_named_twice_is_one_curve(
    counting_workspace: Workspace, run_ids: list[str]
) -> None:
    named = [run_ids[0], run_ids[0][:8], run_ids[1]]
    assert list(metric_curves(counting_workspace.runs, named, "loss")) == [
        run_id[:8] for run_id in run_ids
    ]


@pytest.mark.parametrize(
    "points",
    [
        [(1, 0.5)],
        [(1, 0.5), (2, 0.5)],
        [(1, -3.0), (2, 5.0)],
        [(0, 1e-9), (10**7, 3e9)],
        [(n, 1 / n) for n in range(1, 100_001)],
    ],
    ids=["one", "flat", "negative", "wide", "many"],
)
def test_any_curve_can_be_drawn(points: list[tuple[float, float]], tmp_path: Path) -> None:
    drawn = draw_metric({"a": points}, "loss")
    assert drawn.count("•") > 0
    plot_metric({"a": points}, "loss", tmp_path / "a.png")


def test_a_picture_is_written_and_shown_in_notebooks(run_ids: list[str], tmp_path: Path) -> None:
    done = plot(tmp_path, *run_ids, "-o", "loss.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote loss.png\n")
    picture = Picture(tmp_path / "loss.png")
    assert picture._repr_png_().startswith(b"\x89PNG")
    again = plot_metric({"a": [(1, 2.0)]}, "loss", tmp_path / "again.png")
    assert again == Picture(tmp_path / "again.png")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    curve = {"a": [(1, 2.0)]}
    for library in ("plotext", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"plots need plotext \(.*'tunix-core\[plot\]'\)"):
        draw_metric(curve, "loss")
    with pytest.raises(UsageError, match=r"plots need matplotlib \(.*'tunix-core\[plot\]'\)"):
        plot_metric(curve, "loss", tmp_path / "a.png")
