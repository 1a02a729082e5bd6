"""What a registry allows is learnt from how it answers: uploads at a time, and calls a second."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bulkload.core.limits.adapting import (
    CALM_SECONDS,
    FIRST_CONCURRENCY,
    LONGEST_CALM_SECONDS,
    LOWEST_RATE,
    QUICK_SECONDS,
    RETURN_SECONDS,
    Concurrency,
    Decision,
    Departed,
    LearntRate,
)
from bulkload.core.limits.pacing import Pacer
from tests.variants import each_once, every

QUICK = QUICK_SECONDS / 2


def sent(began: float) -> Departed:
    """A call that left then: a thousand calls may in a second."""
    return Departed(began, round(began * 1000) + 1)


def latest(now: float) -> int:
    """The number of the last call that left before."""
    return sent(now).number - 1


def a_round(
    concurrency: Concurrency, now: float, seconds: float | None = QUICK, *, busy: bool = True
) -> list[Decision]:
    """As many answers as there are uploads at a time, each after ``seconds``."""
    answers = [concurrency.accepted(sent(now), latest(now), seconds, busy=busy) for _ in range(concurrency.limit)]
    return [decision for decision in answers if decision is not None]


def after_rounds(concurrency: Concurrency, count: int) -> int:
    """The limit after so many rounds that went well, a second each."""
    for number in range(count):
        a_round(concurrency, float(number))
    return concurrency.limit


# Uploads at a time.


def test_large_bodies_need_not_end_for_more_to_begin() -> None:
    """One that takes an hour says within a second whether it moves; one failure, and answers decide again."""
    concurrency = Concurrency(64)
    limits = []
    for tenth in range(61):
        concurrency.moving(tenth / 10, busy=True)
        limits.append(concurrency.limit)
    assert (limits[0], limits[9], limits[10], limits[20], limits[60]) == (4, 4, 8, 16, 64)
    concurrency.failed(sent(6.5), latest(7.0), "503")
    concurrency.moving(60.0, busy=True)
    assert concurrency.limit == 32
    idle = Concurrency(64)
    assert all(idle.moving(float(second), busy=False) is None for second in range(100))


def test_it_starts_low_and_doubles_each_round_while_that_helps() -> None:
    concurrency = Concurrency(64)
    assert concurrency.limit == FIRST_CONCURRENCY == 4
    assert [after_rounds(concurrency, 1) for _ in range(5)] == [8, 16, 32, 64, 64]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_it_is_never_above_the_most_and_never_below_one(most: int) -> None:
    concurrency = Concurrency(most)
    assert concurrency.limit == min(most, FIRST_CONCURRENCY)
    assert after_rounds(concurrency, 10) == most
    for second in range(20):
        concurrency.failed(sent(100.0 + second), latest(100.0 + second), "503")
        assert 1 <= concurrency.limit <= most
    assert concurrency.limit == 1
    for second in range(200, 200 + most):
        a_round(concurrency, float(second))
    assert concurrency.limit == most


def test_a_failure_halves_it_at_once_and_says_why() -> None:
    concurrency = Concurrency(64, limit=32)
    assert concurrency.failed(sent(9.0), latest(10.0), "models/upload: 503") == Decision(32, 16, "models/upload: 503")


def test_after_a_failure_it_grows_by_one_a_round() -> None:
    """The limit is near: there is nothing to search for."""
    concurrency = Concurrency(64, limit=32)
    concurrency.failed(sent(0.0), latest(0.0), "503")
    assert [after_rounds(concurrency, 1) for _ in range(3)] == [17, 18, 19]


def test_answers_that_take_longer_cut_it_at_once_and_say_so() -> None:
    concurrency = Concurrency(64, limit=10)
    assert a_round(concurrency, 1.0, 0.2) == [Decision(10, 20, "answers are as quick as before")]
    (decision,) = a_round(concurrency, 2.0, 0.5)
    assert (decision.before, decision.after) == (20, 16)
    assert decision.reason == "answers take 0.50 s, they took 0.20 s"


def test_answers_that_are_quick_anyway_may_take_longer() -> None:
    """A few milliseconds more are no queue."""
    concurrency = Concurrency(64, limit=8)
    a_round(concurrency, 1.0, QUICK_SECONDS / 100)
    a_round(concurrency, 2.0, QUICK_SECONDS / 2)
    assert concurrency.limit == 32


def test_one_slow_answer_of_many_cuts_nothing() -> None:
    """It is the mean of a round that counts."""
    concurrency = Concurrency(64, limit=16)
    a_round(concurrency, 1.0, 0.2)
    concurrency.accepted(sent(2.0), latest(2.0), 3.0, busy=True)
    for _ in range(31):
        concurrency.accepted(sent(2.0), latest(2.0), 0.2, busy=True)
    assert concurrency.limit == 64


@pytest.mark.parametrize("reason", ["a refusal", "a rising latency"])
def test_what_began_before_the_last_cut_says_nothing_about_it(reason: str) -> None:
    """Thirty uploads that one moment refuses are one refusal, and what else was under way neither cuts nor grows it."""
    concurrency = Concurrency(64, limit=32)
    if reason == "a refusal":
        concurrency.failed(sent(9.0), latest(10.0), "503")
    else:
        a_round(concurrency, 5.0, 0.2)
        a_round(concurrency, 10.0, 1.0)
    limit = concurrency.limit
    for _ in range(100):
        assert concurrency.failed(sent(9.5), latest(11.0), "503") is None
        assert concurrency.accepted(sent(9.5), latest(11.0), 5.0, busy=True) is None
    assert concurrency.limit == limit
    assert concurrency.failed(sent(11.0), latest(12.0), "503") is not None


def test_it_is_not_grown_while_it_is_not_used() -> None:
    """With fewer uploads than it allows, nothing shows that more would be taken."""
    concurrency = Concurrency(64)
    for second in range(10):
        assert a_round(concurrency, float(second), busy=False) == []
    assert concurrency.limit == FIRST_CONCURRENCY


def test_answers_without_a_time_grow_it_and_cut_nothing() -> None:
    """A large body's last bytes lie in buffers: when it was sent is not known."""
    concurrency = Concurrency(16)
    a_round(concurrency, 1.0, None)
    assert concurrency.limit == 8


# Calls a second.


@dataclass
class Attempts:
    """What a registry was sent, and what it took."""

    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def per_second(self, begin: float, end: float) -> float:
        """Calls taken a second, between two moments."""
        return sum(begin <= moment < end for moment in self.taken) / (end - begin)


def attempts_of(
    takes: Callable[[float], bool],
    seconds: float,
    *,
    at_a_time: int = 32,
    latency: float = 0.05,
    learnt: LearntRate | None = None,
) -> Attempts:
    """Send all the time, so many calls at a time, paced by what is learnt; ``takes``: whether it takes one now."""
    learnt = learnt or LearntRate()
    pacer, attempts, now, number = Pacer(None), Attempts(), 0.0, 0
    # (when something happens, a number, when the call began; None: somebody is free to send)
    events: list[tuple[float, int, float | None, bool]] = [(0.0, number, None, False) for number in range(at_a_time)]
    number = at_a_time
    while events and now < seconds:
        now, _, began, taken = heapq.heappop(events)
        number += 1
        if began is not None:
            if taken:
                learnt.accepted(now, sent(began))
            else:
                learnt.refused(now, sent(began), latest(now), "429")
        pacer.rate = learnt.rate(now)
        wait = pacer.take(now)
        if wait > 0.0:
            heapq.heappush(events, (now + min(wait, 1.0), number, None, False))
            continue
        taken = takes(now)
        (attempts.taken if taken else attempts.refused).append(now)
        heapq.heappush(events, (now + latency, number, now, taken))
    return attempts


def sliding_window(limit: int) -> Callable[[float], bool]:
    """A registry that takes so many calls in any second."""
    times: deque[float] = deque()

    def takes(now: float) -> bool:
        while times and times[0] <= now - 1.0:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now)
        return True

    return takes


def test_there_is_no_limit_before_a_refusal() -> None:
    learnt = LearntRate()
    assert learnt.rate(0.0) is None
    for number in range(1000):
        learnt.accepted(number / 100, sent(number / 100))
    assert learnt.rate(10.0) is None


def test_a_burst_that_is_refused_teaches_the_rate() -> None:
    """Twenty of a first burst are taken within a second: that is the limit, and the rate is cut to just below it."""
    learnt = LearntRate()
    for _ in range(20):
        learnt.accepted(0.05, sent(0.0))
    decision = learnt.refused(0.05, sent(0.0), latest(0.05), "429")
    assert decision is not None
    assert decision.before is None
    assert decision.reason == "429"
    assert decision.after == pytest.approx(20.0, rel=0.1)
    assert decision.after is not None
    assert decision.after < 20.0
    assert learnt.rate(3600.0) == decision.after  # nothing was taken since: no reason to go up


def test_it_returns_near_the_limit_and_then_looks_beyond() -> None:
    """Quickly at first, ever slower as it comes near, then ever faster; it never falls on its own."""
    learnt = LearntRate()
    for _ in range(100):
        learnt.accepted(0.5, sent(0.0))
    decision = learnt.refused(1.0, sent(0.5), latest(1.0), "429")
    assert decision is not None
    learnt.accepted(2.0, sent(2.0))
    rates = [learnt.rate(2.0 + tenths / 10) or float("inf") for tenths in range(700)]
    assert rates[-1] == float("inf")
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(decision.after)
    limit = rates[int(10 * RETURN_SECONDS)]
    assert limit == pytest.approx(98.0)
    assert rates[int(10 * RETURN_SECONDS / 2)] > limit - (limit - rates[0]) / 5
    assert rates[int(10 * CALM_SECONDS)] == pytest.approx(limit)
    assert rates[int(10 * CALM_SECONDS) + 80] > 10 * limit


def test_what_began_before_a_cut_is_ignored() -> None:
    """The rest of the burst is refused, too, and says nothing new; nor does what of it is taken late."""
    learnt = LearntRate()
    for _ in range(20):
        learnt.accepted(0.05, sent(0.0))
    learnt.refused(0.05, sent(0.0), latest(0.05), "429")
    rate = learnt.rate(0.1)
    for _ in range(50):
        assert learnt.refused(0.06, sent(0.04), latest(0.06), "429") is None
        learnt.accepted(0.06, sent(0.04))
    assert learnt.rate(0.1) == learnt.rate(100.0) == rate


@pytest.mark.parametrize(("limit", "latency"), each_once([10, 20, 100], [0.005, 0.05, 0.5]))
def test_a_limit_is_filled_and_hardly_ever_passed(limit: int, latency: float) -> None:
    """A sliding window of a second, as nobody tells it: nine tenths of it are used, two in a hundred refused."""
    seconds = 100.0
    # As many in the first burst as a run has in flight at first.
    attempts = attempts_of(sliding_window(limit), seconds, at_a_time=64 if latency > 0.1 else 8, latency=latency)
    assert len(attempts.taken) >= 0.9 * limit * seconds
    burst = sum(moment < 1.0 for moment in attempts.refused)
    assert len(attempts.refused) - burst <= 0.02 * len(attempts.taken)
    # Those that were under way when the first one was refused.
    assert burst <= 80


@pytest.mark.parametrize("after", every(2, [200, 1000]))
def test_a_limit_that_is_lifted_is_noticed(after: int) -> None:
    """With the next look beyond it."""
    before = 20
    low, high = sliding_window(before), sliding_window(after)
    seconds = 60.0 + LONGEST_CALM_SECONDS + 30.0
    attempts = attempts_of(lambda now: (low if now < 60.0 else high)(now), seconds, at_a_time=64)
    assert attempts.per_second(40.0, 60.0) > 0.9 * before
    assert attempts.per_second(seconds - 10.0, seconds) > 0.9 * after


@pytest.mark.parametrize(("seed", "share"), each_once(range(3), [1.0, 0.5, 0.1]))
def test_random_refusals_bring_it_down_and_it_is_full_again_within_half_a_minute(share: float, seed: int) -> None:
    """A registry that refuses whom it likes, however few they are, for a minute, and then nobody."""
    chance = random.Random(seed)
    learnt = LearntRate()
    attempts = attempts_of(
        lambda now: not 60.0 <= now < 120.0 or chance.random() >= share, 160.0, at_a_time=16, learnt=learnt
    )
    speed = attempts.per_second(30.0, 60.0)
    assert len(attempts.refused) < 0.02 * speed * 60
    assert attempts.per_second(150.0, 160.0) >= 0.9 * speed


def test_a_second_refusal_right_after_the_first_does_not_teach_a_lower_limit() -> None:
    """What was sent before the cut still fills the registry's second: the rate gives way, what is aimed at hardly."""
    learnt = LearntRate()
    for _ in range(100):
        learnt.accepted(0.5, sent(0.0))
    learnt.refused(1.0, sent(0.5), latest(1.0), "429")
    learnt.accepted(1.2, sent(1.1))
    decision = learnt.refused(1.3, sent(1.2), latest(1.3), "429")
    assert decision is not None
    assert decision.before is not None
    assert decision.after == pytest.approx(0.8 * decision.before)
    learnt.accepted(2.0, sent(1.9))
    assert learnt.rate(2.0 + RETURN_SECONDS) == pytest.approx(0.9 * 98.0)


def test_what_of_the_first_burst_passed_late_is_part_of_the_limit() -> None:
    """Refusals are answered sooner than what is accepted."""
    learnt = LearntRate()
    for _ in range(12):
        learnt.accepted(0.05, sent(0.0))
    learnt.refused(0.06, sent(0.05), latest(0.06), "429")
    for _ in range(8):
        learnt.accepted(0.1, sent(0.05))
    learnt.accepted(2.0, sent(1.9))
    assert learnt.rate(2.0 + RETURN_SECONDS) == pytest.approx(0.98 * 20)


def test_a_limit_that_is_met_again_is_looked_beyond_less_and_less() -> None:
    """Each look costs a pause of everybody, and a few refusals."""
    attempts = attempts_of(sliding_window(20), 600.0, at_a_time=8)
    assert sum(moment > 300.0 for moment in attempts.refused) <= 8
    assert attempts.per_second(300.0, 600.0) >= 0.95 * 20


def test_after_an_outage_the_rate_is_near_the_limit_at_once() -> None:
    """That nothing passed meanwhile does not lower it, that nothing was refused does not raise it."""
    learnt = LearntRate()
    for number in range(200):
        learnt.accepted(number / 20, sent(number / 20))
    learnt.refused(10.0, sent(10.0), latest(10.0), "429")
    learnt.accepted(12.0, sent(12.0))
    learnt.resumed(300.0, latest(300.0))
    learnt.accepted(300.0, sent(300.0))
    assert learnt.rate(300.0) == pytest.approx(0.95 * 0.98 * 20, rel=0.05)


def test_what_was_taken_before_the_refusal_counts_also_when_it_is_answered_later() -> None:
    """A refusal comes back at once; what was taken takes its time."""
    learnt = LearntRate()
    for _ in range(8):
        learnt.accepted(0.1, sent(0.0))
    learnt.refused(0.21, sent(0.2), latest(0.21), "429")
    for _ in range(12):
        learnt.accepted(0.3, sent(0.1))
    learnt.accepted(1.0, sent(0.9))
    assert learnt.rate(1.0 + RETURN_SECONDS) == pytest.approx(0.98 * 20)


def test_the_lowest_rate_is_one_a_second() -> None:
    """Below that a registry does not limit, it is down; that is an outage's affair."""
    learnt = LearntRate()
    for second in range(100):
        learnt.refused(float(second), sent(second), latest(second), "429")
    assert learnt.rate(1e6) == LOWEST_RATE
