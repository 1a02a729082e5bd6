"""What every format is read into: rows of raw fields that know their place."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from bulkload.core.frameworks import did_you_mean
from bulkload.core.records import Problem

# Fields whose value is text; all others may be lists or objects.
TEXT_FIELDS = frozenset(
    {
        "name", "path", "framework", "workspace", "workspace_id", "visibility", "version", "python_version", "arch",
        "sha256",
    }
)  # fmt: skip
# Words are all that can stand in them, numbers and truth values included.
WORD_FIELDS = TEXT_FIELDS | {"labels", "requirements", "input_schema", "output_schema"}
STRUCTURED_FIELDS = ("requirements", "accel", "framework_config", "input_schema", "output_schema", "labels")
FIELDS = (
    "name", "path", "framework", "workspace", "workspace_id", "visibility", "version", "python_version",
    "requirements", "arch", "accel", "framework_config", "input_schema", "output_schema", "sha256", "labels",
)  # fmt: skip

# A line or cell longer than this is no entry: it is refused instead of being held in memory.
LONGEST_LINE_BYTES = 16 * 2**20

Fields = dict[str, Any]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One raw entry. A value of None is a field that is not given."""

    # Counted from 1: the line (CSV, JSONL) or the item (other formats).
    number: int
    # "line 7", "item 3": what problems name.
    place: str
    fields: dict[str, Any]


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest's own ``defaults``, which come before its rows."""

    fields: dict[str, Any]


Found = Row | Defaults | Problem


class Reader(ABC):
    """What the readers share: the manifest's name, and how to say what is wrong with it."""

    def __init__(self, manifest: str) -> None:
        self.manifest = manifest

    @abstractmethod
    def read(self, stream: BinaryIO) -> Iterator["Found"]:
        """The rows, the defaults and the problems, in the manifest's order."""

    def problem(self, place: str, what: str, remedy: str, field: str = "") -> Problem:
        """Something wrong, where and what to do."""
        return Problem(manifest=self.manifest, place=place, field=field, what=what, remedy=remedy)

    def unknown_fields(self, place: str, fields: Fields) -> Iterator[Problem]:
        """Fields that no entry has."""
        for name in fields:
            if name not in FIELDS:
                yield self.problem(place, f"unknown field {name!r}", did_you_mean(str(name), FIELDS))

    def document(self, document: Any, places: dict[int, str] | None = None) -> Iterator[Found]:
        """The rows of ``{defaults, models}`` or of a bare list; ``places``: item number -> its place."""
        form = "write a list of entries, or {defaults: {...}, models: [...]}"
        models = document
        if isinstance(document, dict):
            for key in document:
                if key not in ("defaults", "models"):
                    yield self.problem("", f"unknown key {key!r}", did_you_mean(str(key), ("defaults", "models")))
            defaults = document.get("defaults") or {}
            if not isinstance(defaults, dict):
                yield self.problem("", "is no object", "write field: value", field="defaults")
                return
            yield from self.unknown_fields("defaults", defaults)
            yield Defaults(fields=defaults)
            models = document.get("models")
        if not isinstance(models, list):
            yield self.problem("", "has no list of entries", form)
            return
        for number, fields in enumerate(models, start=1):
            place = (places or {}).get(number, f"item {number}")
            if isinstance(fields, dict):
                yield from self.unknown_fields(place, fields)
                yield Row(number=number, place=place, fields=fields)
            else:
                yield self.problem(place, "is no object", "write field: value")


class NotJson(ValueError):
    """A text that is no JSON, or JSON that says one thing twice; the message says what and where."""


def parse_json(text: str) -> Any:
    """Strict JSON: a key that stands twice, NaN and nesting without end are errors. Raises ``NotJson``."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJson("it is nested too deep") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"key {twice!r} stands twice")
    return found


def _constant(word: str) -> Any:
    raise NotJson(f"{word} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def from_text(field: str, text: str) -> Any:
    """The value of a CSV cell or of ``--set``: lists and objects are JSON. Raises ``NotJson``."""
    if field in STRUCTURED_FIELDS and text.lstrip()[:1] in ("[", "{"):
        return parse_json(text)
    return text
