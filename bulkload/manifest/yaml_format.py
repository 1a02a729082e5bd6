"""YAML: built from the parser's events; a manifest needs less than YAML offers, and has to say where it goes wrong.

What a plain scalar means depends on the field: a text field takes it as it is written, so that ``version: 1.10`` and
``version: 2024-05-01`` stay what they look like; in ``accel`` and ``framework_config`` numbers, ``true``, ``false``
and ``null`` are those of YAML 1.2's core schema (YAML 1.1 reads ``1e-3`` as text and ``on`` as true), and what is a
number by YAML 1.1 alone, or another one, is refused: nobody can know which was meant. Text in quotes is text.
"""

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bulkload.core.bounds import DEEPEST_JSON
from bulkload.core.records import Problem
from bulkload.core.words import shown
from bulkload.manifest.rows import WORD_FIELDS, Defaults, Found, Reader, Row, Unreadable, integer

if TYPE_CHECKING:
    import yaml

# Aliases may repeat what they name, but not without end: at most so many values for each byte of the file.
VALUES_A_BYTE = 4
VALUES_AT_LEAST = 100_000

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
_NULLS = ("", "~", "null", "Null", "NULL")
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float")}
_TEXT_TAGS = {"!", f"{_TAG}str"}
_OTHER_TAGS = {None, "!", f"{_TAG}seq", f"{_TAG}map"}


class YamlProblem(ValueError):
    """Something that no manifest can hold."""

    def __init__(self, line: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.line = line
        self.remedy = remedy


class Plain(str):
    """A scalar without quotes: what it means depends on where it stands."""

    __slots__ = ()


class Items(list[Any]):
    """A list that knows on which line each of its items begins."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class Yaml(Reader):
    """``{defaults, models}`` or a bare list."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows; a place is the line on which an item begins."""
        import yaml

        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        try:
            document = Builder(data).document()
        except YamlProblem as problem:
            yield self.problem(f"line {problem.line}", str(problem), problem.remedy)
            return
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
            place = f"line {mark.line + 1}" if mark is not None else ""
            yield self.problem(place, f"is no YAML: {what}", "check indentation, quotes and encoding (UTF-8)")
            return
        if document is None:
            return
        models = document.get("models") if isinstance(document, dict) else document
        places = [f"line {line}" for line in models.lines] if isinstance(models, Items) else None
        for found in self.document(document, places):
            if isinstance(found, Row):
                yield Row(number=found.number, place=found.place, fields=meanings(found.fields))
            elif isinstance(found, Defaults):
                yield Defaults(fields=meanings(found.fields))
            else:
                yield found


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
    if text in _NULLS:
        return None
    if words:
        return text
    number = _number(text) if text[0] in NUMBERS_BEGIN else None
    return _TRUTH.get(text, text) if number is None else number


def _number(text: str) -> int | float | Unreadable | None:
    """The number that a plain scalar is; None for what is none."""
    if _DECIMAL.fullmatch(text):
        return integer(text)
    for pattern, base in _BASES:
        digits = pattern.fullmatch(text)
        if digits is not None:
            return int(digits[1], base)  # not quadratic, and so without Python's limit
    if _AMBIGUOUS.fullmatch(text) and (_FLOAT.fullmatch(text) is None or _LEADING_ZERO.match(text)):
        what = f"{shown(text)} is not the same number in YAML 1.1 and YAML 1.2"
        return Unreadable(what, "write its decimal digits alone, or put it in quotes for the text")
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    return None if infinite is None else float(text.replace(".", ""))


class Builder:
    """Events into values. Raises ``YamlProblem`` and ``yaml.YAMLError``."""

    def __init__(self, data: bytes) -> None:
        import yaml

        self._yaml = yaml
        self._events = yaml.parse(data, Loader=yaml.CSafeLoader)
        # Anchor -> its value and how many values that is when written out; None while it is being read.
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._most = max(VALUES_AT_LEAST, VALUES_A_BYTE * len(data))

    def document(self) -> Any:
        """The one document; None where there is none."""
        found = None
        documents = 0
        for event in self._events:
            if isinstance(event, self._yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise YamlProblem(_line(event), "a second document begins", "write one document a file")
                found, _ = self._value(next(self._events), 0)
        return None if isinstance(found, Plain) and found in _NULLS else found

    def _value(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        """A value, and how many it is when aliases are written out."""
        if depth > DEEPEST_JSON:  # the parser's time grows with the square of it
            raise YamlProblem(_line(event), f"is nested deeper than {DEEPEST_JSON}", "write it flatter")
        if isinstance(event, self._yaml.AliasEvent):
            return self._alias(event)
        anchor = event.anchor  # type: ignore[attr-defined] # all other events of values have one
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, self._yaml.ScalarEvent):
            built: tuple[Any, int] = (_scalar(event), 1)
        elif isinstance(event, self._yaml.SequenceStartEvent):
            built = self._sequence(event, depth)
        else:
            built = self._mapping(event, depth)
        if built[1] > self._most:
            raise YamlProblem(_line(event), "aliases repeat themselves without end", "write the values out")
        if anchor is not None:
            self._anchors[anchor] = built
        return built

    def _alias(self, event: "yaml.AliasEvent") -> tuple[Any, int]:
        name = event.anchor
        built = None if name is None else self._anchors.get(name)
        if built is None:
            what = "inside of what it names" if name in self._anchors else "but no anchor of that name is above"
            raise YamlProblem(_line(event), f"an alias *{name} stands {what}", "write the value out")
        return built

    def _sequence(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        items = Items()
        size = 1
        while not isinstance(inner := next(self._events), self._yaml.SequenceEndEvent):
            value, inner_size = self._value(inner, depth + 1)
            items.append(value)
            items.lines.append(_line(inner))
            size += inner_size
        return _untagged(event, items), size

    def _mapping(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        size = 1
        while not isinstance(inner := next(self._events), self._yaml.MappingEndEvent):
            key, _ = self._value(inner, depth + 1)
            value, inner_size = self._value(next(self._events), depth + 1)
            size += inner_size
            if not isinstance(key, str):
                raise YamlProblem(_line(inner), "a key is no text", "write key: value")
            if isinstance(key, Plain) and key == "<<":
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise YamlProblem(_line(inner), "<< takes an object", "write <<: *anchor")
                    merged = {**source, **merged}
                continue
            name = sys.intern(str(key))  # the same few in every row
            if name in own:
                value = Unreadable(f"key {shown(name)} stands twice", "remove one of them")
            own[name] = value
        return _untagged(event, {**merged, **own}), size


def _scalar(event: "yaml.ScalarEvent") -> Any:
    text = str(event.value)
    # Without a tag style says it: only a scalar without quotes may be something other than text.
    if event.tag is None or event.tag in _SCALAR_TAGS:
        return Plain(text) if event.tag is not None or not event.style else text
    return text if event.tag in _TEXT_TAGS else _tagged(event)


def _untagged(event: "yaml.Event", value: Any) -> Any:
    return value if event.tag in _OTHER_TAGS else _tagged(event)  # type: ignore[attr-defined]


def _tagged(event: "yaml.Event") -> Unreadable:
    return Unreadable(f"the tag {shown(event.tag)} means nothing here", "write a plain value")  # type: ignore[attr-defined]


def _line(event: "yaml.Event") -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0
