"""What raw values can become: text of an entry, JSON of an upload."""

import math
import re
from collections.abc import Iterator

from bulkload.core.bounds import DEEPEST_JSON
from bulkload.core.contract.frameworks import BrokenRule
from bulkload.core.text.words import ENDLESS, scalar_text, shown
from bulkload.manifest.rows import UnreadableValue

SURROGATE = re.compile("[\ud800-\udfff]")


def written(value: object) -> str | UnreadableValue:
    """The text that a value is when nothing is lost: text, and whole numbers."""
    if isinstance(value, UnreadableValue):
        return value
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:
            return UnreadableValue("is a number without end", "put it in quotes")
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    quoted = f"{value:.0f}" if is_whole else scalar_text(value)
    remedy = "write a text" if quoted is None else f"write it as text, in quotes: {shown(quoted)}"
    return UnreadableValue(f"{shown(value)} is no text", remedy)


def label_text(value: object) -> str | UnreadableValue:
    """The text of a label, which any scalar may be: as the manifest writes it, such as ``true`` and ``1.5``."""
    if isinstance(value, UnreadableValue):
        return value
    text = scalar_text(value)
    if text is None or (isinstance(value, int) and text == ENDLESS):
        return UnreadableValue(f"{shown(value)} is no text, number or truth value", "write a text")
    return text


def unsendable(where: str, value: object, depth: int) -> Iterator[BrokenRule]:  # noqa: PLR0912, C901 - a table of kinds
    """What in a value cannot become JSON; msgspec would stop at it, or write it as null."""
    if isinstance(value, str):
        if SURROGATE.search(value):
            yield BrokenRule(where, f"{shown(value)} holds half a character", "write it in UTF-8")
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, UnreadableValue):
        yield BrokenRule(where, value.what, value.remedy)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            yield BrokenRule(where, f"{shown(value)} does not fit in 64 bits", "write a smaller number, or a text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield BrokenRule(where, f"{shown(value)} is no JSON number", "write a number, or leave it out")
    elif depth >= DEEPEST_JSON:
        yield BrokenRule(where.partition(".")[0], "is nested too deep", f"nest at most {DEEPEST_JSON} deep")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or SURROGATE.search(key):
                yield BrokenRule(where, f"key {shown(key)} is no text", "write keys as text")
            else:
                yield from unsendable(f"{where}.{key}", inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from unsendable(where, inner, depth + 1)
    else:
        yield BrokenRule(where, f"{shown(value)} is no JSON value", "write it as text")
