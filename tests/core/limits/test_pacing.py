"""A pacer spreads evenly, saves nothing up, and obeys a pause; a throttle keeps to the lowest of its rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.limits.adapting import Decision, Departed
from bulkload.core.limits.pacing import Pacer, Throttle, byte_pacer, timer_seconds
from bulkload.core.verdicts import Failure, FailureKind


def wait_for_turn(pacer: Pacer, now: float, units: float = 1.0) -> float:
    """When somebody who comes at ``now`` may start."""
    while (seconds := pacer.take(now, units)) > 0.0:
        now += seconds
    return now


def starts_of(pacer: Pacer, now: float, count: int) -> list[float]:
    """When those may start who come together at ``now``."""
    return [now := wait_for_turn(pacer, now) for _ in range(count)]


def accept(throttle: Throttle, now: float, began: float) -> None:
    throttle.accepted(now, Departed(began, 1 + round(1000 * began)), round(1000 * now))


def fail(throttle: Throttle, now: float, began: float, failure: Failure) -> Decision | None:
    return throttle.failed(now, Departed(began, 1 + round(1000 * began)), round(1000 * now), failure)


def refused(status: int, retry_after: float | None = None) -> Failure:
    return Failure(call="models/upload", kind=FailureKind.STATUS, status=status, message="", retry_after=retry_after)


def test_those_who_come_together_leave_evenly() -> None:
    assert starts_of(Pacer(10.0), 100.0, 4) == pytest.approx([100.0, 100.1, 100.2, 100.3])


def test_an_idle_time_is_not_saved_up() -> None:
    """After an hour of nothing there is no burst."""
    pacer = Pacer(2.0)
    starts_of(pacer, 0.0, 3)
    assert starts_of(pacer, 3600.0, 3) == pytest.approx([3600.0, 3600.5, 3601.0])


def test_late_timers_do_not_lower_the_rate() -> None:
    """Everybody wakes up two milliseconds late, and a hundred a second still leave."""
    pacer, now = Pacer(100.0), 0.0
    for _ in range(1000):
        while (seconds := pacer.take(now)) > 0.0:
            now += seconds + 0.002
    assert now == pytest.approx(10.0, abs=0.05)


def test_bytes_are_paced_by_their_number() -> None:
    """A large piece holds the next one back for as long as it takes."""
    pacer = byte_pacer(1000.0)
    assert pacer.take(0.0, 500) == 0.0
    assert pacer.take(0.0, 1) == pytest.approx(0.5)


def test_without_a_rate_nobody_waits() -> None:
    assert starts_of(Pacer(None), 5.0, 1000) == [5.0] * 1000


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_a_pause_holds_for_everybody(rate: float | None) -> None:
    """Retry-After, told to one, is obeyed by all; also where there is no rate."""
    pacer = Pacer(rate)
    pacer.hold(10.0, 5.0)
    assert pacer.take(10.0) == pytest.approx(5.0)
    assert pacer.take(12.0) == pytest.approx(3.0)
    assert pacer.take(15.0) == 0.0


def test_after_a_pause_the_pace_is_even_again() -> None:
    pacer = Pacer(10.0)
    pacer.hold(0.0, 3.0)
    assert starts_of(pacer, 1.0, 3) == pytest.approx([3.0, 3.1, 3.2])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pacer = Pacer(None)
    pacer.hold(0.0, 60.0)
    pacer.hold(1.0, 2.0)
    assert pacer.take(1.0) == pytest.approx(59.0)


def test_a_rate_that_rises_frees_who_waits() -> None:
    """What was taken at a low rate does not hold back for longer than the new rate says."""
    pacer = Pacer(0.1)
    pacer.take(0.0)
    assert pacer.take(1.0) > 3.0
    pacer.rate = 10.0
    assert pacer.take(1.0) == 0.0


def test_leave_that_is_not_used_is_given_back() -> None:
    """What turned out to be there already costs the others no turn."""
    pacer = Pacer(10.0)
    assert pacer.take(100.0) == 0.0
    assert pacer.take(100.0) == pytest.approx(0.1)
    pacer.give_back()
    assert pacer.take(100.0) == 0.0
    assert pacer.take(100.0) == pytest.approx(0.1)


@given(
    st.floats(0.1, 1000),
    st.lists(st.one_of(st.floats(0, 5), st.tuples(st.floats(0, 5), st.floats(0, 5))), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_its_share(rate: float, steps: list[float | tuple[float, float]]) -> None:
    """G5: whoever comes whenever, and whatever pauses are asked for: no second holds more than the rate and one."""
    pacer, now, starts = Pacer(rate), 1_000_000.0, [0.0]
    for step in steps:
        now = max(now + (step[0] if isinstance(step, tuple) else step), starts[-1])
        if isinstance(step, tuple):
            pacer.hold(now, step[1])
        start = wait_for_turn(pacer, now)
        assert start >= now + (step[1] if isinstance(step, tuple) else 0.0) - 1e-6
        starts.append(start)
    for first in range(1, len(starts)):
        for last in range(first + 1, len(starts)):
            assert starts[last] - starts[first] >= (last - first - 0.5) / rate - 1e-6


def test_the_lowest_rate_counts() -> None:
    """What the user asked for, what the registry takes, and the pauses of an outage."""
    throttle = Throttle(asked=50.0)
    assert throttle.rate(0.0) == 50.0
    for number in range(20):
        accept(throttle, number / 40, number / 40)
    decision = fail(throttle, 0.5, 0.5, refused(429))
    assert decision is not None
    assert throttle.rate(0.5) == decision.after
    assert decision.after is not None
    assert decision.after < 20.0
    for second in range(1, 10):
        fail(throttle, float(second), float(second), refused(503))
    assert throttle.rate(10.0) == pytest.approx(1 / 8)


def test_an_asked_rate_is_never_passed_by_a_learnt_one() -> None:
    throttle = Throttle(asked=10.0)
    accept(throttle, 0.0, 0.0)
    fail(throttle, 1.0, 1.0, refused(429))
    accept(throttle, 2.0, 2.0)
    assert all((throttle.rate(2.0 + seconds) or 99.0) <= 10.0 for seconds in range(1000))


def test_only_who_says_so_limits_a_rate() -> None:
    """429, and whatever comes with a Retry-After; a crash is no limit."""
    assert fail(Throttle(None), 0.0, 0.0, refused(503)) is None
    assert fail(Throttle(None), 0.0, 0.0, refused(503, retry_after=2.0)) is not None


def test_after_a_burst_that_was_refused_nothing_leaves_for_a_second() -> None:
    """It fills the registry's second: whatever is sent in it is refused, too."""
    throttle = Throttle(None)
    for _ in range(20):
        accept(throttle, 0.05, 0.0)
    fail(throttle, 0.05, 0.0, refused(429))
    assert throttle.take(0.05) == pytest.approx(1.0)
    assert throttle.take(1.05) == 0.0


def test_a_lone_call_that_is_refused_holds_nobody() -> None:
    """It says nothing about the second before it."""
    throttle = Throttle(None)
    fail(throttle, 0.05, 0.0, refused(429))
    assert throttle.take(0.05) == 0.0


@given(st.floats(1e-9, 3600.0), st.integers(0, 10**10))
def test_a_timer_on_a_clock_of_milliseconds_fires_once(seconds: float, began: int) -> None:
    """uvloop's: it rounds what it is asked for, and its clock shows whole ones."""
    set_to = timer_seconds(seconds)
    now = began / 1000
    fires = (began + round((now + set_to - now) * 1000)) / 1000
    assert fires >= now + set_to
    assert seconds - 1e-6 <= fires - now < seconds + 0.001 + 1e-6
