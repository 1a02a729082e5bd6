"""Versions are asked about when they are due, in that order, and nobody is forgotten when ten thousand are."""

from collections import Counter

import pytest

from bulkload.core.polls.queue import NEVER, FirstPolls, FurtherPolls, Watch
from bulkload.core.polls.schedule import EXPLORERS, JITTER, PollInterval, PollSchedule

FAR = 1e9


def watch(version_id: int = 1, kind: str = "sklearn", since: float = 0.0) -> Watch:
    return Watch(version_id, version_id, kind, since, converting=True, fresh=True)


@pytest.fixture
def schedule() -> PollSchedule:
    """One to which every kind took ten seconds so far."""
    schedule = PollSchedule(PollInterval(1.0, 30.0))
    schedule.learn({"sklearn": [10.0] * 32, "custom": [100.0] * 32})
    return schedule


# First polls.


def test_nothing_is_due_where_nothing_is_watched(schedule: PollSchedule) -> None:
    assert FirstPolls(schedule).due == FurtherPolls(schedule).due == NEVER
    assert len(FirstPolls(schedule)) == len(FurtherPolls(schedule)) == 0


def test_first_polls_come_when_versions_of_their_kind_are_likely_done(schedule: PollSchedule) -> None:
    """Whichever was uploaded first: what converts quickly is asked about before what takes long."""
    first = FirstPolls(schedule)
    first.add(watch(1, "custom", since=0.0), at_once=False)
    first.add(watch(2, "sklearn", since=5.0), at_once=False)
    first.add(watch(3, "sklearn", since=6.0), at_once=False)
    assert first.due == 5.0 + schedule.first_poll("sklearn")
    assert [first.pop().version_id for _ in range(3)] == [2, 3, 1]
    assert (len(first), first.due) == (0, NEVER)


def test_what_may_be_done_already_is_asked_about_at_once(schedule: PollSchedule) -> None:
    """In the order in which it came."""
    first = FirstPolls(schedule)
    first.add(watch(1, since=10.0), at_once=False)
    for version_id in (2, 3, 4):
        first.add(watch(version_id, since=10.0), at_once=True)
    assert first.due == 10.0
    assert [first.pop().version_id for _ in range(4)] == [2, 3, 4, 1]


def test_what_is_learnt_meanwhile_holds_for_all_of_a_kind() -> None:
    """Those that wait for their first poll are asked about earlier, too."""
    schedule = PollSchedule()
    schedule.learn({"vllm": [250.0] * 64})
    first = FirstPolls(schedule)
    first.add(watch(1, "vllm"), at_once=False)
    before = first.due
    for _ in range(64):
        schedule.note("vllm", 9.0, 11.0)
    assert before > 100.0
    assert 9.0 < first.due < 20.0


def test_a_few_explore_how_quick_this_registry_is() -> None:
    """Of a kind that it has not shown yet, and only of that."""
    schedule = PollSchedule(PollInterval(1.0, 30.0))
    schedule.learn({"sklearn": [50.0]})
    first = FirstPolls(schedule)
    watches = [watch(number, kind) for kind in ("custom", "sklearn") for number in range(10)]
    for one in watches:
        first.add(one, at_once=False)
    assert Counter(one.kind for one in watches if one.explores) == {"custom": EXPLORERS}
    assert first.due == 1.0
    assert all(first.pop().explores for _ in range(EXPLORERS))
    assert first.due > 1.0


# Further polls.


def test_further_polls_come_in_the_order_in_which_they_are_due(schedule: PollSchedule) -> None:
    further = FurtherPolls(schedule)
    further.add(watch(1, "custom", since=0.0), 50.0, FAR, 0.0, few_left=False)
    further.add(watch(2, "sklearn", since=48.0), 50.0, FAR, 0.0, few_left=False)
    assert further.pop().version_id == 2
    assert further.pop().version_id == 1


def test_a_poll_is_counted_and_its_moment_kept(schedule: PollSchedule) -> None:
    further, one = FurtherPolls(schedule), watch(since=3.0)
    further.add(one, 5.0, FAR, 0.0, few_left=False)
    assert (one.polls, one.asked) == (1, 2.0)


def test_the_last_poll_comes_at_the_end_of_the_wait(schedule: PollSchedule) -> None:
    """However far away the next one would be: what ended until then is found."""
    further = FurtherPolls(schedule)
    further.add(watch(), 100.0, 101.5, 0.0, few_left=False)
    assert further.due == 101.5


def test_jitter_parts_those_who_were_asked_about_together(schedule: PollSchedule) -> None:
    further = FurtherPolls(schedule)
    for number in range(100):
        further.add(watch(number), 2.0, FAR, number / 100, few_left=False)
    earliest = further.due
    while len(further) > 1:
        further.pop()
    latest = further.due
    assert (latest - 2.0) / (earliest - 2.0) == pytest.approx(1.0 + 0.99 * JITTER)


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_that_are_due_have_their_turns_one_after_the_other(count: int) -> None:
    """At twenty a second it takes 500 s to ask about 10,000: each is asked about once before any is asked again."""
    schedule = PollSchedule(PollInterval(1.0, 30.0))
    schedule.learn({"sklearn": [10_000.0] * 32})
    further, now, asked = FurtherPolls(schedule), 100.0, Counter[int]()
    for number in range(count):
        further.add(watch(number), now, FAR, (number * 7 % 100) / 100, few_left=False)
    # To ask about all takes longer than the longest interval, whatever their count.
    between = 500 / count
    worst = 0
    for _ in range(5 * count):
        now = max(now + between, further.due)
        one = further.pop()
        asked[one.version_id] += 1
        worst = max(worst, asked[one.version_id] - asked.total() // count)
        further.add(one, now, FAR, (one.version_id * 13 % 100) / 100, few_left=False)
    assert min(asked.values()) >= 4
    assert max(asked.values()) <= 6
    assert worst <= 2
