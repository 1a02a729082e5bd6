"""While nothing is taken everybody pauses, ever longer; one success ends it."""

from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.limits.adapting import Departed
from bulkload.core.limits.outage import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, OWN_ROUNDS, Outage, Prospect
from bulkload.core.limits.pacing import Throttle
from bulkload.core.verdicts import Failure, FailureKind

DOWN = Failure(call="models/upload", kind=FailureKind.STATUS, status=503, message="down")


def sent(began: float) -> Departed:
    """A call that left then: a thousand calls may in a second."""
    return Departed(began, round(began * 1000) + 1)


def latest(now: float) -> int:
    """The number of the last call that left before."""
    return sent(now).number - 1


def after_rounds(count: int, outage: Outage | None = None) -> Outage:
    """An outage in which each second a call began and failed."""
    outage = outage or Outage()
    for second in range(count):
        outage.failed(second + 0.5, sent(second), latest(second + 0.5))
    return outage


def test_there_is_none_before_a_failure() -> None:
    outage = Outage()
    assert (outage.pause, outage.since) == (0.0, None)
    assert outage.prospect(100.0, 600.0) is Prospect.NO_OUTAGE


def test_the_first_failures_are_each_calls_own_affair() -> None:
    assert [after_rounds(count).pause for count in range(OWN_ROUNDS + 1)] == [0.0] * 5


def test_then_everybody_pauses_twice_as_long_each_time_up_to_a_limit() -> None:
    pauses = [after_rounds(OWN_ROUNDS + count).pause for count in range(1, 8)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    assert after_rounds(100_000).pause == LONGEST_PAUSE_SECONDS


def test_a_hundred_failures_of_one_moment_are_one_round() -> None:
    outage = Outage()
    for number in range(100):
        outage.failed(10.0 + number / 1000, sent(9.0 + number / 1000), latest(10.0 + number / 1000))
    assert outage.pause == 0.0


def test_one_success_ends_it() -> None:
    outage = after_rounds(10)
    outage.succeeded(sent(10.5))
    assert (outage.pause, outage.since) == (0.0, None)
    assert after_rounds(OWN_ROUNDS, outage).pause == 0.0


def test_patience_counts_from_the_first_failure() -> None:
    outage = after_rounds(10)
    assert outage.since == 0.5
    assert outage.prospect(600.4, 600.0) is Prospect.GO_ON
    assert outage.prospect(600.5, 600.0) is Prospect.GIVE_UP


def test_without_patience_the_first_rounds_are_tried_all_the_same() -> None:
    """A single failure is no outage."""
    assert after_rounds(OWN_ROUNDS).prospect(99.0, 0.0) is Prospect.NO_OUTAGE
    assert after_rounds(OWN_ROUNDS + 1).prospect(99.0, 0.0) is Prospect.GIVE_UP


def test_one_call_asks_now_and_then_whether_it_is_over() -> None:
    """Ten minutes of nothing cost some eighty calls, however many wait; the end is noticed after one pause."""
    throttle, now, calls = Throttle(None), 0.0, 0
    while now < 600.0:
        wait = throttle.take(now)
        if wait > 0.0:
            now += wait
            continue
        calls += 1
        throttle.failed(now + 0.1, sent(now), latest(now + 0.1), DOWN)
        now += 0.1
    assert 600 / LONGEST_PAUSE_SECONDS <= calls <= 600 / LONGEST_PAUSE_SECONDS + 20
    assert throttle.take(now) <= LONGEST_PAUSE_SECONDS
    throttle.accepted(now, sent(now), latest(now))
    assert throttle.take(now) == 0.0


def test_what_began_before_it_does_not_end_it() -> None:
    """An answer that was under way when the registry went down."""
    outage = Outage()
    outage.failed(10.0, sent(9.9), latest(10.0))
    outage.succeeded(sent(9.8))
    assert outage.since == 10.0
    outage.succeeded(sent(10.1))
    assert outage.since is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 10.0), st.floats(0.0, 30.0)), max_size=60))
def test_whatever_happens_a_pause_is_bounded_and_needs_a_failure(steps: list[tuple[bool, float, float]]) -> None:
    outage, now = Outage(), 0.0
    for success, passed, took in steps:
        now += passed
        if success:
            outage.succeeded(sent(now))
        else:
            outage.failed(now, sent(now - took), latest(now))
        assert (outage.since is None) == success
        assert 0.0 <= outage.pause <= (0.0 if success else LONGEST_PAUSE_SECONDS)


def test_what_is_told_of_an_outage_says_since_when_until_when_and_when_the_next_try_is() -> None:
    """A call's own backoff, or everybody's pause, whichever is longer; nothing before it is one, or when it is over."""
    assert after_rounds(OWN_ROUNDS).told("upload", 5.0, DOWN, 0.2, 600.0) is None
    told = after_rounds(OWN_ROUNDS + 1).told("upload", 5.0, DOWN, 0.2, 600.0)
    assert told is not None
    assert (told.kind, told.call, told.reason) == ("upload", "models/upload", "models/upload: 503 down")
    assert (told.since, told.next_try, told.gives_up_at) == (0.5, 5.5, 600.5)
    later = after_rounds(OWN_ROUNDS + 1).told("upload", 5.0, DOWN, 3.0, 600.0)
    assert later is not None
    assert later.next_try == 8.0
    assert after_rounds(OWN_ROUNDS + 1).told("upload", 700.0, DOWN, 0.2, 600.0) is None
