"""JSON within bounds, looked at while it arrives: the same wherever it is cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.bounds import DEEPEST_JSON, LARGEST_ITEM_BYTES, MOST_ANSWER_VALUES
from bulkload.core.formats.json_bounds import BeyondBounds, JsonBounds, check_json
from tests.variants import each_once

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
TEXTS = ["", "\\", '"', '\\"', "[[[", "}}}", '{"a":[', "\\\\", "\\u0022[", "é\\"]


def depth_of(value: Any) -> int:
    """The levels of lists and objects in it."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def is_within(text: bytes, cuts: list[int]) -> bool:
    """Whether the pieces are within bounds."""
    bounds, start = JsonBounds(), 0
    try:
        for cut in [*sorted(cuts), len(text)]:
            bounds.feed(text[start:cut])
            start = cut
    except BeyondBounds:
        return False
    return True


def nested(value: Any, levels: int) -> Any:
    """The value inside so many lists and objects."""
    for number in range(levels):
        value = [value] if number % 2 else {'a"[\\': value}
    return value


@given(JSON, st.sampled_from(TEXTS), st.integers(0, 70), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_depth_is_counted_outside_of_texts_wherever_the_text_is_cut(
    value: Any, text: str, levels: int, cuts: list[int], ascii_only: bool
) -> None:
    """Brackets and quotes in texts are texts."""
    value = nested([text, value], levels)
    written = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")
    assert is_within(written, cuts) == (depth_of(value) <= DEEPEST_JSON)
    assert is_within(written, list(range(len(written)))) == (depth_of(value) <= DEEPEST_JSON)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_levels_without_end(opening: bytes) -> None:
    """Refused whole, and in pieces."""
    with pytest.raises(BeyondBounds, match="more than 64 levels"):
        check_json(opening * 20_000)


def test_values_without_number() -> None:
    """Small ones cost many times their size."""
    check_json(b"[" + b"0," * (MOST_ANSWER_VALUES - 2) + b"0]")
    with pytest.raises(BeyondBounds, match="more than 500,000 values"):
        check_json(b"[" + b"0," * MOST_ANSWER_VALUES + b"0]")


@pytest.mark.parametrize(
    "endless", [b"x" * 1000, b"[" + b"0," * 500 + b"0],", b" " * 1000, b'{"a":1},' * 100, b'","' * 300]
)
def test_an_item_without_end(endless: bytes) -> None:
    """A text, a list, blanks, many small things: refused soon after an item's bound."""
    bounds = JsonBounds(level=3)
    bounds.feed(b'{"a":[{"b":"' if endless[:1] == b"x" else b'{"a":[{"b":[')
    fed = 0

    def feed_too_much() -> None:
        nonlocal fed
        while fed < 2 * LARGEST_ITEM_BYTES:
            bounds.feed(endless)
            fed += len(endless)

    with pytest.raises(BeyondBounds, match="an item of more than 1,048,576 bytes"):
        feed_too_much()
    assert fed >= LARGEST_ITEM_BYTES - 2 * len(endless)


def test_items_as_large_as_may_be_and_any_number_of_them() -> None:
    """A whole listing may be of any size."""
    bounds = JsonBounds(level=3)
    bounds.feed(b'{"a":[')
    item = b'{"b":"' + b"x" * (LARGEST_ITEM_BYTES - 100) + b'"},'
    for _ in range(20):
        for start in range(0, len(item), 65_536):
            bounds.feed(item[start : start + 65_536])


@pytest.mark.parametrize(
    ("cut", "before"), each_once([1, 7, 399, 400, 10_000], [b"", b"[1,", b'{"a":', b'{"a":[1,22, 3],"b":-'])
)
def test_a_number_of_many_digits(before: bytes, cut: int) -> None:
    """A parser of C broke down over one of 5,000."""
    bounds = JsonBounds()
    text = before + b"9" * 5_000

    def feed_all() -> None:
        for start in range(0, len(text), cut):
            bounds.feed(text[start : start + cut])

    with pytest.raises(BeyondBounds, match="a number of more than 400 characters"):
        feed_all()
    with pytest.raises(BeyondBounds, match="a number of more than 400 characters"):
        check_json(text)
    many = b"[" + b",".join([b"9" * 300, b'"' + b"9" * 5_000 + b'"'] * 100) + b"]"
    check_json(many)
    assert is_within(many, list(range(0, len(many), cut)))


@pytest.mark.parametrize("sign", [b"x", b"\xf0\x9f\x98\x80", b'\\"x', b"["])
def test_a_text_beyond_all(sign: bytes) -> None:
    """It would take four times its size, and be copied."""
    text = b'{"msg":"' + sign * (3 * LARGEST_ITEM_BYTES) + b'"}'
    with pytest.raises(BeyondBounds, match="more than"):
        check_json(text)
