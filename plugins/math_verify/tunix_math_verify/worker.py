"""The process that compares: a JSON pair of texts a line in, true or false a line out."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys

READY = "ready"


def main() -> None:
    """Answer every line of standard input until it ends."""
    limit = int(sys.argv[1]) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # What libraries print goes elsewhere.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    logging.disable(logging.WARNING)
    replies.write(f"{READY}\n" if same("1", "1") else "\n")
    for line in sys.stdin:
        reference, answer = json.loads(line)
        replies.write(f"{json.dumps(same(reference, answer))}\n")


def same(reference: str, answer: str) -> bool:
    """Whether math-verify calls an answer right; what it cannot read is not."""
    from math_verify import parse, verify

    # Its own time limits are signals, which only the main thread of a process can take.
    gold, given = (
        parse(f"${text.strip().strip('$')}$", parsing_timeout=None) for text in (reference, answer)
    )
    return bool(gold) and bool(given) and bool(verify(gold, given, timeout_seconds=None))


if __name__ == "__main__":
    main()
