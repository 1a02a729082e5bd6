"""A registry that refuses: it is asked little more than it must be, in time, and everything is published in the end."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.limits.run_limits import FailureLimit
from bulkload.core.model.errors import ExitCode
from bulkload.core.model.states import State
from tests.guarantees.registry_model import Overload, Refusal, RegistryModel, SlidingWindow
from tests.guarantees.scenarios import converted, entry
from tests.guarantees.world import LedgerKind, Life, World
from tests.variants import each_once, every

# When the registry begins and ends to refuse, and by when everything must be as it was.
BEGINS, ENDS = 10.0, 70.0
RECOVERED = ENDS + 30.0
# Sixteen at a time, each taking so long: twenty a second.
ANSWER_SECONDS = 0.8
FULL_SPEED = 16 / (ANSWER_SECONDS + 0.01)

SHARES = [1.0, 0.1, 0.5]
STATUSES = [429, 503]


def world_with(folder: Path, count: int, kind: LedgerKind = LedgerKind.FILE, **changes: Any) -> World:
    """A manifest of so many small models; changes go into the settings. (Of a thousand rows, a file costs less.)"""
    registry = RegistryModel(clock=lambda: 0.0, settle=10.0, answer_seconds=ANSWER_SECONDS)
    rows = [entry(f"m{number}", b"%d" % number) for number in range(count)]
    return World(folder, rows, registry, changes, kind, most_effects=1_000 * count)


def overloaded(folder: Path, count: int, refusal: Refusal, share: float, seed: int = 1, **changes: Any) -> World:
    """The same, while the registry refuses a share of all uploads for a minute."""
    world = world_with(folder, count, **changes)
    world.registry.refuses = Overload(BEGINS, ENDS, share, refusal, random.Random(seed))
    return world


def per_second(moments: list[float], begin: float, end: float) -> float:
    """How many a second, between two moments."""
    return sum(begin <= moment < end for moment in moments) / (end - begin)


def most_in_a_second(moments: list[float]) -> int:
    """The most within any window of one second."""
    most, first = 0, 0
    for number, moment in enumerate(moments):
        while moments[first] <= moment - 1.0:
            first += 1
        most = max(most, number - first + 1)
    return most


def speed_after(world: World) -> float:
    """Uploads a second for the five seconds from half a minute after the recovery on, or the last ones before that."""
    began = world.registry.began
    assert began[-1] > ENDS + 5.0
    end = min(RECOVERED + 5.0, began[-1])
    return per_second(began, end - 5.0, end)


def assert_published_once(world: World, life: Life) -> None:
    """Every entry, by the registry's own word, and the run says so."""
    assert life.summary is not None
    assert (life.summary.exit_code, life.summary.states[State.READY]) == (ExitCode.OK, len(world.rows))
    held = Counter((version.name, version.data) for version in world.registry.versions)
    assert held == Counter((row["name"], row["content"]) for row in world.rows)


def assert_polite(world: World) -> None:
    """R8: at most a tenth more attempts than first tries, and a hundred; nobody comes back before he was asked to."""
    assert len(world.registry.refused) > 0
    assert len(world.registry.began) <= 1.1 * len(world.rows) + 100
    assert world.registry.impatience <= 0.0


@pytest.mark.parametrize(("status", "share", "retry_after"), each_once(STATUSES, SHARES[:2], [None, 2.0]))
def test_an_overload_of_a_minute_costs_few_attempts_and_nothing_else(
    status: int, share: float, retry_after: float | None, folders: Iterator[Path]
) -> None:
    """All is published by the same run, and full speed is back within half a minute."""
    world = overloaded(next(folders), 1_000, Refusal(status, retry_after), share)
    life = world.live()
    assert_published_once(world, life)
    assert_polite(world)
    before = per_second(world.registry.began, 4.0, BEGINS)
    assert before > 0.9 * FULL_SPEED
    assert speed_after(world) >= 0.9 * FULL_SPEED


@pytest.mark.parametrize(("status", "share"), each_once(STATUSES, SHARES))
def test_a_given_rate_is_kept_throughout(status: int, share: float, folders: Iterator[Path]) -> None:
    """Before, while and after: in no second more than the rate and one."""
    world = overloaded(next(folders), 700, Refusal(status), share, upload_rate=12.0)
    life = world.live()
    assert_published_once(world, life)
    assert_polite(world)
    assert most_in_a_second(world.registry.began) <= 13
    assert speed_after(world) >= 0.9 * 12.0


@pytest.mark.parametrize("status", every(2, STATUSES))
def test_an_overload_of_many_at_a_time_costs_few_attempts_too(status: int, folders: Iterator[Path]) -> None:
    """At several hundred a second before it began; what was refused too often is reported open, and published later.

    It has not failed: --max-failures does not count it, however many they are.
    """
    world = world_with(next(folders), 1_500, concurrency=64, max_failures=FailureLimit(count=0))
    world.registry.answer_seconds = 0.08
    world.registry.refuses = Overload(2.0, 62.0, 0.5, Refusal(status), random.Random(1))
    life = world.live()
    assert life.summary is not None
    open_ = [row for row in world.results() if row["state"] != State.READY]
    assert life.summary.exit_code == (ExitCode.UNAVAILABLE if open_ else ExitCode.OK)
    assert {row["state"] for row in open_} <= {State.PLANNED, State.IN_DOUBT}
    assert_polite(world)
    assert_published_once(world, world.live_to_the_end())


@pytest.mark.parametrize("status", every(2, STATUSES))
def test_what_patience_does_not_cover_is_reported_open_and_published_by_the_next_run(
    status: int, folders: Iterator[Path]
) -> None:
    """Exit 6, a handful of attempts while nothing was taken, and nothing is failed."""
    world = world_with(next(folders), 400, LedgerKind.MEMORY, patience=60.0)
    world.registry.refuses = Overload(BEGINS, 500.0, 1.0, Refusal(status), random.Random(1))
    life = world.live()
    assert life.summary is not None
    assert life.summary.exit_code == ExitCode.UNAVAILABLE
    states = life.summary.states
    assert states[State.FAILED] == states[State.ERROR] == 0
    assert states[State.READY] + states[State.PLANNED] + states[State.IN_DOUBT] + states[State.UPLOADED] == 400
    assert states[State.PLANNED] > 100
    assert BEGINS + 60.0 <= world.now < BEGINS + 120.0
    assert len(world.registry.refused) < 60
    world.now = 500.0
    assert_published_once(world, world.live_to_the_end())


@pytest.mark.parametrize("limit", every(2, [10, 20]))
def test_a_limit_that_nobody_tells_is_filled(limit: int, folders: Iterator[Path]) -> None:
    """As many uploads at a time as one likes, and no rate given: nine tenths are used, two in a hundred refused."""
    world = world_with(next(folders), 50 * limit, concurrency=256)
    world.registry.answer_seconds = 0.1
    world.registry.refuses = SlidingWindow(limit, Refusal(429))
    assert_published_once(world, world.live())
    began, refused = world.registry.began, world.registry.refused
    assert len(world.rows) / (began[-1] - began[0]) >= 0.9 * limit
    assert len(refused) <= 0.02 * len(began)


@pytest.mark.parametrize("most", [2, 8])
def test_versions_beyond_what_may_be_converting_wait(most: int, folders: Iterator[Path]) -> None:
    """Never more on the registry's queue; and as soon as one is done, the next one comes."""
    world = world_with(next(folders), 0, max_converting=most)
    world.write([converted(f"m{number}", b"%d" % number) for number in range(120)])
    world.most_effects = 100_000
    world.registry.answer_seconds = 0.1
    world.registry.conversion_seconds = 10.0
    assert_published_once(world, world.live())
    landed = sorted(version.lands_at for version in world.registry.versions)
    for moment in landed:
        assert sum(moment - 10.0 < one <= moment for one in landed) <= most
    # A tenth of a conversion until it is known, and the upload.
    assert landed[-1] - landed[0] <= (120 / most) * (10.0 * 1.1 + 0.5)
