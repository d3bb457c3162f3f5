"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunix_generators.families import FAMILIES
from tunix_generators.mix import DevReasoning, MixConfig

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_its_table_shows_every_family_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    expected = []
    for name, family in FAMILIES.items():
        item = DevReasoning(MixConfig(difficulty=1, families=(name,))).item("train", 42, 0)
        expected.append((name, family.category, item.prompt, item.answer))
    assert rows == expected


def test_its_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(first, names)  # noqa: S102 - our own text
    assert f"```text\n{capsys.readouterr().out}```" in TEXT
    exec(second, names)  # noqa: S102 - our own text
    verdicts = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert [ok for _, ok, _ in verdicts] == ["True", "False", "False", "False"]
    assert verdicts[1][2].startswith("does not hold")
    assert verdicts[2][2].startswith("not the step")
