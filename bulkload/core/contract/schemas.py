"""The schema language: columns with Arrow types, written as people write them, sent as the API wants them.

::

    type   = primitive | "list<" type ">" | "struct<" name ":" type {"," name ":" type} ">" | type "[" N "]"

``list<T>[N]`` and ``T[N]`` are both a list of exactly N; dimensions are read from the left, as they are written in the
tutorials: ``float32[32][3]`` is a list of 3 lists of 32. On the wire a schema is base64 of
``pyarrow.Schema.serialize()``.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from bulkload.core.formats.flatbuffers import framed, look_at_schema, message_of
from bulkload.core.text.words import UNPRINTABLE, nearest, shown

if TYPE_CHECKING:
    import pyarrow as pa

# What pyarrow raises for bytes that are no schema: its own errors are among these.
NOT_READABLE = (ValueError, OSError, EOFError, KeyError, TypeError, NotImplementedError, MemoryError)

# `null` is not allowed by the registry, time32 and time64 are to be sent as strings (the vendor's data type rules).
PRIMITIVES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "string", "large_string", "binary", "large_binary", "date32", "date64",
    "timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]",
    "duration[s]", "duration[ms]", "duration[us]", "duration[ns]",
)  # fmt: skip
_ALIASES = {"float": "float32", "double": "float64", "halffloat": "float16", "utf8": "string", "boolean": "bool"}
_REFUSED = {
    "null": "the registry takes no null type; leave the column out or give it a type",
    "time32": "the registry takes no time32; send it as string",
    "time64": "the registry takes no time64; send it as string",
}

DEEPEST = 32
LONGEST_TYPE = 20_000
# A manifest has few schemas, and most of its rows have the same ones. Large ones are not kept: there may be many.
_KEPT = 256
_LARGEST_KEPT = 1 << 14
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|(.))")
_UNIT = re.compile(r"\s*\[\s*(s|ms|us|ns)\s*(?:,\s*tz\s*=\s*([A-Za-z0-9_+\-:/]+)\s*)?\]")


Key = TypeVar("Key")
Answer = TypeVar("Answer")


def _small_ones_kept(function: Callable[[Key], Answer]) -> Callable[[Key], Answer]:
    """The answers to the last small questions: as ``lru_cache``, but of a known size."""
    kept = lru_cache(maxsize=_KEPT)(function)

    @wraps(function)
    def answer(key: Key) -> Answer:
        return kept(key) if _weight(key) <= _LARGEST_KEPT else function(key)

    return answer


def _weight(key: object) -> int:
    if isinstance(key, str):
        return len(key)
    if isinstance(key, tuple):
        return sum(map(_weight, key)) if len(key) <= _LARGEST_KEPT else _LARGEST_KEPT + 1
    return 0


class SchemaProblem(ValueError):
    """A schema that cannot be read: the message says what, ``remedy`` what would be right."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


@_small_ones_kept
def parse_type(text: str) -> "pa.DataType":
    """A type of the schema language. Raises ``SchemaProblem``."""
    if len(text) > LONGEST_TYPE:
        raise SchemaProblem(f"type {shown(text)} is longer than {LONGEST_TYPE} characters", "nest less in it")
    reader = _TypeReader(text)
    found = reader.type(0)
    reader.expect_end()
    return found


class _TypeReader:
    """Recursive descent over one type's text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def type(self, depth: int) -> "pa.DataType":
        import pyarrow as pa

        self._bound(depth)
        word = self._word("a type")
        if word == "list":
            self._sign("<")
            item = self.type(depth + 1)
            self._sign(">")
            # list<T>[N] is the fixed-size list itself, not a list of lists.
            size = self._size()
            found: pa.DataType = pa.list_(item) if size is None else pa.list_(item, size)
        elif word == "struct":
            found = pa.struct(self._struct_fields(depth))
        else:
            found = self._primitive(word)
        while (size := self._size()) is not None:
            depth += 1
            self._bound(depth)
            found = pa.list_(found, size)
        return found

    def _bound(self, depth: int) -> None:
        if depth > DEEPEST:
            raise SchemaProblem(f"type {shown(self._text)} is nested too deep", f"nest at most {DEEPEST} deep")

    def expect_end(self) -> None:
        if self._text[self._at :].strip():
            raise self._problem(f"{shown(self._text[self._at :].strip())} is too much")

    def _primitive(self, word: str) -> "pa.DataType":
        import pyarrow as pa

        name = _ALIASES.get(word, word)
        if name in _REFUSED:
            raise SchemaProblem(f'type "{name}"', _REFUSED[name])
        if name in ("timestamp", "duration"):
            unit = _UNIT.match(self._text, self._at)
            if unit is None or (name == "duration" and unit.group(2)):
                raise SchemaProblem(f"type {shown(self._text)}: {name} has no unit", f'say it, such as "{name}[us]"')
            self._at = unit.end()
            resolution = cast('Literal["s", "ms", "us", "ns"]', unit.group(1))
            return pa.timestamp(resolution, tz=unit.group(2)) if name == "timestamp" else pa.duration(resolution)
        if name not in PRIMITIVES:
            near = nearest(name, (*PRIMITIVES, "list", "struct"))
            remedy = f'did you mean "{near}"?' if near else "use an Arrow type such as int64, float32, string"
            raise SchemaProblem(f"unknown type {shown(word)}", remedy)
        found: pa.DataType = getattr(pa, f"{name}_" if name == "bool" else name)()
        return found

    def _struct_fields(self, depth: int) -> "list[tuple[str, pa.DataType]]":
        self._sign("<")
        fields = []
        while True:
            name = self._word("a field name")
            self._sign(":")
            fields.append((name, self.type(depth + 1)))
            if not self._take(","):
                break
        self._sign(">")
        if len({name for name, _ in fields}) != len(fields):
            raise self._problem("a field name stands twice")
        return fields

    def _size(self) -> int | None:
        if not self._take("["):
            return None
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.group(2) is None:
            raise self._problem("a size is missing")
        if len(match.group(2)) > 10 or not 0 < int(match.group(2)) < 2**31:
            raise self._problem(f"{shown(match.group(2))} is no size")
        self._at = match.end()
        self._sign("]")
        return int(match.group(2))

    def _word(self, what: str) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.group(1) is None:
            raise self._problem(f"{what} is missing")
        self._at = match.end()
        return match.group(1)

    def _take(self, sign: str) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.group(3) != sign:
            return False
        self._at = match.end()
        return True

    def _sign(self, sign: str) -> None:
        if not self._take(sign):
            raise self._problem(f'"{sign}" is missing')

    def _problem(self, what: str) -> SchemaProblem:
        return SchemaProblem(
            f"type {shown(self._text)}: {what} at character {self._at + 1}",
            'write it as "float32", "list<float32>", "float32[10]" or "struct<a: int64>"',
        )


def parse_schema(value: object) -> str:
    """A schema in any of its forms (a list of ``{name, type}``, ``{name: type}``, base64), as base64.

    Raises ``SchemaProblem``. A path to an Arrow file is for whoever may read files.
    """
    if isinstance(value, str):
        decode(value)
        return value
    return encode_columns(tuple(_columns(value)))


def _columns(value: object) -> list[tuple[str, str]]:
    form = 'write [{"name": "x", "type": "float32"}] or {"x": "float32"}'
    if isinstance(value, dict):
        columns = list(value.items())
    elif isinstance(value, list):
        columns = []
        for number, column in enumerate(value, start=1):
            if not isinstance(column, dict) or set(column) != {"name", "type"}:
                raise SchemaProblem(f"column {number} is no {{name, type}}", form)
            columns.append((column["name"], column["type"]))
    else:
        raise SchemaProblem(f"{shown(value)} is no schema", form)
    seen = set()
    for number, (name, type_text) in enumerate(columns, start=1):
        if not isinstance(name, str) or not isinstance(type_text, str) or not name:
            raise SchemaProblem(f"column {number}: name and type must be text", form)
        if UNPRINTABLE.search(name):
            raise SchemaProblem(f"column {number} {shown(name)} holds a character that cannot be printed", "remove it")
        if name in seen:
            raise SchemaProblem(f"column {number} {shown(name)} stands twice", "give every column a name of its own")
        seen.add(name)
    return columns


@_small_ones_kept
def encode_columns(columns: tuple[tuple[str, str], ...]) -> str:
    """Columns of (name, type) as base64. Raises ``SchemaProblem`` with the column's number and name."""
    import pyarrow as pa

    fields = []
    for number, (name, type_text) in enumerate(columns, start=1):
        try:
            fields.append(pa.field(name, parse_type(type_text)))
        except SchemaProblem as problem:
            raise SchemaProblem(f"column {number} {shown(name)}: {problem}", problem.remedy) from None
    return to_base64(pa.schema(fields))


def to_base64(schema: "pa.Schema") -> str:
    """The text that the API uses."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


@_small_ones_kept
def decode(text: str) -> "pa.Schema":
    """The schema in the API's base64 text. Raises ``SchemaProblem``."""
    import pyarrow as pa

    remedy = "write the columns out, or give base64 of pyarrow.Schema.serialize(), or a path that ends in .arrow"
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise SchemaProblem(f"{shown(text)} is neither columns nor base64", remedy) from None
    try:
        metadata = framed(data)
        message = message_of(metadata)
    except ValueError:
        raise SchemaProblem("the base64 text holds no Arrow schema", remedy) from None
    try:
        look_at_schema(message.header)
    except ValueError as error:
        raise SchemaProblem(f"the schema in the base64 text is too large: {error}", remedy) from None
    try:
        schema = pa.ipc.open_stream(data).schema
        # Names are decoded when they are read, and not all bytes are names.
        for field in schema:
            _field_text(field)
    except (*NOT_READABLE, RecursionError):
        raise SchemaProblem("the base64 text holds no Arrow schema", remedy) from None
    return schema


@_small_ones_kept
def canonical(text: str | None) -> str:
    """A text that is equal exactly when the decoded schemas are: pyarrow versions serialize differently.

    Metadata does not count. A text that cannot be decoded stands for itself.
    """
    if not text:
        return ""
    try:
        schema = decode(text)
    except SchemaProblem:
        return text
    written = "; ".join(map(_field_text, schema))
    # pyarrow's sign for bytes that are no text, of which there are many.
    return text if "\ufffd" in written else written


def _field_text(field: "pa.Field[Any]") -> str:
    return f"{field.name!r}: {_item_text(field)}"


def _item_text(field: "pa.Field[Any]") -> str:
    return _type_text(field.type) + ("" if field.nullable else " not null")


def _type_text(kind: "pa.DataType") -> str:
    """pyarrow's own text is no measure: it quotes no names, and shows those of list items, which do not count."""
    import pyarrow as pa

    inner = [kind.field(index) for index in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(map(_field_text, inner))}>"
    if pa.types.is_map(kind):
        return f"map<{', '.join(map(_item_text, inner))}{', sorted' * kind.keys_sorted}>"
    if pa.types.is_union(kind):
        return f"{kind.mode}_union<{kind.type_codes}: {', '.join(map(_field_text, inner))}>"
    if isinstance(kind, pa.DictionaryType):
        order = ", ordered" * kind.ordered
        return f"dictionary<{_type_text(kind.value_type)}, {_type_text(kind.index_type)}{order}>"
    if not inner:
        return str(kind)
    # The lists of all sorts, and run-end encoding.
    size = f"[{kind.list_size}]" if pa.types.is_fixed_size_list(kind) else ""
    return f"{str(kind).partition('<')[0]}<{', '.join(map(_item_text, inner))}>{size}"


@_small_ones_kept
def look_at(text: str) -> tuple[SchemaProblem | None, int]:
    """What the registry would not take, and the number of columns. Raises ``SchemaProblem``."""
    schema = decode(text)
    return forbidden(schema), len(schema)


def forbidden(schema: "pa.Schema") -> SchemaProblem | None:
    """The first column whose type the registry takes nowhere."""
    import pyarrow as pa

    def bad(kind: "pa.DataType") -> str | None:
        if pa.types.is_null(kind):
            return "null"
        if pa.types.is_time(kind):
            return "time32" if pa.types.is_time32(kind) else "time64"
        inner = [kind.field(index).type for index in range(kind.num_fields)]
        return next((found for found in map(bad, inner) if found), None)

    for number, field in enumerate(schema, start=1):
        found = bad(field.type)
        if found is not None:
            return SchemaProblem(f'column {number} {shown(field.name)}: type "{found}"', _REFUSED[found])
    return None
