"""Every block of code in every Markdown file works as it stands there."""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest

from tests.documents.blocks import (
    LANGUAGES,
    ROOT,
    Block,
    blocks,
    documents,
    inline_code,
    output_of,
    prose,
    text_of,
)
from tests.documents.elsewhere import ELSEWHERE, FULL, LONG, SMALLER, UNCOMPARED
from tests.documents.stage import Stage
from tunix_core.cli import cli
from tunix_core.codec import trace_from_json
from tunix_core.plugins import Plugins, Selection

# What is run in `make test` comes first: what is shown twice is run where it is shown first.
DOCUMENTS = sorted(documents(), key=lambda document: document in LONG)
# For a command with the sizes of an accelerator, on a CPU.
LITERAL_LIMIT_S = 1800.0


def bare(command: str) -> str:
    """A command without the remark behind it."""
    return command.partition(" # ")[0]


def runs_elsewhere(command: str) -> bool:
    return any(re.fullmatch(entry.command, bare(command)) for entry in ELSEWHERE)


def takes_long(command: str) -> bool:
    return any(re.fullmatch(pattern, bare(command)) for pattern in FULL)


def smaller(command: str) -> str:
    """A command with sizes that take seconds."""
    for pattern, size in SMALLER.items():
        command = re.sub(pattern, size, command)
    return command


def commands(document: str) -> list[str]:
    return [c for b in blocks(document) if b.language == "sh" for c in b.commands]


FIRST_SHOWN = {
    bare(command): block.place
    for document in reversed(DOCUMENTS)
    for block in reversed(blocks(document))
    for command in block.commands
}


def matches(shown: str, actual: str) -> bool:
    """Whether the lines that are shown were printed; ``...`` stands for any number of lines."""
    pattern = "".join(
        "(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in shown.splitlines()
    )
    return re.fullmatch(pattern, actual) is not None


def uncompared(block: Block) -> bool:
    return any(
        block.document == entry.document and block.text.startswith(entry.begins)
        for entry in UNCOMPARED
    )


def with_blocks() -> list[Any]:
    return [
        pytest.param(document, marks=[pytest.mark.full] if document in LONG else [])
        for document in DOCUMENTS
        if blocks(document)
    ]


@pytest.mark.parametrize("document", with_blocks())
def test_what_a_document_shows_works(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is compiled here runs for a moment.
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    stage = Stage(tmp_path) if commands(document) else None
    monkeypatch.chdir(tmp_path)
    shown = blocks(document)
    names: dict[str, Any] = {}
    said: dict[int, str | None] = {}
    for place, block in enumerate(shown):
        said[block.line] = _execute(block, stage, names, tmp_path)
        if block.language == "text" and not uncompared(block):
            source = output_of(shown, place)
            printed = None if source is None else said[source.line]
            assert printed is not None, f"{block.place}: output of nothing that is run here"
            assert matches(block.text, printed), f"{block.place}: printed\n{printed}"


def _execute(
    block: Block, stage: Stage | None, names: dict[str, Any], directory: Path
) -> str | None:
    """Do what a block shows; returns what it prints, or None if it is not run here."""
    if block.file is not None:
        (directory / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, block.place, "exec"), names)  # noqa: S102 - our own
        return printed.getvalue()
    elif block.language == "sh":
        assert stage is not None
        skipped = [
            command
            for command in block.commands
            if runs_elsewhere(command)
            or takes_long(command)
            or FIRST_SHOWN[bare(command)] != block.place
        ]
        printed_lines = [stage.run(smaller(c)) for c in block.commands if c not in skipped]
        return None if skipped else "".join(printed_lines)
    elif block.language == "json":
        data = json.loads(block.text)
        assert "prompt" not in data or trace_from_json(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    return None


def large_commands() -> list[Any]:
    return [
        pytest.param(document, command, id=f"{document}: {command}")
        for document in DOCUMENTS
        for command in dict.fromkeys(commands(document))
        if FIRST_SHOWN[bare(command)].startswith(f"{document}:")
        and not runs_elsewhere(command)
        and (takes_long(command) or smaller(command) != command)
    ]


@pytest.mark.full
@pytest.mark.parametrize(("document", "command"), large_commands())
def test_what_takes_longer_works(document: str, command: str, tmp_path: Path) -> None:
    if "--topology" in command and find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed")
    Stage(tmp_path, limit_s=LITERAL_LIMIT_S).run(command)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_says_what_it_is(document: str) -> None:
    shown = blocks(document)
    fences = re.findall(r"^\s*(?:```|~~~)", text_of(document), re.MULTILINE)
    assert len(fences) == 2 * len(shown)
    assert [b.place for b in shown if b.language not in LANGUAGES] == []


def test_what_is_run_elsewhere_is_shown_and_is_run() -> None:
    shown = [bare(command) for document in DOCUMENTS for command in commands(document)]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for entry in ELSEWHERE:
        assert any(re.fullmatch(entry.command, command) for command in shown), entry.command
        file, _, test = entry.by.partition("::")
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), entry
        else:
            assert re.search(rf"^{file.removeprefix('make ')}:", makefile, re.MULTILINE), entry
    texts = [b for document in DOCUMENTS for b in blocks(document) if b.language == "text"]
    assert sum(map(uncompared, texts)) == len(UNCOMPARED)
    assert set(LONG) <= set(DOCUMENTS)
    for pattern in FULL:
        assert any(re.fullmatch(pattern, command) for command in shown), pattern
    for pattern in SMALLER:
        assert any(re.search(pattern, command) for command in shown), pattern


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_named_exists(document: str) -> None:
    context = click.Context(cli, obj={"plugins": Plugins.discover(Selection())})
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for code in (*inline_code(document), *commands(document)):
        words = code.split()
        if words[0] == "make" and len(words) > 1 and words[1].islower():
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), code
        if words[0] == "tunix-rt":
            _look_up(code, words[1:], cli, context)


def _look_up(code: str, words: list[str], command: click.Command, context: click.Context) -> None:
    """Every group, verb and option of a command that is named in a sentence."""
    known = {"--help", "--json", "--workspace"}
    for word in words:
        if isinstance(command, click.Group) and word.isalpha() and word.islower():
            found = command.get_command(context, word)
            assert found is not None, code
            command = found
        known |= {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        assert option in known, code


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{document}: {target}"


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
