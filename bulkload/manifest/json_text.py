"""JSON, strictly and within bounds: nothing is built before it is known to be no bomb."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bulkload.core.bounds import MOST_VALUES
from bulkload.core.text.words import shown
from bulkload.manifest.rows import STRUCTURED_FIELDS, UnreadableValue

# A shorter text cannot hold more values than may be: each takes two characters.
_SURELY_FEW = 2 * MOST_VALUES
# What nests and what separates; whole strings, so that what is in them does not count.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n]*")
TOO_MANY = f"it holds more than {MOST_VALUES:,} values"


class NotJson(ValueError):
    """A text that is no JSON; the message says what and in which column."""

    def __init__(self, what: str, line: int = 1) -> None:
        super().__init__(what)
        self.line = line


def parse_json(text: str) -> Any:
    """Strict JSON. Raises ``NotJson``; a key twice, NaN, an endless number are ``UnreadableValue`` in place."""
    if len(text) > _SURELY_FEW:
        _extent(text, 0)
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(error) from None
    except RecursionError:
        raise NotJson("it is nested too deep") from None


def parse_line(line: bytes) -> Any:
    """As ``parse_json`` does. Raises also ``UnicodeDecodeError``.

    A million lines come this way: what is quick and as strict comes first, and ``parse_json`` says what is wrong.
    """
    if len(line) > _SURELY_FEW:
        return parse_json(line.decode("utf-8"))
    try:
        found = _quick_decode(line)
    except (ValueError, RecursionError):
        found = None
    # Each key has its colon: where there are no more of them, no key stands twice, be it in an object inside.
    if type(found) is dict and line.count(b":") == len(found):
        return found
    return parse_json(line.decode("utf-8"))


class JsonText:
    """A whole document, of which one value at a time is built."""

    def __init__(self, text: str) -> None:
        self._text = text
        # A piece of the text and where it begins: a value that ends within it is no bomb.
        self._piece = text[:_SURELY_FEW]
        self._piece_start = 0
        # Where the list or object ends of which the last item or member was given out.
        self.end = 0

    def first(self) -> int:
        """Where the document begins."""
        return self._blanks(0)

    def sign(self, at: int) -> str:
        """The character there; empty at the end."""
        return self._text[at : at + 1]

    def expect_end(self, at: int) -> None:
        """Raise ``NotJson`` where something follows, or the end is missing."""
        if at > len(self._text):
            raise self._problem("Expecting ',' delimiter", len(self._text))
        at = self._blanks(at)
        if at < len(self._text):
            raise self._problem("Extra data", at)

    def items(self, at: int) -> Iterator[Any]:
        """The items of the list that begins there, one built after the other.

        Raises ``NotJson``. An item that is too large is ``UnreadableValue``.
        """
        at = self._blanks(at + 1)
        if self.sign(at) == "]":
            self.end = at + 1
            return
        while True:
            value, at = self.value(at)
            yield value
            at = self._blanks(at)
            if self.sign(at) == "]":
                self.end = at + 1
                return
            if self.sign(at) != ",":
                raise self._problem("Expecting ',' delimiter", at)
            at = self._blanks(at + 1)

    def members(self, at: int) -> Iterator[tuple[str, int]]:
        """The keys of the object that begins there, and where their values begin. Raises ``NotJson``.

        Values are not looked into: whoever reads one finds what is wrong in it, also that it never ends.
        """
        at = self._blanks(at + 1)
        if self.sign(at) == "}":
            self.end = at + 1
            return
        while True:
            if self.sign(at) != '"':
                raise self._problem("Expecting property name enclosed in double quotes", at)
            key, at = self.value(at)
            at = self._blanks(at)
            if self.sign(at) != ":":
                raise self._problem("Expecting ':' delimiter", at)
            at = self._blanks(at + 1)
            yield key, at
            at = self._blanks(self.end_of(at))
            self.end = at + 1
            if self.sign(at) in ("}", ""):
                return
            if self.sign(at) != ",":
                raise self._problem("Expecting ',' delimiter", at)
            at = self._blanks(at + 1)

    def end_of(self, at: int) -> int:
        """Where the value that begins there ends; of a list or object, nothing is built. Raises ``NotJson``."""
        if self.sign(at) not in ("[", "{"):
            return self.value(at)[1]
        return _extent(self._text, at, bounded=False)

    def value(self, at: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends. Raises ``NotJson``."""
        if not self._piece_start <= at < self._piece_start + MOST_VALUES:
            self._piece = self._text[at : at + _SURELY_FEW]
            self._piece_start = at
        try:
            value, end = _decoder.raw_decode(self._piece, at - self._piece_start)
        except (json.JSONDecodeError, RecursionError, StopIteration):
            return self._large_value(at)
        # A number at the end of the piece may go on after it.
        return (value, self._piece_start + end) if end < len(self._piece) else self._large_value(at)

    def _large_value(self, at: int) -> tuple[Any, int]:
        try:
            _extent(self._text, at)
        except NotJson as error:
            return UnreadableValue(str(error), "write an entry in fewer words"), _extent(self._text, at, bounded=False)
        try:
            return _decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            raise _not_json(error) from None
        except RecursionError:
            raise NotJson("it is nested too deep", self._line(at)) from None

    def _blanks(self, at: int) -> int:
        found = _BLANKS.match(self._text, at)
        return at if found is None else found.end()

    def _problem(self, what: str, at: int) -> NotJson:
        return _not_json(json.JSONDecodeError(what, self._text, at))

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1


def _extent(text: str, at: int, *, bounded: bool = True) -> int:
    """Where the list or object that begins at ``at`` ends, or the text does.

    Raises ``NotJson`` for more values than may be.
    """
    depth = values = 0
    for token in _TOKEN.finditer(text, at):
        sign = token[0][0]
        if sign in "[{":
            depth += 1
            values += 1
        elif sign in "]}":
            depth -= 1
        elif sign == ",":
            values += 1
        if bounded and values > MOST_VALUES:
            raise NotJson(TOO_MANY)
        if depth <= 0:
            return token.end()
    return len(text)


def _not_json(error: json.JSONDecodeError) -> NotJson:
    return NotJson(f"{error.msg} at column {error.colno}", error.lineno)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = UnreadableValue(f"key {shown(name)} stands twice", "remove one of them")
            seen.add(name)
    return found


def _constant(word: str) -> UnreadableValue:
    return UnreadableValue(f"{word} is no JSON", "write a number, or leave it out")


def integer(digits: str) -> "int | UnreadableValue":
    """An integer, but of no more digits than Python is willing to read."""
    try:
        return int(digits)
    except ValueError:
        return UnreadableValue(f"is a number of {len(digits)} digits", "write a smaller one, or put it in quotes")


_quick_decode = msgspec.json.Decoder().decode
_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=integer)


def from_text(field: str, text: str) -> Any:
    """The value of a CSV cell or of ``--set``: lists and objects are JSON. Raises ``NotJson``."""
    if field in STRUCTURED_FIELDS and text.lstrip()[:1] in ("[", "{"):
        return parse_json(text)
    return text


def unreadable_json(error: NotJson) -> UnreadableValue:
    """What a cell holds that should be JSON."""
    return UnreadableValue(f"is no JSON: {error}", "write a list or object as JSON")
