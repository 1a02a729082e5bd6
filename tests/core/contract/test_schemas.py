"""The schema language says what people write, and sends what the API wants."""

import base64
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.contract.schemas import (
    DEEPEST,
    LONGEST_TYPE,
    PRIMITIVES,
    SchemaProblem,
    canonical,
    decode,
    forbidden,
    look_at,
    parse_schema,
    parse_type,
    to_base64,
)

# From the vendor's answers: byte for byte what the registry's own Arrow writes for no columns.
EMPTY_SCHEMA = "/////zAAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAAAAAA="

TYPES: list[tuple[str, Any]] = [
    ("bool", pa.bool_()),
    ("int8", pa.int8()),
    ("int16", pa.int16()),
    ("int32", pa.int32()),
    ("int64", pa.int64()),
    ("uint8", pa.uint8()),
    ("uint16", pa.uint16()),
    ("uint32", pa.uint32()),
    ("uint64", pa.uint64()),
    ("float16", pa.float16()),
    ("float32", pa.float32()),
    ("float64", pa.float64()),
    ("string", pa.string()),
    ("large_string", pa.large_string()),
    ("binary", pa.binary()),
    ("large_binary", pa.large_binary()),
    ("date32", pa.date32()),
    ("date64", pa.date64()),
    ("timestamp[s]", pa.timestamp("s")),
    ("timestamp[ms]", pa.timestamp("ms")),
    ("timestamp[us]", pa.timestamp("us")),
    ("timestamp[ns]", pa.timestamp("ns")),
    ("timestamp[us, tz=UTC]", pa.timestamp("us", tz="UTC")),
    ("timestamp[us,tz=+02:00]", pa.timestamp("us", tz="+02:00")),
    ("timestamp[us, tz=Europe/Berlin]", pa.timestamp("us", tz="Europe/Berlin")),
    ("duration[s]", pa.duration("s")),
    ("duration[ms]", pa.duration("ms")),
    ("duration[us]", pa.duration("us")),
    ("duration[ns]", pa.duration("ns")),
    # As other tools call them.
    ("float", pa.float32()),
    ("double", pa.float64()),
    ("halffloat", pa.float16()),
    ("utf8", pa.string()),
    ("boolean", pa.bool_()),
    # Lists of any length, and of exactly N in both forms.
    ("list<float32>", pa.list_(pa.float32())),
    ("list<float32>[10]", pa.list_(pa.float32(), 10)),
    ("float32[10]", pa.list_(pa.float32(), 10)),
    ("list<list<string>>", pa.list_(pa.list_(pa.string()))),
    ("float32[32][3]", pa.list_(pa.list_(pa.float32(), 32), 3)),
    ("list<list<int64>[3]>[32]", pa.list_(pa.list_(pa.int64(), 3), 32)),
    ("list<float32>[4][2]", pa.list_(pa.list_(pa.float32(), 4), 2)),
    ("timestamp[us][4]", pa.list_(pa.timestamp("us"), 4)),
    # Objects.
    ("struct<a: int64>", pa.struct([("a", pa.int64())])),
    ("struct<a: int64, b: list<string>>", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])),
    ("list<struct<score: float64>>", pa.list_(pa.struct([("score", pa.float64())]))),
    ("struct<a: struct<b: bool[2]>>[3]", pa.list_(pa.struct([("a", pa.struct([("b", pa.list_(pa.bool_(), 2))]))]), 3)),
    # Spaces are no matter.
    ("  list < float32 > [ 10 ] ", pa.list_(pa.float32(), 10)),
    ("struct<a:int64,b:bool>", pa.struct([("a", pa.int64()), ("b", pa.bool_())])),
    ("timestamp [us]", pa.timestamp("us")),
]


@pytest.mark.parametrize(("text", "meant"), TYPES, ids=[text for text, _ in TYPES])
def test_a_type_means(text: str, meant: Any) -> None:
    assert parse_type(text) == meant
    # And so it comes out at the other end of the wire.
    assert decode(parse_schema({"column": text})) == pa.schema([("column", meant)])


def test_every_primitive_is_in_the_table() -> None:
    assert set(PRIMITIVES) <= {text for text, _ in TYPES}


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("flot32", 'unknown type "flot32"', 'did you mean "float32"?'),
        ("Int64", 'unknown type "Int64"', 'did you mean "int64"?'),
        ("lst<int64>", 'unknown type "lst"', 'did you mean "list"?'),
        ("tensor", 'unknown type "tensor"', "Arrow type"),
        ("decimal128(5, 2)", 'unknown type "decimal128"', "Arrow type"),
        ("null", 'type "null"', "takes no null"),
        ("list<null>", 'type "null"', "takes no null"),
        ("time32[s]", 'type "time32"', "as string"),
        ("time64[us]", 'type "time64"', "as string"),
        ("timestamp", "timestamp has no unit", "timestamp[us]"),
        ("timestamp[h]", "timestamp has no unit", "timestamp[us]"),
        ("timestamp[10]", "timestamp has no unit", "timestamp[us]"),
        ("duration", "duration has no unit", "duration[us]"),
        ("duration[us, tz=UTC]", "duration has no unit", "duration[us]"),
        ("", "a type is missing at character 1", "list<float32>"),
        ("list", '"<" is missing at character 5', "list<float32>"),
        ("list<", "a type is missing at character 6", "list<float32>"),
        ("list<>", "a type is missing at character 6", "list<float32>"),
        ("list<int64", '">" is missing at character 11', "list<float32>"),
        ("int64[", "a size is missing at character 7", "float32[10]"),
        ("int64[]", "a size is missing", "float32[10]"),
        ("int64[x]", "a size is missing", "float32[10]"),
        ("int64[-1]", "a size is missing", "float32[10]"),
        ("int64[0]", '"0" is no size', "float32[10]"),
        ("int64[2147483648]", '"2147483648" is no size', "float32[10]"),
        (f"int64[{'9' * 5000}]", "is no size", "float32[10]"),
        ("int64[1", '"]" is missing', "float32[10]"),
        ("int64[٣]", "a size is missing", "float32[10]"),
        ("struct", '"<" is missing', "struct<a: int64>"),
        ("struct<>", "a field name is missing", "struct<a: int64>"),
        ("struct<a>", '":" is missing', "struct<a: int64>"),
        ("struct<a: int64, a: bool>", "a field name stands twice", "struct<a: int64>"),
        ("struct<a: int64,>", "a field name is missing", "struct<a: int64>"),
        ("int64 int64", '"int64" is too much', "list<float32>"),
        ("int64>", '">" is too much', "list<float32>"),
        ("int64\x1b[31m", '"\\x1b[31m" is too much', "list<float32>"),
        ("list<" * 40 + "int64" + ">" * 40, "nested too deep", str(DEEPEST)),
        ("int64" + "[1]" * 40, "nested too deep", str(DEEPEST)),
        ("list<" * 10_000, "longer than", "nest less"),
        ("int64 " + " " * LONGEST_TYPE, "longer than", "nest less"),
    ],
)
def test_a_wrong_type_is_named_with_what_would_be_right(text: str, what: str, remedy: str) -> None:
    with pytest.raises(SchemaProblem) as caught:
        parse_type(text)
    assert what in str(caught.value)
    assert remedy in caught.value.remedy
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@given(st.text(alphabet="list<>[]struct: ,0123456789aint64flo\n\x00é", max_size=60))
def test_any_text_is_a_type_or_a_problem(text: str) -> None:
    with suppress(SchemaProblem):
        parse_schema({"column": text})


# The forms of a schema.


def test_columns_are_written_as_a_list_or_as_an_object_in_their_order() -> None:
    meant = pa.schema([("b", pa.float32()), ("a", pa.list_(pa.string()))])
    as_list = [{"name": "b", "type": "float32"}, {"type": "list<string>", "name": "a"}]
    assert decode(parse_schema(as_list)) == meant
    assert decode(parse_schema({"b": "float32", "a": "list<string>"})) == meant
    assert decode(parse_schema({"a": "list<string>", "b": "float32"})) != meant


def test_base64_is_sent_as_it_is_given() -> None:
    text = to_base64(pa.schema([("x", pa.int64())], metadata={"made by": "somebody"}))
    assert parse_schema(text) == text


def test_no_columns_are_sent_as_the_registry_writes_them() -> None:
    assert parse_schema([]) == parse_schema({}) == EMPTY_SCHEMA
    assert len(decode(EMPTY_SCHEMA)) == 0
    assert look_at(EMPTY_SCHEMA) == (None, 0)


def test_what_is_sent_is_one_encapsulated_schema_message() -> None:
    assert base64.b64decode(parse_schema({"x": "int64"}), validate=True)[:4] == b"\xff\xff\xff\xff"


def test_a_whole_arrow_stream_in_base64_has_a_schema_too() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])):
        pass
    assert decode(base64.b64encode(sink.getvalue()).decode()) == pa.schema([("x", pa.int64())])


@pytest.mark.parametrize(
    ("value", "what", "remedy"),
    [
        ({"a": "int64", "b": "flot32"}, 'column 2 "b": unknown type "flot32"', 'did you mean "float32"?'),
        ([{"name": "a", "type": "list<x>"}], 'column 1 "a": unknown type "x"', "Arrow type"),
        ([{"name": "a"}], "column 1 is no {name, type}", "write"),
        ([{"name": "a", "type": "int64", "nullable": True}], "column 1 is no {name, type}", "write"),
        (["int64"], "column 1 is no {name, type}", "write"),
        ([{"name": "a", "type": "int64"}, {"name": "a", "type": "bool"}], 'column 2 "a" stands twice', "of its own"),
        ([{"name": "", "type": "int64"}], "column 1: name and type must be text", "write"),
        ([{"name": 1, "type": "int64"}], "column 1: name and type must be text", "write"),
        ({"a": 64}, "column 1: name and type must be text", "write"),
        ({"a": {"type": "int64"}}, "column 1: name and type must be text", "write"),
        ({"a\nb": "int64"}, 'column 1 "a\\nb" holds a character', "remove"),
        ({"\ud800": "int64"}, 'column 1 "\\ud800" holds a character', "remove"),
        (7, "7 is no schema", "write"),
        (None, "null is no schema", "write"),
        (True, "true is no schema", "write"),
        ("inputs: float32", '"inputs: float32" is neither columns nor base64', ".arrow"),
        ("/////w", "is neither columns nor base64", ".arrow"),
        (EMPTY_SCHEMA + "\n", "is neither columns nor base64", ".arrow"),
        ("abcd", "holds no Arrow schema", "pyarrow.Schema.serialize"),
        (EMPTY_SCHEMA[:40], "holds no Arrow schema", "pyarrow.Schema.serialize"),
        ("é", "is neither columns nor base64", ".arrow"),
    ],
)
def test_a_wrong_schema_is_named_with_its_column_and_a_remedy(value: object, what: str, remedy: str) -> None:
    with pytest.raises(SchemaProblem) as caught:
        parse_schema(value)
    assert what in str(caught.value)
    assert remedy in caught.value.remedy


def test_an_arrow_file_in_base64_is_no_schema() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema([("x", pa.int64())])):
        pass
    with pytest.raises(SchemaProblem, match="holds no Arrow schema"):
        decode(base64.b64encode(sink.getvalue()).decode())


@given(st.binary(max_size=200))
def test_any_bytes_in_base64_are_a_schema_or_a_problem(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    try:
        decode(text)
    except SchemaProblem:
        assert canonical(text) == text


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_schema_with_one_wrong_byte_is_a_schema_or_a_problem(position: int, byte: int) -> None:
    data = bytearray(base64.b64decode(parse_schema({"a": "struct<b: list<int64>>", "c": "float32[3]"})))
    data[position % len(data)] = byte
    text = base64.b64encode(bytes(data)).decode()
    try:
        look_at(text)
    except SchemaProblem:
        pass
    else:
        assert canonical(text)


def test_a_thousand_columns_are_no_matter() -> None:
    assert len(decode(parse_schema({f"c{number}": "float32" for number in range(5_000)}))) == 5_000


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (pa.null(), "null"),
        (pa.list_(pa.null()), "null"),
        (pa.struct([("a", pa.list_(pa.null(), 3))]), "null"),
        (pa.time32("s"), "time32"),
        (pa.list_(pa.time64("us")), "time64"),
    ],
)
def test_types_that_the_registry_takes_nowhere_are_found_in_base64_too(kind: Any, named: str) -> None:
    schema = pa.schema([("good", pa.int64()), ("bad", kind)])
    problem = forbidden(schema)
    assert problem is not None
    assert f'column 2 "bad": type "{named}"' in str(problem)
    assert problem.remedy
    assert look_at(to_base64(schema)) == (look_at(to_base64(schema))[0], 2)
    assert forbidden(pa.schema([("good", pa.int64())])) is None


# Equality.

primitives = st.sampled_from([pa.int64(), pa.float32(), pa.string(), pa.bool_(), pa.timestamp("us", tz="UTC")])
# Few names, so that equal ones happen; and such as would confuse a text that does not quote them.
names = st.sampled_from(["a", "b", "a: int64, b", "'a'", "x>"])


def fields_of(kinds: st.SearchStrategy[Any], names: st.SearchStrategy[str] = names) -> st.SearchStrategy[Any]:
    return st.builds(pa.field, names, kinds, nullable=st.booleans())


def nested(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = fields_of(kinds, st.sampled_from(["item", "element"]))
    fields = st.lists(fields_of(kinds), max_size=2, unique_by=lambda field: field.name)
    sizes = st.integers(min_value=1, max_value=2)
    return st.one_of(
        st.builds(pa.list_, items),
        st.builds(pa.list_, items, sizes),
        st.builds(pa.large_list, items),
        st.builds(pa.struct, fields),
        st.builds(pa.map_, st.just(pa.string()), items),
        st.builds(pa.dictionary, st.sampled_from([pa.int8(), pa.int32()]), kinds, st.booleans()),
    )


types = st.recursive(primitives, nested, max_leaves=4)
schemas = st.builds(
    pa.schema,
    st.lists(fields_of(types), max_size=3),
    metadata=st.sampled_from([None, {"made by": "somebody"}]),
)


@given(schemas, schemas)
def test_canonical_texts_are_equal_exactly_when_the_schemas_are(one: Any, other: Any) -> None:
    first, second = to_base64(one), to_base64(other)
    assert (canonical(first) == canonical(second)) == decode(first).equals(decode(second))


@given(schemas)
def test_a_schema_written_again_is_the_same(schema: Any) -> None:
    # Another metadata makes other bytes, as another version of pyarrow does.
    assert canonical(to_base64(schema)) == canonical(to_base64(schema.with_metadata({"other": "bytes"})))


def test_what_an_item_of_a_list_is_called_is_no_difference() -> None:
    one, other = (pa.schema([("x", pa.list_(pa.field(name, pa.int64())))]) for name in ("item", "element"))
    assert one == other
    assert canonical(to_base64(one)) == canonical(to_base64(other))


def test_no_schema_and_an_unreadable_one_stand_for_themselves() -> None:
    assert canonical(None) == canonical("") == ""
    assert canonical("no schema") == "no schema"
    assert canonical(EMPTY_SCHEMA) == ""


def garbled(schema: "pa.Schema", old: bytes) -> str:
    """The schema's text, in which what stood there is no UTF-8."""
    data = schema.serialize().to_pybytes()
    assert old in data
    return base64.b64encode(data.replace(old, b"\xff" * len(old))).decode()


GARBLED = {
    "a column": garbled(pa.schema([("zzzz", pa.int64())]), b"zzzz"),
    "a column within": garbled(pa.schema([("a", pa.struct([("zzzz", pa.int64())]))]), b"zzzz"),
    "one of two": garbled(pa.schema([("a", pa.int64()), ("zzzz", pa.int64())]), b"zzzz"),
    "a time zone": garbled(pa.schema([("a", pa.timestamp("us", "zzzz"))]), b"zzzz"),
}


@pytest.mark.parametrize("what", GARBLED)
def test_a_schema_whose_names_are_no_text_is_equal_to_none_but_itself(what: str) -> None:
    """It stands in somebody's version in the listing: an unequal schema, and no reason to stop."""
    text = GARBLED[what]
    assert canonical(text) == text
    if what != "a time zone":
        with pytest.raises(SchemaProblem, match="no Arrow schema"):
            decode(text)
