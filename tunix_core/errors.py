"""Errors that reach people: one line that says what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable


class TunixError(Exception):
    """Base of every error that the command prints without a traceback.

    Args:
        message: What is wrong, with its position where there is one.
        hint: What to do about it; printed after the message on the same line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} ({self.hint})"

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return [f"error: {one_line(self)}"]


def one_line(error: BaseException) -> str:
    """What went wrong, on one line; an error that nobody foresaw is named by its type."""
    text = str(error) if isinstance(error, TunixError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint that names the closest of ``known``, or ``otherwise`` when none is close."""
    # Imported when something went wrong, not at every start.
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise


class UsageError(TunixError):
    """The request itself is wrong: a bad option, an unknown key, a name that does not exist."""

    exit_code = 2


class NotFoundError(UsageError):
    """The named run, dataset, trace, model or plugin is not in this workspace."""


class ConfinementError(UsageError):
    """A path leaves the directory that it has to stay in, symbolic links resolved."""


class InvalidRecordError(TunixError):
    """Data does not satisfy its schema.

    Args:
        problems: Every problem found, each as ``"$.json.path: reason"``.
    """

    def __init__(self, problems: list[str], what: str = "record") -> None:
        super().__init__(f"invalid {what}: " + "; ".join(problems))
        self.problems = problems


class ConflictError(UsageError):
    """The thing exists already and is immutable, or another writer holds it."""


class IntegrityError(TunixError):
    """Stored data no longer matches the digest that was recorded for it."""


class CapacityError(UsageError):
    """More distinct items were asked for than a generator can give."""


class NotComparableError(TunixError):
    """Two evaluations share nothing that could be compared."""

    exit_code = 3
