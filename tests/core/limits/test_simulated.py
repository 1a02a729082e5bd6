"""The decisions together, on virtual time: a limit is filled, an outage is waited out, polls come when they are due."""

from dataclasses import replace

import pytest

from benchmarks.simulation.durations import MIXED
from benchmarks.simulation.measures import Played, play
from benchmarks.simulation.registry import Allowed, Others, Trouble
from benchmarks.simulation.scenarios import Scenario, settings, uploads
from tests.variants import each_once, every

TWENTY = Scenario(name="native", entries=2_000, allows="20 uploads/s", allowed=uploads("20/s"))
DOWN = (120.0, 180.0)
SEEDS = [1, 2, 3]


def troubled(*troubles: Trouble, others: Others | None = None, entries: int = 6_000) -> Scenario:
    return replace(TWENTY, entries=entries, allowed=uploads("20/s", *troubles, others=others))


def overload_repeats(played: Played, trouble: Trouble) -> tuple[int, int]:
    """Uploads from a trouble's begin to a minute after its end: all of them, and those of entries not sent before."""
    seconds = range(int(trouble.begin), int(trouble.end) + 60)
    arrived, first = played.registry.arrived, played.ledger.first_tries
    return sum(arrived[second] for second in seconds), sum(first[second] for second in seconds)


def published(scenario: Scenario, seed: int) -> Played:
    """Play it; no entry is lost, and none is published twice."""
    played = play(scenario, seed)
    assert played.ledger.ready == scenario.entries == len(played.registry.done)
    return played


@pytest.mark.parametrize("seed", every(3, SEEDS))
def test_a_limit_that_nobody_told_is_filled(seed: int) -> None:
    """Nine tenths of it in two minutes, with at most two in a hundred refused."""
    played = published(replace(TWENTY, settings=settings(concurrency=256)), seed)
    assert (played.limit_share or 0.0) >= 0.9
    assert played.refused_share <= 0.02


@pytest.mark.parametrize(
    ("rate", "entries"),
    [("5/s", 6_000), *(pytest.param(*more, marks=pytest.mark.long) for more in (("20/s", 24_000), ("200/s", 60_000)))],
)
def test_it_stays_filled(rate: str, entries: int) -> None:
    """Long before the long run of a million, and with hardly a refusal."""
    played = published(replace(TWENTY, entries=entries, allowed=uploads(rate)), 1)
    assert (played.limit_share or 0.0) >= 0.94
    assert played.refused_share <= 0.005


@pytest.mark.parametrize(("seed", "status"), each_once(SEEDS, [503, None]))
def test_after_a_minute_without_a_registry_it_is_soon_as_quick_as_before(status: int | None, seed: int) -> None:
    """Within half a minute, and without a storm of repeats."""
    trouble = Trouble(*DOWN, status)
    played = published(troubled(trouble), seed)
    assert (played.recovery_seconds or 0.0) <= 30
    attempts, first_tries = overload_repeats(played, trouble)
    assert attempts <= 1.1 * first_tries + 100
    assert [code for _, _, code in played.runs] == [0]


@pytest.mark.parametrize(("seed", "share", "status"), each_once(SEEDS, [0.5, 0.1], [429, 503]))
def test_uploads_that_are_refused_at_random_are_not_stormed(status: int, share: float, seed: int) -> None:
    """A minute of that, and half a minute later all is as before; what was laid aside goes with the next run."""
    trouble = Trouble(*DOWN, status, share, "upload")
    played = published(replace(troubled(trouble), every=600.0), seed)
    assert (played.recovery_seconds or 0.0) <= 30
    attempts, first_tries = overload_repeats(played, trouble)
    assert attempts <= 1.1 * first_tries + 100


def test_others_get_their_half() -> None:
    """Nearly, although they never give way; and the whole is taken again once they have gone."""
    played = published(troubled(others=Others(120.0, 240.0, 10.0), entries=10_000), 1)
    assert played.registry.taken_by_others >= 0.85 * 1_200
    assert (played.limit_share or 0.0) >= 0.85


@pytest.mark.parametrize("seed", every(3, SEEDS))
def test_a_registry_that_is_down_for_an_hour_is_left_alone_after_ten_minutes(seed: int) -> None:
    """Exit 6; the next run ends at once, the one after that finds it back."""
    trouble = Trouble(600.0, 4_200.0, None)
    played = published(replace(troubled(trouble, entries=20_000), every=1_800.0), seed)
    assert [code for _, _, code in played.runs] == [6, 6, 6, 0]
    (_, first_end, _), (second, second_end, _), _, _ = played.runs
    assert 1_200 <= first_end <= 1_215
    assert second_end - second <= 60
    assert played.registry.refused["no connection"] <= 300


@pytest.mark.parametrize("seed", every(3, SEEDS))
@pytest.mark.parametrize(
    ("allowed", "most"),
    [(Allowed(limits=uploads("5/s").limits), None), (Allowed(converters=4), 8)],
    ids=["5/s", "queue"],
)
def test_versions_are_known_to_be_done_soon_in_few_polls(allowed: Allowed, most: int | None, seed: int) -> None:
    """For the recorded durations: a tenth of the conversion's time later at most, with eight polls at most."""
    converting = settings(max_converting=most)
    played = published(
        replace(TWENTY, entries=1_500, allowed=allowed, settings=converting, kinds=MIXED, every=3_600.0), seed
    )
    assert 0.0 < (played.delay_share or 0.0) <= 0.1
    assert played.polls_a_version <= 8
    if most is not None:
        assert (played.limit_share or 0.0) >= 0.99  # the queue never runs dry
