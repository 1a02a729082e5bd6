"""Words for messages: values as a manifest writes them, what was probably meant, and words that stand for nothing."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from itertools import islice

# Control characters of both sets, line separators, lone surrogates: nothing that a name, a path or a header may hold.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Longer words are cut before they are compared or shown.
LONGEST_SHOWN = 80
ENDLESS = "a number without end"
_MOST_SHOWN_ITEMS = 6
_DEEPEST_SHOWN = 3
_INFINITY = ("-infinity", "infinity")

# What tools write where there is no value: pandas, R, spreadsheets, JavaScript, templates.
_GAPS = frozenset({
    "nan", "-nan", "none", "null", "nil", "undefined", "na", "n/a", "#n/a", "<na>", "nat", "(null)", "(none)",
    "#null!", "#ref!", "#name?", "#value!", "#div/0!",
})  # fmt: skip
# A name may be short and mean something: only what no model is called.
_GAPS_AS_NAME = frozenset({"nan", "none", "null", "nil", "undefined"})
# ``${TEAM}``, ``$TEAM``, ``{{ team }}``, ``%TEAM%``: what a shell or a template should have filled in.
_UNFILLED = re.compile(r"\$\{?\w+\}?|\{\{.*\}\}|%\w+%|<\w+>", re.ASCII)


def toml_trouble(error: ValueError | RecursionError) -> str:
    """What is wrong with a file, by its reader's error; Python's own limits in other words than its own."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "a number has too many digits" if "set_int_max_str_digits" in str(error) else str(error)


def printable(text: str) -> str:
    """A text without anything that a terminal would obey: written as Python writes it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """A value for a message, as a manifest writes it; cut, and with nothing in it that a terminal would obey."""
    text = _shown(value, 0)
    return text if len(text) <= 2 * LONGEST_SHOWN else text[: 2 * LONGEST_SHOWN - 3] + "..."


def _shown(value: object, depth: int) -> str:
    if isinstance(value, str):
        return f'"{printable(value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 3] + "...")}"'
    if isinstance(value, dict):
        inner = [
            f"{_shown(key, depth)}: {_shown(item, depth + 1)}" for key, item in islice(value.items(), _most(depth))
        ]
        return f"{{{_cut(inner, len(value))}}}"
    if isinstance(value, list | tuple):
        return f"[{_cut([_shown(item, depth + 1) for item in value[: _most(depth)]], len(value))}]"
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return scalar_text(value) or "a value of no known kind"


def _most(depth: int) -> int:
    return _MOST_SHOWN_ITEMS if depth < _DEEPEST_SHOWN else 0


def _cut(shown_items: list[str], count: int) -> str:
    return ", ".join([*shown_items, "..."] if count > len(shown_items) else shown_items)


def scalar_text(value: object) -> str | None:
    """A scalar as a manifest writes it: ``true``, ``null``, ``1.5``, ``2024-05-01``; None for what is none."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat()
    try:
        return str(value) if isinstance(value, int | Decimal | dt.timedelta) else None
    except ValueError:  # more digits than Python likes to write
        return ENDLESS


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else _INFINITY[value > 0]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "pytorch"?``, or the list of what is known."""
    known = tuple(known)
    near = nearest(word, known)
    return f'did you mean "{near}"?' if near else f"use one of {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word of which this one is a typing error, and no other: the one rule for all suggestions."""
    # Nothing that is known is so long that its beginning would not do.
    return _nearest(word[:LONGEST_SHOWN].strip(), tuple(known)) if len(word) <= 4 * LONGEST_SHOWN else None


@lru_cache(maxsize=1024)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    folded = word.casefold()
    best, least = None, _slips_allowed(len(folded)) + 1
    for other in known:
        distance = _distance(folded, other.casefold(), least - 1)
        if distance < least:
            best, least = other, distance
    return best


def _slips_allowed(length: int) -> int:
    """How many letters a hurried hand gets wrong in a word of this length."""
    if length < 3:
        return 0
    if length < 6:
        return 1
    return 2 if length < 12 else 3


def _distance(one: str, other: str, most: int) -> int:
    """Letters left out, added, exchanged, or swapped with their neighbour; ``most + 1`` where there are more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        now = [row]
        for column, wanted in enumerate(other, start=1):
            cost = min(last[column] + 1, now[column - 1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before_last[column - 2] + 1)
            now.append(cost)
        # A swap may still begin a row earlier.
        if min(now) > most and min(last) >= most:
            return most + 1
        before_last, last = last, now
    return min(last[-1], most + 1)


def gap_hint(text: str, *, as_name: bool = False) -> str | None:
    """Why a text is probably no value at all, such as pandas' ``nan``; None for every other text."""
    word = text.strip().casefold()
    if word in (_GAPS_AS_NAME if as_name else _GAPS):
        return f"{shown(text)} looks like a gap that some tool wrote out"
    if _UNFILLED.fullmatch(word):
        return f"{shown(text)} looks like a variable that nobody filled in"
    return None


def shown_path(path: str) -> str:
    """A path for a message, without quotes: paths are recognised as such."""
    return shown(path)[1:-1]
