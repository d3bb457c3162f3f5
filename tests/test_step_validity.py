"""Shown work: which equations hold, which do not, which cannot be read, and what they earn."""

from __future__ import annotations

import gc
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.evaluators.arithmetic import read
from tunix_core.evaluators.step_validity import StepValidity, equations
from tunix_core.records import Completion, Item, Step, Trace
from tunix_core.rich.readable import standing

SAMPLES = Path(__file__).parent / "samples" / "arithmetic"
CASES = [json.loads(line) for line in (SAMPLES / "equations.jsonl").read_text().splitlines()]
WORKS = [json.loads(line)["work"] for line in (SAMPLES / "gsm8k.jsonl").read_text().splitlines()]


def verdict(text: str) -> str:
    """What the equations of a text come to."""
    judged = [equation.holds for equation in equations(text)]
    return "nothing to check" if not judged else "holds" if all(judged) else "wrong"


def scored(work: str, reference: str = "2 + 3 = 5", prompt: str = "How many?") -> float | None:
    item = Item("i", Trace(prompt, "5", (Step(0, "compute", reference),)))
    text = f"<reasoning>{work}</reasoning>\n<answer>5</answer>"
    return StepValidity().score(item, Completion("i", text)).value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_lines_are_judged_as_by_an_expert(case: dict[str, str]) -> None:
    assert verdict(case["text"]) == case["expert"]


@pytest.mark.parametrize(
    "text",
    [
        "She sells 12 boxes x $10 = $120 worth of pens.",
        "4 goats/cow * 9 cows = 36 goats",
        "20 miles / 5 miles/hour = 4 hours",
        "3 (from Allen) + 3 (from her mother) = 6",
        "* **Total:** $1,200.50 + $99.50 = **$1,300**",
        "17 / 5 = 3 remainder 2",
        "17 ÷ 5 = 3 R2",
        r"\frac{3}{4} \times 8 = \boxed{6}",
        r"$2\frac{1}{2} \cdot 4 = 10$",
        "2 hours 30 minutes = 150 minutes",
        "25% of the 40 students = 10",
        "20 / 80 * 100 = 25%",
        "1 1/2 * 4 = 6",
        "5² − 3² = 16",
        "2 + 3 * 4 = 2 + 12 = 14",
        "15 < 7 : no",
        "3 / 1/4 = 12",
        "4/3 = 1 and 1/3",
        "Step 3: 40(.50) = 20",
        "7 ≈ 6.999 + 0.0004",
        "$0.50 = 50 cents",
        "100 / 3 = 33 each, with 1 remaining",
    ],
)
def test_what_is_right_is_never_called_wrong(text: str) -> None:
    assert verdict(text) in ("holds", "nothing to check")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("So 3 + 4 = 7 ✓", "✓ 3 + 4 = 8"),
        ("5 m × 4 m = 20 m^2.", "5 m × 4 m = 21 m^2."),
        (r"5\,\text{m} \times 4\,\text{m} = 20\,\text{m}^2", r"5 \times 4 = 21\ \mathrm{cm}^2"),
        ("5 * 4 = 20 meters^2", "5 * 4 = 21 units^2"),
        ("100 - 60% - 25% = 15", "100 - 60% - 25% = 20"),
        ("20% * 50 = 10", "20% * 50 = 1000"),
        ("3 / 21 * 100% = 14.28", "3 / 21 * 100% = 15.28"),
        ("2 plus 3 plus 4 is 9", "He said 9 because 2 plus 3 plus 5 equals 9"),
        ("(√3)² = 3", "√2 × √2 = 3"),
        ("1{,}234 + 1 = 1{,}235", "1{,}234 + 1 = 1{,}236"),
        ("Step 1 : 5 + 3 = 8", "Day 3 : 12 - 4 = 9"),
        ("½² = ¼", "5 x ½ = 3"),
        (r"5 \mathrm{~m} + 3 \mathrm{~m} = 8 \mathrm{~m}", r"5\le3"),
        ("200 - 15% = 170", "200 - 15% = 185"),
        ("10% + 5% = 15%", "10% + 5% = 20%"),
        ("25 percent of 200 is 50", "25 percent of 200 is 60"),
        (r"12\% \text{ of } 50 = 6", r"12\% \text{ of } 50 = 7"),
        (r"5\text{ cm} + 3\text{ cm} = 8\text{ cm}", r"5\text{ cm} + 3\text{ cm} = 9\text{ cm}"),
        (r"50\,000 + 1 = 50\,001", r"50\,000 + 1 = 50\,002"),
        (r"3 \leq 1 + 3", r"5 \leq 1 + 3"),
        ("3² + 4² = 25", "3² + 4² = 24"),
        ("4 × 10³ = 4000", "4 × 10³ = 400"),
        ("10⁻² × 500 = 5", "10⁻² × 500 = 50"),
        ("10¹² / 10⁶ = 10⁶", "10¹² / 10⁶ = 10⁵"),
        ("(2 + 1)² = 9", "(2 + 1)² = 5"),
        ("½ of 10 = 5", "½ of 10 = 6"),
        ("3 ½ + ½ = 4", "3 ½ + ½ = 5"),
        ("½ + ⅓ = ⅚", "½ + ⅓ = ⅖"),
        ("25 cm² - 5 cm² = 20 cm²", "25 cm^2 - 5 cm^2 = 21 cm^2"),
        ("5 m * 4 m = 20 m^2", "5 m * 4 m = 9 m2"),
        ("1 m² = 10000 cm²", "1 m² = 100 cm²"),
        ("5 square meters = 50000 square centimeters", "1 square foot = 12 square inches"),
        ("2 cubic meters = 2000000 cubic cm", "2 cubic meters = 200 cubic cm"),
        ("5 °C - 8 °C = -3 °C", "5°C - 8°C = 3°C"),
        (r"$45^\circ + 45^\circ = 90^\circ$", r"$45^{\circ} + 45^{\circ} = 80^{\circ}$"),
    ],
)
def test_powers_fractions_and_units_with_powers_are_read(right: str, wrong: str) -> None:
    assert verdict(right) == "holds"
    assert verdict(wrong) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "She sells 12 boxes x $10 = $130 worth of pens.",
        "4 goats/cow * 9 cows = 35 goats",
        "* **Total:** $1,200.50 + $99.50 = **$1,301**",
        "17 / 5 = 3 remainder 1",
        r"\frac{3}{4} \times 8 = \boxed{7}",
        "25% of 40 = 11",
        "3/4 = 0.75%",
        "10 / 3 = 3.43",
        "2 + 3 = 5 = 6",
        "2 + 3 = 5, then 5 + 4 = 8",
        "15 < 7",
        "5 ≠ 5.0",
        "9 - 3 = 5 fruits remain",
        "48/2 = <<48/2=25>>24",
        "2 + 3 =\n6",
    ],
)
def test_what_is_wrong_is_found(text: str) -> None:
    assert verdict(text) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "2m = 215 - 55",
        "3x² = 12",
        "10³ m = 1 km",
        "2 m * 300 cm = 6 m²",
        "(50 cm)² = 0.25 m²",
        "25% of 80 and 50% of 20 is 30",
        "1/2 ½ = 1",
        "25 °C = 77 °F",
        "1 m^3 = 1000 liters",
        "3 : 4 = 6 : 8",
        "the ratio is 2:3 = 4:6",
        "Day 2 + y = 5",
        "f(2) = 5",
        "Is 2 + 3 = 6?",
        "5 shirts = 5 * $20",
        "6:00 + 18 hours = 24:00",
        "5 + 3 is 2 more than 7",
        "9^9^9^9 = 1",
        "1/0 = 7",
        "2 + [?] = 5",
        "1,23 + 1 = 5",
    ],
)
def test_what_cannot_be_read_is_counted_and_not_judged(text: str) -> None:
    assert verdict(text) == "nothing to check"
    assert read(text).unread == ("=" in text)


NUMBERS = st.integers(0, 10**6)
SIGNS = st.sampled_from(["+", "-", "*", "×", "x", "·", "−"])
UNITS = st.sampled_from(["", " apples", " km", " sq ft", " pieces of wood"])
BEFORE = st.sampled_from(["", "- ", "3. ", "So he has ", "**Step 2:** ", "Total: "])


@given(NUMBERS, SIGNS, NUMBERS, UNITS, BEFORE, st.booleans(), st.integers(-3, 3))
def test_an_operation_holds_if_its_result_is_right(
    left: int, sign: str, right: int, unit: str, before: str, commas: bool, off: int
) -> None:
    exact = left + right if sign == "+" else left - right if sign in "-−" else left * right
    written = f"{exact + off:,}" if commas else f"{exact + off}"
    line = f"{before}{left}{unit} {sign} {right}{unit} = {written}{unit}."
    assert verdict(line) == ("wrong" if off else "holds")


@given(st.text(alphabet="0123456789 +-*/=().,%$x^<>≈\n\\{}abcof:", max_size=60))
def test_any_text_can_be_read_and_padding_it_changes_nothing(text: str) -> None:
    found = read(text)
    assert len(found.judged) + found.unread <= len(text)
    assert read(f"{text}\nand so on\n") == found


def test_solutions_of_people_hold_with_and_without_annotations() -> None:
    for texts in (WORKS, [re.sub(r"<<[^<>]*>>", "", work) for work in WORKS]):
        verdicts = [verdict(text) for text in texts]
        assert "wrong" not in verdicts
        assert verdicts.count("holds") >= 0.95 * len(verdicts), "algebra is not read"


@pytest.mark.parametrize(
    "work", ["", ".", "1 = 1", "5 + 0 = 5", "2 + 2 = 2 + 2", "x = x", "so it is 5", "2 + 2 ="]
)
def test_work_that_shows_nothing_earns_nothing_where_something_is_due(work: str) -> None:
    assert scored(work) == 0.0
    assert scored(work, reference="The answer can be seen.") is None


def test_what_is_repeated_or_stands_in_the_prompt_earns_nothing() -> None:
    half = scored("2 + 3 = 5\n1 + 1 = 3")
    assert half == 0.5
    assert scored("2 + 3 = 5\n2+3=5\n2 + 3 == 5\n1 + 1 = 3") == half
    assert scored("We know 2 + 3 = 5.", "5 * 2 = 10", "If 2 + 3 = 5, what is 5 * 2?") == 0.0
    assert scored("2 + 3 = 5, 5 * 2 = 10", prompt="If 2 + 3 = 5, what is 5 * 2?") == 1.0


def test_the_scorecard_says_what_the_score_covers() -> None:
    judge = StepValidity()
    item = Item("i", Trace("?", "5", (Step(0, "compute", "seen"),)))
    works = ["2 + 3 = 5\n2x = 4", "nothing", "1 + 1 = 3, 1 + 2 = 3"]
    scores = [judge.score(item, Completion("i", work)) for work in works]
    card = judge.aggregate(scores)
    assert scores[0].details == {
        "judge": "equations",
        "steps": 1,
        "right": 1,
        "unread": 1,
        "wrong": [],
    }
    assert (card.overall.mean, card.overall.n, card.n_items) == (0.75, 2, 3)
    assert card.metrics["unread_share"] == 0.25
    assert standing(card) == "0.750 (n = 2 of 3, 25% unread)"
    assert standing(judge.aggregate(scores[1:2])).startswith("none judged (n = 0 of 1")


HOSTILE = [
    "1+",
    "1=",
    "=",
    "(",
    "(1)",
    "1 a ",
    "a ",
    "-",
    "<<1=",
    "**",
    "**1 ",
    r"\frac{",
    r"\frac{1}",
    "1,111",
    "1 111 ",
    "1:11",
    "1 and 1/",
    "1-ab",
    "(a (",
    "√",
    "%1",
    "\n=",
    "1 of ",
    "1 times ",
    "remain 1/2=3 ",
    "9",
    "1=2,",
    "(a)",
    "$",
    " ",
    "#",
    '"a" ',
    '1 + "a" ',
    "5/2=2, ",
    "1<2:",
    "\\text{ a",
    "5 °",
    "5²",
    "5 m^2 ",
    "1\\,234",
]


def seconds(text: str) -> float:
    # The garbage collector looks at all that other tests have left.
    gc.disable()
    try:
        started = time.process_time()
        read(text)
        return time.process_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_of_the_text_and_no_faster(piece: str) -> None:
    def spent(size: int) -> float:
        return seconds(f"1 {piece * (size // len(piece))} = 5")

    # Ten times the text may take fifty times as long, where squares would take a hundred.
    assert spent(150_000) < 50 * max(spent(15_000), 0.005)


def test_a_megabyte_of_everything_takes_no_longer_than_its_parts() -> None:
    line = " ".join(HOSTILE).replace("\n", "")
    assert seconds(line * (1_000_000 // len(line))) < 50 * seconds(line * (100_000 // len(line)))
