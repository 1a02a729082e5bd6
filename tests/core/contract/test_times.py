"""Times of the registry are read as it writes them, and nothing that is none raises."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.contract.times import registry_time


@given(st.text(max_size=40))
def test_no_time_raises(text: str) -> None:
    """It is whatever somebody wrote there."""
    registry_time(text)


@pytest.mark.parametrize("digits", range(10))
def test_a_time_has_any_number_of_fraction_digits(digits: int) -> None:
    """``2026-01-09T18:38:00.86797+00:00`` occurs."""
    fraction = f".{'867971234'[:digits]}" if digits else ""
    read = registry_time(f"2026-01-09T18:38:00{fraction}+00:00")
    assert read is not None
    expected = datetime(2026, 1, 9, 18, 38, tzinfo=UTC) + timedelta(seconds=float(f"0{fraction or '.0'}"))
    assert abs(read - expected) < timedelta(microseconds=2)


@pytest.mark.parametrize("text", ["2026-01-09T18:38:00Z", "2026-01-09T18:38:00", "2026-01-09T19:38:00+01:00"])
def test_a_time_is_utc_unless_it_says_otherwise(text: str) -> None:
    """So that two of them can be compared."""
    assert registry_time(text) == datetime(2026, 1, 9, 18, 38, tzinfo=UTC)


@pytest.mark.parametrize("text", [None, "", "now", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_none(text: str | None) -> None:
    """It does not raise."""
    assert registry_time(text) is None
