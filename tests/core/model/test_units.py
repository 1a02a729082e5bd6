"""Durations, rates and sizes: what people write is understood, or refused with what would be right."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.errors import UsageError
from bulkload.core.model.units import (
    parse_bandwidth,
    parse_duration,
    parse_duration_range,
    parse_rate,
    show_bytes,
    show_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("20m", 1200.0), ("2h", 7200.0), ("1d", 86400.0), ("45", 45.0), ("1.5 h", 5400.0),
     (" 0s ", 0.0), ("0", 0.0)],
)  # fmt: skip
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "rate"), [("10/s", 10.0), ("600/m", 10.0), ("3600/h", 1.0), ("0.5/s", 0.5), (" 10 / s ", 10.0)]
)
def test_a_rate(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50MB/s", 5e7), ("8MiB/s", 8 * 2**20), ("1gb/s", 1e9), ("1.5kB/s", 1500.0), ("100/s", 100.0), ("2 TB/s", 2e12)],
)
def test_a_bandwidth(text: str, rate: float) -> None:
    assert parse_bandwidth(text) == pytest.approx(rate)


@pytest.mark.parametrize(("text", "ends"), [("1s..30s", (1.0, 30.0)), ("500ms..2m", (0.5, 120.0)), ("5..5", (5, 5))])
def test_a_range_of_durations(text: str, ends: tuple[float, float]) -> None:
    assert parse_duration_range(text) == ends


BAD: list[tuple[Callable[[str], Any], str]] = [
    *((parse_duration, text) for text in ("", "s", "-1s", "1w", "1 s s", "nan", "inf", "1e3", "1,5s", "٣s", "9" * 400)),
    *((parse_rate, text) for text in ("", "10", "/s", "0/s", "-1/s", "10/x", "10/", "nan/s", "1e400/s", "1_0/s")),
    *((parse_bandwidth, text) for text in ("", "50MB", "MB/s", "0MB/s", "50MB/m", "50XB/s", "-1MB/s", "9" * 400)),
    *((parse_duration_range, text) for text in ("", "1s", "1s..", "..1s", "30s..1s", "0s..1s", "1s..2s..3s")),
]


@pytest.mark.parametrize(("parse", "text"), BAD)
def test_what_is_not_understood_is_refused_with_an_example(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(UsageError, match=r"write it as|must be above zero"):
        parse(text)


@given(st.text(max_size=20))
def test_no_text_gives_a_rate_that_never_or_always_lets_through(text: str) -> None:
    for parse in (parse_rate, parse_bandwidth):
        try:
            rate = parse(text)
        except UsageError:
            continue
        assert 0 < rate < float("inf")


@given(st.integers(0, 10**9))
def test_a_duration_of_whole_seconds_is_read_as_it_is_written(seconds: int) -> None:
    assert parse_duration(f"{seconds}s") == parse_duration(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1928, "1.9 kB"), (99_499, "99.5 kB"), (99_600, "100 kB"),
     (999_400, "999 kB"), (999_600, "1.0 MB"), (2**31, "2.1 GB"), (5e12, "5.0 TB"), (1.2e16, "12000.0 TB")],
)  # fmt: skip
def test_a_size_for_people(size: float, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (0.42, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (200, "3m20s"),
     (3599.6, "1h00m"), (3900, "1h05m"), (90_000, "25h00m")],
)  # fmt: skip
def test_a_duration_for_people(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.floats(0, 1e15))
def test_what_is_shown_is_what_is_meant(size: float) -> None:
    """Within the two or three digits that are shown."""
    number, unit = show_bytes(size).split()
    factor = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert float(number) * factor == pytest.approx(size, rel=0.06, abs=0.51)
