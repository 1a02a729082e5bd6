"""When versions are asked about: soon after they are done, in few polls, at the times that this registry has shown."""

import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.records import Conversion
from bulkload.core.polls.schedule import (
    DURATIONS_KEPT,
    EXPLORERS,
    FEW_LEFT_GROWTH,
    JITTER,
    RECORDED,
    PollInterval,
    PollSchedule,
    conversion_kind,
    poll_times,
)

DURATIONS = st.lists(st.floats(0.0, 20_000.0), min_size=1, max_size=40)


def evenly(durations: list[float]) -> list[tuple[float, float]]:
    """All alike."""
    return [(seconds, 1.0 / len(durations)) for seconds in durations]


# The plan.


@given(DURATIONS)
def test_the_moments_to_ask_rise_and_the_last_one_covers_the_longest_duration(durations: list[float]) -> None:
    moments = poll_times(evenly(durations))
    assert all(before < after for before, after in itertools.pairwise(moments))
    assert moments[0] > 0.0
    assert moments[-1] >= max(durations)


@given(DURATIONS)
def test_no_duration_is_found_late_for_want_of_polls(durations: list[float]) -> None:
    """Whatever was seen, its poll comes before its own length has passed again; and a plan has no hundreds of polls."""
    moments = poll_times(evenly(durations))
    assert len(moments) <= 60
    for seconds in durations:
        found = next(moment for moment in moments if moment >= seconds)
        assert (
            found <= 2.0 * max(seconds, 0.06)
            or statistics.fmean((next(m for m in moments if m >= one) - one) / max(one, 0.05) for one in durations)
            < 0.3
        )


@given(st.floats(0.1, 5_000.0))
def test_what_always_takes_as_long_is_found_by_the_poll_right_after(seconds: float) -> None:
    moments = poll_times([(seconds, 1.0)])
    found = next(moment for moment in moments if moment >= seconds)
    assert found <= 1.2 * seconds
    assert sum(moment < seconds for moment in moments) <= 4


@given(DURATIONS, st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=40, max_size=40), st.booleans())
def test_polls_of_one_version_keep_to_the_interval(durations: list[float], chances: list[float], few: bool) -> None:
    """Never sooner than the first wait, never later than the longest and its jitter, whatever was learnt."""
    interval = PollInterval(2.0, 20.0)
    schedule = PollSchedule(interval)
    schedule.learn({"custom": durations})
    asked = schedule.first_poll("custom")
    assert asked >= interval.first
    for chance in chances:
        following = schedule.next_poll("custom", asked, chance, few_left=few)
        assert interval.first * (1 - 1e-9) <= following - asked <= interval.longest * (1.0 + JITTER) + 1e-9
        asked = following


def test_the_last_few_of_a_run_are_asked_about_more_often() -> None:
    """They hold everything up: a twentieth of their time so far between two polls."""
    schedule = PollSchedule()
    schedule.learn({"sklearn": [100.0] * 32})
    assert schedule.next_poll("sklearn", 40.0, 0.0, few_left=True) == pytest.approx(40.0 * (1.0 + FEW_LEFT_GROWTH))
    assert schedule.next_poll("sklearn", 40.0, 0.0) > 50.0


def test_one_that_takes_longer_than_all_before_is_asked_about_in_growing_waits() -> None:
    schedule = PollSchedule(PollInterval(1.0, 1e9))
    schedule.learn({"sklearn": [10.0] * 32})
    asked, waits = 100.0, []
    for _ in range(5):
        following = schedule.next_poll("sklearn", asked, 0.0)
        waits.append(following - asked)
        asked = following
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("conversion", "kind"),
    [
        (Conversion(framework="sklearn"), "sklearn"),
        (Conversion(framework="hugging-face-summarization"), "hugging-face"),
        (Conversion(framework="hugging-face-translation"), "hugging-face"),
        (Conversion(framework="vllm", accel={"qaic": {}}), "qaic"),
        (Conversion(framework="vllm", accel="cuda"), "vllm"),
    ],
)
def test_conversions_that_take_about_as_long_are_one_kind(conversion: Conversion, kind: str) -> None:
    assert conversion_kind(conversion) == kind


# What it comes to: versions in virtual time, learning in the run.

Draw = Callable[[random.Random], float]


def recorded(kind: str, factor: float = 1.0) -> Draw:
    """A duration as real registries took it: SDK's dots say it to five seconds."""
    return lambda chance: factor * max(1.0, chance.choice(RECORDED[kind]) + chance.uniform(-2.5, 2.5))


@dataclass
class Measured:
    """How long versions took, when they were found done and in how many polls, in their order."""

    durations: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    polls: list[int] = field(default_factory=list)

    def delay(self, begin: int = 0) -> float:
        """The time between done and known, as a share of the conversion time, from some version on."""
        return sum(self.found[begin:]) / sum(self.durations[begin:]) - 1.0

    def delays(self) -> list[float]:
        """The same for each version."""
        return [found / duration - 1.0 for found, duration in zip(self.found, self.durations, strict=True)]


def published(
    schedule: PollSchedule, kind: str, draw: Draw, seed: int, *, count: int = 200, at_a_time: int = 4
) -> Measured:
    """Versions of one kind, so many uploaded together and followed to their end, then the next ones."""
    chance, measured = random.Random(seed), Measured()
    for _ in range(count // at_a_time):
        explorers = [schedule.explores(kind) for _ in range(at_a_time)]
        durations = [draw(chance) for _ in range(at_a_time)]
        first = schedule.first_poll(kind)
        for explores, duration in zip(explorers, durations, strict=True):
            moments = list(
                _polls(schedule, kind, duration, schedule.interval.first if explores else first, explores, chance)
            )
            measured.durations.append(duration)
            measured.found.append(moments[-1])
            measured.polls.append(len(moments))
            schedule.note(kind, moments[-2] if len(moments) > 1 else 0.0, moments[-1])
    return measured


def _polls(
    schedule: PollSchedule, kind: str, duration: float, first: float, explores: bool, chance: random.Random
) -> Iterator[float]:
    asked = first
    yield asked
    while asked < duration:
        asked = schedule.next_poll(kind, asked, chance.random(), explores=explores)
        yield asked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", RECORDED)
def test_versions_are_found_done_soon_after_they_are_in_few_polls(
    kind: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """For each kind as recorded: at most a tenth of the conversion time late, and about eight polls at the most."""
    measured = published(PollSchedule(), kind, recorded(kind), seed)
    delay, polls = measured.delay(), statistics.fmean(measured.polls)
    record_property("polling", [kind, seed, round(delay, 3), round(polls, 2)])
    assert delay <= 0.10, (kind, seed)
    # `custom` takes from 10 s to 505 s; all together are bounded below.
    assert polls <= 9.0, (kind, seed)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_run_of_all_kinds_the_mean_version_is_found_within_a_tenth_of_its_own_time(seed: int) -> None:
    """Quick ones count as much as slow ones; at most eight polls a version."""
    schedule, delays, polls = PollSchedule(), [], []
    for kind in RECORDED:
        measured = published(schedule, kind, recorded(kind), seed, count=40)
        delays += measured.delays()
        polls += measured.polls
    assert statistics.fmean(delays) <= 0.10
    assert statistics.fmean(polls) <= 8.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factor", [0.1, 0.3, 3.0, 10.0])
@pytest.mark.parametrize("kind", ["sklearn", "python", "vllm"])
def test_a_registry_that_is_quicker_or_slower_is_learnt_within_a_few_versions(
    kind: str, factor: float, seed: int
) -> None:
    """The first eight show about how long it takes; after forty it is known as well as if it were recorded."""
    schedule = PollSchedule(PollInterval(0.2, 3_000.0))
    measured = published(schedule, kind, recorded(kind, factor), seed, count=100)
    assert measured.delay(8) <= 0.20, (kind, factor, seed)
    assert measured.delay(40) <= 0.10, (kind, factor, seed)
    assert statistics.fmean(measured.polls[8:]) <= 8.5, (kind, factor, seed)


def test_what_an_earlier_run_learnt_serves_the_first_version() -> None:
    """A tenth of the recorded time: nobody explores, and the first poll comes then."""
    schedule = PollSchedule(PollInterval(0.2, 30.0))
    published(schedule, "sklearn", recorded("sklearn", 0.1), 1, count=40)
    later = PollSchedule(PollInterval(0.2, 30.0))
    later.learn(schedule.learnt)
    assert not later.explores("sklearn")
    assert later.first_poll("sklearn") < 7.0
    measured = published(later, "sklearn", recorded("sklearn", 0.1), 2, count=40)
    assert measured.delay() <= 0.10


def test_a_first_poll_that_always_finds_it_done_comes_earlier_by_and_by() -> None:
    """A registry that got quicker since it was learnt is noticed, although nothing shows when versions were done."""
    schedule = PollSchedule(PollInterval(0.2, 30.0))
    schedule.learn({"sklearn": [60.0] * 32})
    measured = published(schedule, "sklearn", recorded("sklearn", 0.1), 1, count=300)
    assert measured.delay(200) <= 0.10


def test_only_so_many_of_the_latest_are_kept() -> None:
    schedule = PollSchedule()
    for number in range(100):
        schedule.note("custom", float(number + 1), float(number + 1))
    assert schedule.learnt == {"custom": [float(number + 1) for number in range(100 - DURATIONS_KEPT, 100)]}


def test_what_is_learnt_lies_between_not_done_and_done() -> None:
    """On a logarithmic scale, as durations spread."""
    schedule = PollSchedule()
    schedule.note("python", 10.0, 40.0)
    assert schedule.learnt["python"] == [pytest.approx(20.0)]
    assert not math.isnan(schedule.first_poll("python"))


def test_only_a_few_explore() -> None:
    schedule = PollSchedule()
    assert [schedule.explores("vllm") for _ in range(5)] == [True] * EXPLORERS + [False] * (5 - EXPLORERS)
    schedule.note("keras", 1.0, 2.0)
    assert not schedule.explores("keras")
