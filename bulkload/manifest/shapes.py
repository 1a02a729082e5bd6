"""The shapes of a JSON, YAML or TOML document: a list, ``{defaults, models}``, ``{name: {...}}``, or one entry."""

from collections.abc import Iterable, Iterator
from enum import Enum

from bulkload.core.bounds import MOST_NAMED_ENTRIES
from bulkload.core.text.words import did_you_mean, shown
from bulkload.manifest.rows import KNOWN, MOST_UNKNOWN_FIELDS, Found, Reader, UnreadableValue

FORM = "write a list of entries, or {defaults: {...}, models: [...]}"
TOO_MANY_NAMES = (f"has more than {MOST_NAMED_ENTRIES:,} names", "write a list of entries, each with its name")


class Kind(Enum):
    """What a value is, without a look inside."""

    OBJECT = "object"
    LIST = "list"
    SCALAR = "scalar"


class Shape(Enum):
    """What an object is."""

    # An object with models, and perhaps defaults.
    LISTED = "listed"
    # An object of entries by their names, perhaps with defaults beside them.
    NAMED = "named"
    # One entry.
    SINGLE = "single"


def shape_of(members: Iterable[tuple[str, Kind]]) -> Shape:
    """What an object with these keys and kinds of values is."""
    kinds = dict(members)
    if "models" in kinds or not kinds:
        return Shape.LISTED
    if kinds.get("name") is Kind.SCALAR or kinds.get("path") is Kind.SCALAR or kinds.keys() <= KNOWN:
        return Shape.SINGLE
    has_entries = any(kind is Kind.OBJECT for key, kind in kinds.items() if key != "defaults")
    return Shape.NAMED if has_entries else Shape.LISTED


def unknown_keys(reader: Reader, keys: Iterable[str]) -> Iterator[Found]:
    """What stands beside ``defaults`` and ``models``."""
    unknown = [key for key in keys if key not in ("defaults", "models")]
    for key in unknown[:MOST_UNKNOWN_FIELDS]:
        yield reader.problem("", f"unknown key {shown(key)}", did_you_mean(key, ("defaults", "models")))


def named_row(reader: Reader, number: int, place: str, key: str, value: object) -> Iterator[Found]:
    """The entry of ``key: {...}``."""
    if not isinstance(value, dict):
        what, remedy = f"the value of {shown(key)} is no object", f"write {shown(key)}: {{path: ...}}"
        if isinstance(value, UnreadableValue):
            what, remedy = value.what, value.remedy
        yield reader.problem(place, what, remedy)
        return
    own = value.get("name")
    if own not in (None, "", key):
        what = f"is {shown(own)}, and the entry stands under {shown(key)}"
        yield reader.problem(place, what, "write the name once", field="name")
    yield from reader.row(number, place, {**value, "name": key})


def key_twice(key: str) -> UnreadableValue:
    """In place of the value."""
    return UnreadableValue(f"key {shown(key)} stands twice", "remove one of them")
