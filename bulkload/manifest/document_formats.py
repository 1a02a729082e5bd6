"""JSON and TOML: one document in memory, of which entries are built one after the other (JSON) or at once (TOML)."""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from bulkload.core.bounds import DEEPEST_JSON, MOST_NAMED_ENTRIES, MOST_TOML_VALUES
from bulkload.core.model.records import Problem
from bulkload.core.text.words import toml_trouble
from bulkload.manifest.json_text import JsonText, NotJson
from bulkload.manifest.rows import NOT_UTF8, SAVE_AS_UTF8, Found, Reader
from bulkload.manifest.shapes import (
    FORM,
    TOO_MANY_NAMES,
    Kind,
    Shape,
    key_twice,
    named_row,
    shape_of,
    unknown_keys,
)

_TOML_PLACE = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$", re.DOTALL)
# What makes a value, or a table; strings and comments whole, so that what is in them does not count.
_TOML_TOKEN = re.compile(
    r"""\"{3}(?:[^"\\]++|\\.|"(?!""))*+"*|'{3}(?:[^']++|'(?!''))*+'*|"(?:[^"\\\n]++|\\.)*+"?|'[^'\n]*+'?"""
    r"|#[^\n]*+|[\[{,=.]",
    re.DOTALL,
)
_KINDS = {"{": Kind.OBJECT, "[": Kind.LIST}


class Json(Reader):
    """A list, ``{defaults, models}``, ``{name: {...}}``, or one entry."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        if not data.strip():
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            yield self.problem("", NOT_UTF8, SAVE_AS_UTF8)
            return
        del data
        try:
            yield from self._document(JsonText(text))
        except NotJson as error:
            remedy = "mend it there; for one object a line use .jsonl"
            yield self.problem(f"line {error.line}", f"is no JSON: {error}", remedy)

    def _document(self, text: JsonText) -> Iterator[Found]:
        at = text.first()
        if text.sign(at) == "[":
            yield from self._entries(text, at)
            text.expect_end(text.end)
        elif text.sign(at) == "{":
            yield from self._object(text, at, outermost=True)
        else:
            text.expect_end(text.value(at)[1])
            yield self.problem("", "has no list of entries", FORM)

    def _entries(self, text: JsonText, at: int) -> Iterator[Found]:
        for number, fields in enumerate(text.items(at), start=1):
            yield from self.row(number, f"item {number}", fields)

    def _object(self, text: JsonText, at: int, *, outermost: bool) -> Iterator[Found]:
        members: list[tuple[str, int]] = []
        for member in text.members(at):
            members.append(member)
            if len(members) > MOST_NAMED_ENTRIES:
                yield self.problem("", *TOO_MANY_NAMES)
                return
        end = text.end
        shape = shape_of((key, _KINDS.get(text.sign(start), Kind.SCALAR)) for key, start in members)
        if shape is Shape.SINGLE:
            if outermost:
                text.expect_end(end)
            yield from self.row(1, "item 1", text.value(at)[0])
        else:
            yield from self._several(text, members, shape, outermost=outermost)
        if outermost:
            text.expect_end(end)

    def _several(
        self, text: JsonText, members: list[tuple[str, int]], shape: Shape, *, outermost: bool
    ) -> Iterator[Found]:
        if outermost:
            yield from self._defaults(text, members)
            members = [(key, start) for key, start in members if key != "defaults"]
        if shape is Shape.NAMED:
            yield from self._named(text, members)
        elif outermost:
            yield from self._listed(text, members)
        else:
            yield self.problem("", "has no list of entries", FORM)

    def _defaults(self, text: JsonText, members: list[tuple[str, int]]) -> Iterator[Found]:
        found = [text.value(start)[0] for key, start in members if key == "defaults"]
        yield from self.defaults(key_twice("defaults") if len(found) > 1 else found[0] if found else None)

    def _named(self, text: JsonText, members: list[tuple[str, int]]) -> Iterator[Found]:
        seen: set[str] = set()
        for number, (key, start) in enumerate(members, start=1):
            value = key_twice(key) if key in seen else text.value(start)[0]
            seen.add(key)
            yield from named_row(self, number, f"item {number}", key, value)

    def _listed(self, text: JsonText, members: list[tuple[str, int]]) -> Iterator[Found]:
        yield from unknown_keys(self, (key for key, _ in members))
        starts = [start for key, start in members if key == "models"]
        if len(starts) > 1:
            twice = key_twice("models")
            yield self.problem("", twice.what, twice.remedy, field="models")
        elif starts and text.sign(starts[0]) == "[":
            yield from self._entries(text, starts[0])
        elif starts and text.sign(starts[0]) == "{":
            yield from self._object(text, starts[0], outermost=False)
        else:
            yield self.problem("", "has no list of entries", FORM)


class Toml(Reader):
    """``[defaults]`` and ``[[models]]``, or a table an entry."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        if not data.strip():
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            yield self.problem("", NOT_UTF8, SAVE_AS_UTF8)
            return
        bomb = toml_bomb(text)
        if bomb is not None:
            yield self.problem("", *bomb)
            return
        import tomllib  # here, as few manifests are TOML

        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of too many digits
            placed = _TOML_PLACE.match(str(error))
            what = f"{placed[1]} at column {placed[3]}" if placed else toml_trouble(error)
            yield self.problem(f"line {placed[2]}" if placed else "", f"is no TOML: {what}", "mend it there")
        else:
            yield from self._document(document)

    def _document(self, document: dict[str, Any]) -> Iterator[Found]:
        shape = shape_of((key, _kind(value)) for key, value in document.items())
        if shape is Shape.SINGLE:
            yield from self.row(1, "item 1", document)
            return
        yield from self.defaults(document.pop("defaults", None))
        models: Any = document
        if shape is Shape.LISTED:
            yield from unknown_keys(self, document)
            models = document.get("models")
        if isinstance(models, list):
            for number, fields in enumerate(models, start=1):
                yield from self.row(number, f"item {number}", fields)
        elif isinstance(models, dict) and (shape is Shape.NAMED or shape_of(_kinds(models)) is Shape.NAMED):
            for number, (key, value) in enumerate(models.items(), start=1):
                yield from named_row(self, number, f"item {number}", key, value)
        else:
            yield self.problem("", "has no list of entries", FORM)


def _kinds(document: dict[str, Any]) -> list[tuple[str, Kind]]:
    return [(key, _kind(value)) for key, value in document.items()]


def _kind(value: object) -> Kind:
    return Kind.OBJECT if isinstance(value, dict) else Kind.LIST if isinstance(value, list) else Kind.SCALAR


def toml_bomb(text: str) -> tuple[str, str] | None:
    """What would become many times its size, or take a time that grows with the square of it."""
    values = dots = 0
    for token in _TOML_TOKEN.finditer(text):
        sign = token[0]
        if len(sign) > 1:
            continue
        values += 1
        dots = dots + 1 if sign == "." else 0
        if dots > DEEPEST_JSON:
            return f"has a key of more than {DEEPEST_JSON} parts", "nest less"
        if values > MOST_TOML_VALUES:
            what = f"holds more than {MOST_TOML_VALUES:,} values"
            return what, "write it as .jsonl or .parquet: these are read piece by piece"
    return None
