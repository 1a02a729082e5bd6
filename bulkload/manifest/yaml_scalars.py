"""What a plain scalar of YAML means, which depends on the field.

A text field takes it as it is written, so that ``version: 1.10`` and ``version: 2024-05-01`` stay what they look like;
in ``accel`` and ``framework_config`` numbers, ``true``, ``false`` and ``null`` are those of YAML 1.2's core schema
(YAML 1.1 reads ``1e-3`` as text and ``on`` as true), and what is a number by YAML 1.1 alone, or another one, is
refused: nobody can know which was meant. Text in quotes is text.
"""

import re
from typing import Any

from bulkload.core.text.words import shown
from bulkload.manifest.json_text import integer
from bulkload.manifest.rows import WORD_FIELDS, UnreadableValue

# YAML 1.2, core schema (10.3.2).
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASES = ((re.compile(r"0o([0-7]+)"), 8), (re.compile(r"0x([0-9a-fA-F]+)"), 16))
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Numbers of YAML 1.1 that are none in 1.2, or others: 010 is 8 in the one and 10 in the other.
_AMBIGUOUS = re.compile(
    r"[-+]?(?:0[0-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*)"
)
# What a plain scalar may not look like to be text; for those who look with ``match``.
NO_TEXT = re.compile(f"(?:{_DECIMAL.pattern}|{_FLOAT.pattern}|{_INFINITE.pattern}|{_AMBIGUOUS.pattern})$")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+$")
NUMBERS_BEGIN = "-+.0123456789"
NULLS = ("", "~", "null", "Null", "NULL")
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class Plain(str):
    """A scalar without quotes: what it means depends on where it stands."""

    __slots__ = ()


def meanings(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields whose plain scalars mean what they mean there."""
    return {name: _meaning(value, words=name in WORD_FIELDS) for name, value in fields.items()}


def _meaning(value: Any, *, words: bool) -> Any:
    if isinstance(value, dict):
        return {key: _meaning(inner, words=words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_meaning(inner, words=words) for inner in value]
    return _plain_meaning(str(value), words=words) if isinstance(value, Plain) else value


def _plain_meaning(text: str, *, words: bool) -> Any:
    if text in NULLS:
        return None
    if words:
        return text
    number = _number(text) if text[0] in NUMBERS_BEGIN else None
    return _TRUTH.get(text, text) if number is None else number


def _number(text: str) -> int | float | UnreadableValue | None:
    """The number that a plain scalar is; None for what is none."""
    if _DECIMAL.fullmatch(text):
        return integer(text)
    for pattern, base in _BASES:
        digits = pattern.fullmatch(text)
        if digits is not None:
            return int(digits[1], base)  # not quadratic, and so without Python's limit
    if _AMBIGUOUS.fullmatch(text) and (_FLOAT.fullmatch(text) is None or _LEADING_ZERO.match(text)):
        what = f"{shown(text)} is not the same number in YAML 1.1 and YAML 1.2"
        return UnreadableValue(what, "write its decimal digits alone, or put it in quotes for the text")
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    return None if infinite is None else float(text.replace(".", ""))
