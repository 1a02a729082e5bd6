"""A pacer spreads evenly, saves nothing up, and obeys a pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.pacing import Pacer
from bulkload.core.polling import AUTO_POLL_RATE, PollInterval


def test_those_who_come_together_leave_evenly() -> None:
    pacer = Pacer(10.0)
    assert [pacer.reserve(100.0) for _ in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_an_idle_time_is_not_saved_up() -> None:
    """After an hour of nothing there is no burst."""
    pacer = Pacer(2.0)
    pacer.reserve(0.0)
    assert [pacer.reserve(3600.0) for _ in range(3)] == pytest.approx([0.0, 0.5, 1.0])


def test_bytes_are_paced_by_their_number() -> None:
    """A large piece holds the next one back for as long as it takes."""
    pacer = Pacer(1000.0)
    assert pacer.reserve(0.0, 500) == 0.0
    assert pacer.reserve(0.0, 1) == pytest.approx(0.5)


def test_without_a_rate_nobody_waits() -> None:
    pacer = Pacer(None)
    assert [pacer.reserve(5.0) for _ in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_a_pause_holds_for_everybody(rate: float | None) -> None:
    """Retry-After, told to one, is obeyed by all; also where there is no rate."""
    pacer = Pacer(rate)
    pacer.hold(10.0, 5.0)
    assert pacer.reserve(10.0) == pytest.approx(5.0)
    assert pacer.reserve(12.0) == pytest.approx(3.0, abs=0.01)
    assert pacer.reserve(20.0) == 0.0


def test_after_a_pause_the_pace_is_even_again() -> None:
    pacer = Pacer(10.0)
    pacer.hold(0.0, 3.0)
    assert [pacer.reserve(1.0) for _ in range(3)] == pytest.approx([2.0, 2.1, 2.2])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pacer = Pacer(None)
    pacer.hold(0.0, 60.0)
    pacer.hold(1.0, 2.0)
    assert pacer.reserve(1.0) == pytest.approx(59.0)


@given(
    st.floats(0.1, 1000),
    st.lists(st.one_of(st.floats(0, 5), st.tuples(st.floats(0, 5), st.floats(0, 5))), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_its_share(rate: float, steps: list[float | tuple[float, float]]) -> None:
    """G5: whoever comes whenever, and whatever pauses are asked for, n units take at least (n - 1) / rate seconds."""
    pacer, now, starts = Pacer(rate), 1_000_000.0, []
    for step in steps:
        if isinstance(step, tuple):
            now += step[0]
            pacer.hold(now, step[1])
            held_until = now + step[1]
            start = now + pacer.reserve(now)
            assert start >= held_until - 1e-6
        else:
            now += step
            start = now + pacer.reserve(now)
        assert start >= now
        starts.append(start)
    for first in range(len(starts)):
        for last in range(first + 1, len(starts)):
            assert starts[last] - starts[first] >= (last - first) / rate - 1e-6


def test_polls_grow_apart_up_to_the_longest_wait() -> None:
    waits = [PollInterval(1.0, 30.0).wait_seconds(polls, 0.0) for polls in range(12)]
    assert waits[0] == 1.0
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


@given(st.floats(0.01, 100), st.floats(1, 100), st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_poll_is_never_late_and_at_most_a_tenth_early(first: float, factor: float, polls: int, chance: float) -> None:
    interval = PollInterval(first, first * factor)
    wait = interval.wait_seconds(polls, chance)
    assert 0.9 * first <= wait <= interval.longest
    assert 0.9 * interval.wait_seconds(polls, 0.0) <= wait <= interval.wait_seconds(polls, 0.0)


def test_further_polls_share_twenty_a_second() -> None:
    assert AUTO_POLL_RATE == 20.0
