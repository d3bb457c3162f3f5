"""Lengths of time as people write them, and what is no length of time."""

from __future__ import annotations

import pytest

from tunix_core.base.durations import seconds
from tunix_core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("8h30m", 30_600),
        ("1h2m3s", 3_723),
        ("1h5s", 3_605),
        ("45m", 2_700),
        ("1h", 3_600),
        ("90s", 90),
        ("90", 90),
        ("90m", 5_400),
        ("0", 0),
        (" 90s\n", 90),
    ],
)
def test_a_length_is_in_seconds(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize(
    "text", ["", " ", "h", "8h30", "5m9", "1h2m3", "30m8h", "8H", "1.5h", "-5", "9 h", "1d", "٣s"]
)
def test_what_is_no_length_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        seconds(text)
    assert str(refusal.value) == f"{text!r} is no duration (write 8h30m, 45m or 90s)"
