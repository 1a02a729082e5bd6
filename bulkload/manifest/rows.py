"""What every format is read into: rows of raw fields that know their place."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES, LONGEST_MESSAGE_CHARACTERS
from bulkload.core.records import Problem
from bulkload.core.words import did_you_mean, printable, shown

FIELDS = (
    "name", "path", "framework", "workspace", "workspace_id", "visibility", "version", "python_version",
    "requirements", "arch", "accel", "framework_config", "input_schema", "output_schema", "sha256", "labels",
)  # fmt: skip
# Fields that may be lists or objects; all others are text.
STRUCTURED_FIELDS = ("requirements", "accel", "framework_config", "input_schema", "output_schema", "labels")
# Fields in which every scalar is text, at whatever depth.
WORD_FIELDS = frozenset(FIELDS) - {"accel", "framework_config"}
KNOWN = frozenset(FIELDS)

# One row may hold a whole wrong document; nobody reads more unknown fields than these.
MOST_UNKNOWN_FIELDS = 20

BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "is not UTF-8"
SAVE_AS_UTF8 = "save the file as UTF-8"
FORM = "write a list of entries, or {defaults: {...}, models: [...]}"


class Unreadable(msgspec.Struct, frozen=True):
    """Stands in for a value that could not be read, so that the rest of its row is checked all the same."""

    what: str
    remedy: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One raw entry. A value of None or empty text is a field that is not given; any may be ``Unreadable``."""

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
    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, the defaults and the problems, in the manifest's order."""

    def problem(self, place: str, what: str, remedy: str, field: str = "") -> Problem:
        """Something wrong, where and what to do."""
        # Libraries put what they found into their errors as it is.
        what = printable(what[:LONGEST_MESSAGE_CHARACTERS])
        return Problem(manifest=self.manifest, place=place, field=field, what=what, remedy=remedy)

    def row(self, number: int, place: str, fields: object) -> Iterator[Found]:
        """A row, after what is unknown in it."""
        if not isinstance(fields, dict):
            what, remedy = "is no object", "write the entry as field: value"
            if isinstance(fields, Unreadable):
                what, remedy = fields.what, fields.remedy
            yield self.problem(place, what, remedy)
            return
        if not fields.keys() <= KNOWN:
            yield from self._unknown_fields(place, fields)
        yield Row(number=number, place=place, fields=fields)

    def _unknown_fields(self, place: str, fields: dict[Any, Any]) -> Iterator[Problem]:
        unknown = (name for name in fields if name not in KNOWN)
        for name in islice(unknown, MOST_UNKNOWN_FIELDS):
            yield self.problem(place, f"unknown field {shown(name)}", did_you_mean(str(name), FIELDS))

    def whole(self, stream: BinaryIO) -> bytes | Problem:
        """The bytes of a document that is read whole."""
        data = stream.read(LARGEST_DOCUMENT_BYTES + 1)
        if len(data) > LARGEST_DOCUMENT_BYTES:
            what = f"is larger than {LARGEST_DOCUMENT_BYTES // 2**20} MiB"
            return self.problem("", what, "write it as .jsonl or .parquet: these are read piece by piece")
        return data.removeprefix(BOM)

    def document(self, document: object, places: list[str] | None = None) -> Iterator[Found]:
        """The rows of ``{defaults, models}`` or of a bare list; ``places``: of the items, where known."""
        models = document
        if isinstance(document, dict):
            yield from self._document_problems(document)
            defaults = document.get("defaults") or {}
            if isinstance(defaults, dict):
                if not defaults.keys() <= KNOWN:
                    yield from self._unknown_fields("defaults", defaults)
                yield Defaults(fields=defaults)
            elif not isinstance(defaults, Unreadable):
                yield self.problem("", "is no object", "write field: value", field="defaults")
            models = document.get("models")
        if isinstance(models, Unreadable):
            return
        if not isinstance(models, list):
            yield self.problem("", "has no list of entries", FORM)
            return
        for number, fields in enumerate(models, start=1):
            yield from self.row(number, places[number - 1] if places else f"item {number}", fields)

    def _document_problems(self, document: dict[Any, Any]) -> Iterator[Problem]:
        for key, value in islice(document.items(), MOST_UNKNOWN_FIELDS):
            if key not in ("defaults", "models"):
                yield self.problem("", f"unknown key {shown(key)}", did_you_mean(str(key), ("defaults", "models")))
            elif isinstance(value, Unreadable):
                yield self.problem("", value.what, value.remedy, field=key)


class NotJson(ValueError):
    """A text that is no JSON; the message says what and in which column."""

    def __init__(self, what: str, line: int = 1) -> None:
        super().__init__(what)
        self.line = line


def parse_json(text: str) -> Any:
    """Strict JSON. Raises ``NotJson``; a key twice, NaN, an endless number are ``Unreadable`` in place."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at column {error.colno}", error.lineno) from None
    except RecursionError:
        raise NotJson("it is nested too deep") from None


def parse_line(line: bytes) -> Any:
    """As ``parse_json`` does. Raises also ``UnicodeDecodeError``.

    A million lines come this way: what is quick and as strict comes first, and ``parse_json`` says what is wrong.
    """
    try:
        found = _quick_decode(line)
    except (ValueError, RecursionError):
        found = None
    # Each key has its colon: where there are no more of them, no key stands twice, be it in an object inside.
    if type(found) is dict and line.count(b":") == len(found):
        return found
    return parse_json(line.decode("utf-8"))


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = Unreadable(f"key {shown(name)} stands twice", "remove one of them")
            seen.add(name)
    return found


def _constant(word: str) -> Unreadable:
    return Unreadable(f"{word} is no JSON", "write a number, or leave it out")


def integer(digits: str) -> "int | Unreadable":
    """An integer, but of no more digits than Python is willing to read."""
    try:
        return int(digits)
    except ValueError:
        return Unreadable(f"is a number of {len(digits)} digits", "write a smaller one, or put it in quotes")


_quick_decode = msgspec.json.Decoder().decode
_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=integer)


def from_text(field: str, text: str) -> Any:
    """The value of a CSV cell or of ``--set``: lists and objects are JSON. Raises ``NotJson``."""
    if field in STRUCTURED_FIELDS and text.lstrip()[:1] in ("[", "{"):
        return parse_json(text)
    return text


def unreadable_json(error: NotJson) -> Unreadable:
    """What a cell holds that should be JSON."""
    return Unreadable(f"is no JSON: {error}", "write a list or object as JSON")
