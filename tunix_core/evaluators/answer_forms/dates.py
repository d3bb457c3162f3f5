"""Times of day, dates and days of the week, in the ways in which they are written."""

from __future__ import annotations

import re
from datetime import date

_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2})(?::(\d{2}))?)? ?(?:([ap])\.? ?m\.?)?", re.IGNORECASE)
_NAMED = {"noon": 12 * 3600, "midnight": 0}
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_SHORT_DAYS = {"tues": "tuesday", "thur": "thursday", "thurs": "thursday"} | {
    day[:3]: day for day in _DAYS
}
_WEEKDAY = re.compile(rf"(?:{'|'.join((*_DAYS, *_SHORT_DAYS))})\.?,? +", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_DAY_FIRST = re.compile(
    r"(?:the )?(\d{1,2})(?:st|nd|rd|th)?(?: of)? ([A-Za-z]{3,9})\.?(?:,? (\d{4}))?", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{4}))?", re.IGNORECASE
)

LEAP_YEAR = 2000


def parse_time(text: str) -> int | None:
    """Seconds from midnight on, or None; without a.m. or p.m. hours count to 24."""
    if text.casefold() in _NAMED:
        return _NAMED[text.casefold()]
    found = _CLOCK.fullmatch(text)
    if found is None or (found[2] is None and found[4] is None):
        return None
    hour, minute, second = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    half = (found[4] or "").lower()
    if hour > 23 or minute > 59 or second > 59 or (half == "a" and hour > 12):
        return None
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    return hour * 3600 + minute * 60 + second


def parse_date(text: str) -> tuple[int, int, int] | None:
    """Year, month and day, or None; the year is 0 where none is said.

    ``03/05/2024`` is none: who wrote it alone knows which is the month.
    """
    if weekday := _WEEKDAY.match(text):
        text = text[weekday.end() :]
    if found := _ISO.fullmatch(text):
        return _real(int(found[1]), int(found[2]), int(found[3]))
    if found := _DAY_FIRST.fullmatch(text):
        return _real(int(found[3] or 0), _month(found[2]), int(found[1]))
    if found := _MONTH_FIRST.fullmatch(text):
        return _real(int(found[3] or 0), _month(found[1]), int(found[2]))
    return None


def full_name(text: str, among: str) -> str:
    """A short name of a day or month in full where ``among`` is such a full name."""
    text, among = text.casefold().rstrip("."), among.casefold()
    if among in _DAYS:
        return _SHORT_DAYS.get(text, text)
    if among in _MONTHS and (text == among[:3] or text == "sept"):
        return among if among.startswith(text) else text
    return text


def _month(name: str) -> int:
    name = name.casefold()
    for number, month in enumerate(_MONTHS, start=1):
        if name in (month, month[:3]) or (number == 9 and name == "sept"):
            return number
    return 0


def _real(year: int, month: int, day: int) -> tuple[int, int, int] | None:
    try:
        date(year or LEAP_YEAR, month, day)
    except ValueError:
        return None
    return year, month, day
