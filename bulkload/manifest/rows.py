"""What every format is read into: rows of raw fields that know their place."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES, LONGEST_MESSAGE_CHARACTERS
from bulkload.core.model.records import Problem
from bulkload.core.text.words import did_you_mean, nearest, printable, shown

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


class UnreadableValue(msgspec.Struct, frozen=True):
    """Stands in for a value that could not be read, so that the rest of its row is checked all the same."""

    what: str
    remedy: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One raw entry. A value of None or empty text is a field that is not given; any may be ``UnreadableValue``."""

    # Counted from 1: the line (CSV, JSONL) or the item (other formats).
    number: int
    # "line 7", "item 3": what problems name.
    place: str
    fields: dict[str, Any]
    # Something in it is not known for certain: it is checked, but is no entry.
    guessed: bool = False


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

    def problem(self, place: str, what: str, remedy: str, field: str = "", kind: str = "") -> Problem:
        """Something wrong, where and what to do."""
        # Libraries put what they found into their errors as it is.
        what = printable(what[:LONGEST_MESSAGE_CHARACTERS])
        return Problem(manifest=self.manifest, place=place, field=field, what=what, remedy=remedy, kind=kind)

    def row(self, number: int, place: str, fields: object) -> Iterator[Found]:
        """A row, after what is unknown in it."""
        if not isinstance(fields, dict):
            what, remedy = "is no object", "write the entry as field: value"
            if isinstance(fields, UnreadableValue):
                what, remedy = fields.what, fields.remedy
            yield self.problem(place, what, remedy)
            return
        if fields.keys() <= KNOWN:
            yield Row(number=number, place=place, fields=fields)
        else:
            yield from self._unknown_fields(place, fields)
            yield Row(number=number, place=place, fields=meant(fields), guessed=True)

    def _unknown_fields(self, place: str, fields: dict[Any, Any]) -> Iterator[Problem]:
        unknown = (name for name in fields if name not in KNOWN)
        for name in islice(unknown, MOST_UNKNOWN_FIELDS):
            what = f"unknown field {shown(name)}"
            yield self.problem(place, what, did_you_mean(str(name), FIELDS), kind=what)

    def whole(self, stream: BinaryIO) -> bytes | Problem:
        """The bytes of a document that is read whole."""
        data = stream.read(LARGEST_DOCUMENT_BYTES + 1)
        if len(data) > LARGEST_DOCUMENT_BYTES:
            what = f"is larger than {LARGEST_DOCUMENT_BYTES // 2**20} MiB"
            return self.problem("", what, "write it as .jsonl or .parquet: these are read piece by piece")
        return data.removeprefix(BOM)

    def defaults(self, fields: object) -> Iterator[Found]:
        """The manifest's own defaults, after what is wrong with them; None and an empty value are none."""
        if isinstance(fields, UnreadableValue):
            yield self.problem("", fields.what, fields.remedy, field="defaults")
        elif isinstance(fields, dict):
            unknown = not fields.keys() <= KNOWN
            if unknown:
                yield from self._unknown_fields("defaults", fields)
            yield Defaults(fields=meant(fields) if unknown else fields)
        elif fields:
            yield self.problem("", "is no object", "write field: value", field="defaults")


def meant(fields: dict[Any, Any]) -> dict[str, Any]:
    """The known fields, and those that are typing errors of known ones: so that all else can be checked."""
    found = {name: value for name, value in fields.items() if name in KNOWN}
    for name in islice((name for name in fields if name not in KNOWN), MOST_UNKNOWN_FIELDS):
        near = nearest(str(name), FIELDS)
        if near is not None and near not in found:
            found[near] = fields[name]
    return found
