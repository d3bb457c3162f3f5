"""How well and how fast are the equations of people's solutions judged?

    python benchmarks/shown_work.py [GSM8K] [--seed 0] [--told 0] [--json]

GSM8K is a directory with the ``train.jsonl`` and ``test.jsonl`` of GSM8K (Cobbe et al., 2021;
github.com/openai/grade-school-math). Its 8,792 solutions are right but for slips of the pen: an
item with an equation that is said not to hold is accused. They are judged without their
``<<48/2=24>>`` annotations, then with them. Then 1,000 results, 1,000 operands and 1,000 operators,
each of another solution, are changed, one at a time: what is then accused and was not is caught.

Targets: accused at most 0.6 % (with about 0.35 % slips of the pen; ``--told`` prints accusations to
be read by hand), 85 % of the lines with ``=`` read, 95, 90 and 85 % of the changes caught, 5,000
completions a second.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import asdict, frozen

from tunix_core.cli.kit import emit, print_table
from tunix_core.evaluators.step_validity import StepValidity, equations
from tunix_core.records import Completion, Item, Step, Trace

ACCUSED, READ, RATE = 0.006, 0.85, 5000
CAUGHT = {"result": 0.95, "operand": 0.85, "operator": 0.90}
CHANGES = 1000

_NOTE = re.compile(r"<<[^<>]*>>")
_NUMBER = r"\$?\d[\d,]*(?:\.\d+)?"
# An operation right before its result, whatever unit words stand between.
_SIMPLE = re.compile(
    rf"({_NUMBER})([\w ]*? ?)([-+*/x–÷×])( ?)({_NUMBER})([\w ]*? ?=[ ]?)({_NUMBER})"
    r"(?![\d%/]|,\d|\.\d)"
)


@frozen
class Judged:
    """What became of solutions: shares of items accused and of lines read, items a second."""

    name: str
    accused: float
    read: float
    per_second: float


@frozen
class Caught:
    """How many changes of a kind were made, and the share that was noticed."""

    kind: str
    changes: int
    caught: float


def solutions(folder: Path) -> list[tuple[str, str]]:
    """Questions with the work of their answers."""
    lines = [
        json.loads(line)
        for name in ("train.jsonl", "test.jsonl")
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    return [(line["question"], line["answer"].rpartition("\n####")[0]) for line in lines]


def wrong(text: str) -> list[str]:
    """The equations of a text that are said not to hold."""
    return [equation.text for equation in equations(text) if not equation.holds]


def judge(name: str, held: Sequence[tuple[str, str]]) -> Judged:
    """Judge solutions as completions."""
    pairs = [
        (
            Item(str(n), Trace(question, "0", (Step(0, "compute", "work"),))),
            Completion(str(n), f"<reasoning>{work}</reasoning>\n<answer>0</answer>"),
        )
        for n, (question, work) in enumerate(held)
    ]
    evaluator = StepValidity()
    started = time.process_time()
    scores = [evaluator.score(item, completion) for item, completion in pairs]
    spent = time.process_time() - started
    lines = [line for _, work in held for line in work.splitlines() if "=" in line]
    return Judged(
        name,
        sum(bool(score.details["wrong"]) for score in scores) / len(scores),
        sum(any(True for _ in equations(line)) for line in lines) / len(lines),
        len(scores) / spent,
    )


def _other_number(text: str, chance: random.Random) -> str:
    """A number with another digit in one place; the first is not made 0."""
    places = [place for place, sign in enumerate(text) if sign.isdigit()]
    place = chance.choice(places)
    digits = "123456789" if place == places[0] else "0123456789"
    return f"{text[:place]}{chance.choice(digits.replace(text[place], ''))}{text[place + 1 :]}"


def _result(found: re.Match[str], chance: random.Random) -> str:
    return "".join(found.groups()[:6]) + _other_number(found[7], chance)


def _operand(found: re.Match[str], chance: random.Random) -> str:
    parts = list(found.groups())
    place = chance.choice((0, 4))
    parts[place] = _other_number(parts[place], chance)
    return "".join(parts)


def _operator(found: re.Match[str], chance: random.Random) -> str:
    parts = list(found.groups())
    same = {"x": "*", "×": "*", "–": "-", "÷": "/"}.get(parts[2], parts[2])
    parts[2] = chance.choice("+-*/".replace(same, ""))
    return "".join(parts)


KINDS: dict[str, Callable[[re.Match[str], random.Random], str]] = {
    "result": _result,
    "operand": _operand,
    "operator": _operator,
}


def _value(found: re.Match[str]) -> bool:
    """Whether a simple statement is true; what is changed must become false."""
    left, right, result = (float(found[n].strip("$").replace(",", "")) for n in (1, 5, 7))
    sign = found[3]
    if sign in "/÷":
        return right != 0 and abs(left / right - result) < 0.006
    computed = left + right if sign == "+" else left - right if sign in "-–" else left * right
    return abs(computed - result) < 0.006


def changed(kind: str, texts: Sequence[str], seed: int) -> Iterator[tuple[str, str]]:
    """Solutions before and after one true statement in them was made false."""
    chance = random.Random(f"{seed} {kind}")  # noqa: S311
    for text in chance.sample(texts, len(texts)):
        found = [match for match in _SIMPLE.finditer(text) if _value(match)]
        if not found:
            continue
        match = chance.choice(found)
        spoilt = KINDS[kind](match, chance)
        again = _SIMPLE.fullmatch(spoilt)
        if again is not None and not _value(again):
            yield text, text[: match.start()] + spoilt + text[match.end() :]


def catch(kind: str, texts: Sequence[str], seed: int, told: int) -> Caught:
    """The share of changes that is noticed."""
    pairs = [pair for pair, _ in zip(changed(kind, texts, seed), range(CHANGES), strict=False)]
    noticed = [len(wrong(after)) > len(wrong(before)) for before, after in pairs]
    missed = [after for (_, after), caught in zip(pairs, noticed, strict=True) if not caught]
    for text in missed[:told]:
        print(f"{kind} missed: {text!r}", file=sys.stderr)
    return Caught(kind, len(pairs), sum(noticed) / max(len(pairs), 1))


def is_met(judged: Sequence[Judged], caught: Sequence[Caught]) -> bool:
    """Whether every target is met."""
    return all(
        one.accused <= ACCUSED and one.read >= READ and one.per_second >= RATE for one in judged
    ) and all(one.caught >= CAUGHT[one.kind] for one in caught)


def show(judged: Sequence[Judged], caught: Sequence[Caught]) -> None:
    """Print two tables, and whether the targets are met."""
    print_table(
        {
            "solutions": one.name,
            "accused": f"{one.accused:.2%}",
            "lines read": f"{one.read:.1%}",
            "per second": f"{one.per_second:,.0f}",
        }
        for one in judged
    )
    print()
    print_table(
        {"changed": one.kind, "changes": one.changes, "caught": f"{one.caught:.1%}"}
        for one in caught
    )
    print(f"\ntargets {'met' if is_met(judged, caught) else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, help="directory of GSM8K's two files")
    parser.add_argument("--seed", type=int, default=0, help="of what is changed")
    parser.add_argument("--told", type=int, default=0, help="how many verdicts of a kind to print")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.data is None:
        print("not measured: name the directory of GSM8K's train.jsonl and test.jsonl")
        return
    noted = solutions(options.data)
    bare = [(question, _NOTE.sub("", work)) for question, work in noted]
    judged = [judge("without annotations", bare), judge("with annotations", noted)]
    accusations = [(text, work) for _, work in bare for text in wrong(work)]
    for text, work in accusations[: options.told]:
        print(f"accused: {text!r} in {work!r}", file=sys.stderr)
    texts = [work for _, work in bare]
    caught = [catch(kind, texts, options.seed, options.told) for kind in KINDS]
    data = {
        "judged": [asdict(one) for one in judged],
        "caught": [asdict(one) for one in caught],
        "met": is_met(judged, caught),
    }
    emit(data, options.json, table=lambda: show(judged, caught))


if __name__ == "__main__":
    main()
