"""The Markdown files of the repository, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent.parent
LANGUAGES = ("json", "python", "sh", "text", "toml")
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# A block whose first line names a file is that file.
FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")


@frozen
class Block:
    """A fenced block.

    Args:
        document: Path of the file from the root of the repository.
        line: Line of its first fence, from 1.
        language: Its tag.
        text: What stands in it.
        heading: The heading that it stands below.
    """

    document: str
    line: int
    language: str
    text: str
    heading: str

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str | None:
        """Name of the file that it is, if it is one."""
        named = FILE.match(self.text)
        return named.group(1) if named else None

    @property
    def commands(self) -> list[str]:
        """The commands of a block for the shell, those of several lines in one."""
        lines = (line.strip() for line in self.text.replace("\\\n", " ").splitlines())
        return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def documents() -> list[str]:
    """Every Markdown file of the repository, by its path from the root."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    built = re.compile(r"\..*|build|dist|.*workspace|.*\.egg-info")
    return sorted(str(p) for p in found if not any(built.fullmatch(part) for part in p.parts[:-1]))


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = text_of(document)
    made = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        headings = HEADING.findall(FENCE.sub("", before))
        line = before.count("\n") + 1
        heading = headings[-1] if headings else ""
        made.append(Block(document, line, match.group(1), match.group(2), heading))
    return made


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", text_of(document))


def inline_code(document: str) -> Iterator[str]:
    """What stands between single backticks."""
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose(document)):
        yield " ".join(span.split())


def output_of(shown: list[Block], place: int) -> Block | None:
    """The block whose output a ``text`` block is: the nearest before it, below one heading."""
    for block in reversed(shown[:place]):
        if block.heading != shown[place].heading:
            return None
        if block.language in ("sh", "python"):
            return block
    return None
