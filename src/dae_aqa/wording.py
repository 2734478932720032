"""How messages show what they speak of: values, lists of faults, a hint at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MAX_CHARACTERS = 200  # of a value
_MAX_LINES = 50  # of a list of faults


def shown(value: object) -> str:
    """Return `value` for a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} …"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a hint at the one of `known` that `word` resembles, '' where none does."""
    by_lower = {name.lower(): name for name in known}
    text = word if isinstance(word, str) else shown(word)
    close = difflib.get_close_matches(text[:100].lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def first_few(names: Sequence[object], *, limit: int = 5) -> str:
    """Return the first `limit` names, and how many are left out: 'a, b and 3 more'."""
    text = ", ".join(map(str, names[:limit]))
    return f"{text} and {len(names) - limit} more" if len(names) > limit else text


def first_lines(lines: Sequence[str], *, limit: int) -> str:
    """Return the first `limit` lines, indented, and in a last one how many are left out."""
    shown_lines = [f"  {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown_lines.append(f"  … and {len(lines) - limit} more")
    return "\n".join(shown_lines)


def problem_list(problems: Sequence[str], *, limit: int = _MAX_LINES) -> str:
    """Return the number of problems and the first `limit` of them, one a line.

    Example: '2 problem(s):', then '  lr: …' and '  seed: …' on lines of their own.
    """
    return f"{len(problems)} problem(s):\n{first_lines(problems, limit=limit)}"
