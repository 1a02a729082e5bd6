"""JSON that somebody sent: within bounds before anything is built of it, then a record. Pure.

msgspec skips what a type does not ask for, but recurses while it does; and what a type leaves open costs many times its
bytes once it is built.
"""

import re
from typing import Annotated, TypeVar

import msgspec

from bulkload.core.bounds import DEEPEST_JSON, LONGEST_TEXT_CHARACTERS, MOST_JSON_VALUES

# What SQLite can hold.
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# A name or an address, kept and shown.
Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT_CHARACTERS)]
Wanted = TypeVar("Wanted")
# Possessive, so that an open end is not tried again from each of its quotes.
STRING_PATTERN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
BRACKET_PATTERN = re.compile(rb"[\[\]{}]")


class MalformedError(Exception):
    """It is no JSON, or not the JSON that was asked for; the text says how."""


def decode(body: bytes, kind: type[Wanted]) -> Wanted:
    """A record of a JSON body. Raises MalformedError."""
    check_bounds(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter: "\\ud800", half a pair
        raise MalformedError(str(error)) from None


def check_bounds(body: bytes) -> None:
    """Raises MalformedError when a body is no text, is nested too deeply, or has too many values."""
    try:
        body.decode()  # msgspec does not look at what it skips
    except UnicodeDecodeError as error:
        raise MalformedError(f"JSON must be UTF-8: {error.reason} at byte {error.start}") from None
    openings = body.count(b"[") + body.count(b"{")
    # Commas and brackets in texts are counted, too: a bound, no exact number.
    if openings + body.count(b",") >= MOST_JSON_VALUES:
        raise MalformedError(f"JSON has more than {MOST_JSON_VALUES:,} values")
    if openings <= DEEPEST_JSON:
        return
    depth = 0
    for bracket in BRACKET_PATTERN.findall(STRING_PATTERN.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST_JSON:
            raise MalformedError(f"JSON is nested more than {DEEPEST_JSON} deep")
