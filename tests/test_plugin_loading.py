"""Plugins as they are found and imported, and the page that every hook is on."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunix_core import contributions, hookimpl, hookspecs
from tunix_core.plugins import PluginRecord, Plugins, Selection

Unpacked = Callable[..., PluginRecord]


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unpacked:
    """Discovers one plugin with the given text and metadata; gives its record."""

    def unpacked(text: str, *metadata: str) -> PluginRecord:
        info = tmp_path / "acme_odd-1.0.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: Acme.Odd", "Version: 1.0", *metadata]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text("[tunix_core]\nodd = acme_odd\n")
        (tmp_path / "acme_odd.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        try:
            plugins = Plugins.discover(Selection.parse("acme-odd"))
        finally:
            sys.modules.pop("acme_odd", None)
        return next(r for r in plugins.records if r.distribution == "acme-odd")

    return unpacked


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("def f(:", "SyntaxError: "),
        ("raise ValueError('two\\n lines')", "ValueError: two lines"),
    ],
)
def test_whatever_an_import_raises_costs_one_line(
    unpacked: Unpacked, capsys: pytest.CaptureFixture[str], text: str, error: str
) -> None:
    record = unpacked(text)
    assert record.status == "failed_import"
    assert record.error is not None
    assert record.error.startswith(error)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("tunix-core", "active"),
        ("Tunix.Core>=0.0.1", "active"),
        ("tunix_core (<0.0.1)", "incompatible"),
        ('tunix-core>=99; python_version < "3"', "active"),
        ("tunix-core-extras>=99", "active"),
        ("tunix-core is what it needs", "incompatible"),
    ],
)
def test_compatibility_is_read_from_the_requirements(
    unpacked: Unpacked, requirement: str, status: str
) -> None:
    assert unpacked("", f"Requires-Dist: {requirement}").status == status


def test_what_an_interrupted_installation_left_is_no_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "acme_left-1.0.dist-info"
    left.mkdir()
    (left / "entry_points.txt").write_text("[tunix_core]\nleft = acme_left\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "left" not in {record.name for record in Plugins.discover(Selection()).records}


def hooks() -> list[str]:
    return [name for name, spec in vars(hookspecs).items() if hasattr(spec, "tunix_core_spec")]


def test_the_hooks_are_found() -> None:
    assert len(hooks()) >= 13
    assert all(name.startswith("tunix_") for name in hooks())


@pytest.mark.parametrize("name", hooks())
def test_every_hook_is_documented_with_an_example_that_works(name: str) -> None:
    summary, _, example = (inspect.getdoc(getattr(hookspecs, name)) or "").partition("Example::")
    assert summary.strip().endswith(".")
    names: dict[str, Any] = {**vars(contributions), "acme": SimpleNamespace(hookspecs=hookspecs)}
    names["hookimpl"] = hookimpl
    exec(inspect.cleandoc(example), names)  # noqa: S102 - the text is ours
    takes = inspect.signature(names[name]).parameters
    assert set(takes) <= set(inspect.signature(getattr(hookspecs, name)).parameters)
    if not takes:
        assert len(list(names[name]())) == 1
