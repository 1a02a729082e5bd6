"""Words for messages: values as a manifest writes them, suggestions no farther than a typing error, and gaps."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.text.words import did_you_mean, gap_hint, nearest, scalar_text, shown

FIELDS = ("name", "path", "framework", "workspace", "version", "python_version", "input_schema", "labels")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("famework", "framework"),
        ("nmae", "name"),
        ("Name", "name"),
        ("PATH", "path"),
        ("lables", "labels"),
        ("pythonversion", "python_version"),
        ("python-version", "python_version"),
        ("input_scheme", "input_schema"),
        ("workspcae", "workspace"),
        (" version ", "version"),
    ],
)
def test_a_typing_error_is_led_back(word: str, meant: str) -> None:
    assert nearest(word, FIELDS) == meant
    assert did_you_mean(word, FIELDS) == f'did you mean "{meant}"?'


@pytest.mark.parametrize(
    "word", ["onnx_version", "model_name", "file", "na", "p", "", "input", "schema", "team", "frame", "x" * 10**6]
)
def test_what_is_no_typing_error_is_not_guessed(word: str) -> None:
    assert nearest(word, FIELDS) is None
    assert did_you_mean(word, FIELDS) == f"use one of {', '.join(FIELDS)}"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_suggestion_is_known_and_not_longer_or_shorter_by_more_than_three(word: str, known: str) -> None:
    near = nearest(word, (known,))
    assert near is None or (near == known and abs(len(word.strip().casefold()) - len(known.casefold())) <= 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.50, "1.5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-infinity"),
        (dt.date(1970, 1, 1), "1970-01-01"),
        (dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC), "2024-05-01T10:00:00+00:00"),
        (dt.time(10, 30), "10:30:00"),
        (Decimal("1.10"), "1.10"),
        ({"a": [None, True, "b"]}, '{"a": [null, true, "b"]}'),
        (("a", {}), '["a", {}]'),
        (b"abc", "3 bytes"),
        (object(), "a value of no known kind"),
        ([[[[1]]]], "[[[[...]]]]"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, ...]"),
    ],
)
def test_a_value_is_shown_as_a_manifest_writes_it(value: Any, text: str) -> None:
    """Never as Python would."""
    assert shown(value) == text


def test_a_number_that_python_does_not_write_is_shown() -> None:
    assert shown(10**5000) == "a number without end"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_what_is_shown_is_short_and_printable(value: Any) -> None:
    assert len(shown(value)) <= 160
    assert shown(value).isprintable()


def test_a_list_or_an_object_is_no_scalar() -> None:
    assert [scalar_text(value) for value in ([], {}, b"", object())] == [None] * 4


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "None", "NULL", "null", "undefined", "N/A", "#N/A", "<NA>", "NaT", "#REF!", " nan "]
)
def test_a_gap_that_a_tool_wrote_out_is_seen(word: str) -> None:
    assert "looks like a gap" in (gap_hint(word) or "")


@pytest.mark.parametrize("word", ["$TEAM", "${TEAM}", "{{ team }}", "%TEAM%", "<workspace>"])
def test_a_variable_that_nobody_filled_in_is_seen(word: str) -> None:
    assert "nobody filled in" in (gap_hint(word) or "")


@pytest.mark.parametrize("word", ["nano", "nothing", "national", "n", "0", "$", "a$b", "-", "team"])
def test_a_word_that_means_something_is_none(word: str) -> None:
    assert gap_hint(word) is None


def test_a_model_may_be_called_what_a_workspace_is_not() -> None:
    assert gap_hint("na", as_name=True) is None
    assert gap_hint("nan", as_name=True) is not None
