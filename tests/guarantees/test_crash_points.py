"""A crash before and after every effect, alone and in pairs, with every fate of an upload: one version per entry.

``make crash`` runs the pairs and every single point; ``make check`` the points that leave something new behind, and
``make test`` those of a few situations.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.states import State
from tests.guarantees.registry_model import Answers, Fate
from tests.guarantees.scenarios import (
    LARGE,
    OTHER_BEFORE,
    SCENARIOS,
    Found,
    Scenario,
    converted,
    entry,
    foreign_version,
    paired_crashes,
    single_crashes,
    stopped_anywhere,
    violations,
)

# Bodies in pieces and small ones; an answer that is lost, late, too late, another's; an equal version.
QUICK = {
    "one small entry",
    "an equal version was there before",
    "an answer is lost twice",
    "an upload lands late, the next one too",
}
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
# A stop costs a history an effect.
QUICK_TO_STOP = {"one small entry", "an equal version was there before"}


def in_turn(quick: set[str]) -> pytest.MarkDecorator:
    """All situations, those that are not quick for `make check` only."""
    cases = [pytest.param(one, id=one.name, marks=() if one.name in quick else pytest.mark.long) for one in SCENARIOS]
    return pytest.mark.parametrize("scenario", cases)


def test_the_quick_situations_are_among_all() -> None:
    """A name that is misspelt would leave one out."""
    assert {scenario.name for scenario in SCENARIOS} >= QUICK | QUICK_TO_STOP


@in_turn(QUICK)
def test_a_crash_at_any_point_loses_and_doubles_nothing(
    scenario: Scenario, folders: Iterator[Path], found: Found
) -> None:
    """At each point that leaves something new behind, with each fate of the first two uploads."""
    single_crashes(scenario, folders, found)
    assert found.violations == []
    assert found.histories > 10


either_stop = pytest.mark.parametrize("cut", [False, True], ids=["stopped", "cut"])


@in_turn(QUICK_TO_STOP)
@either_stop
def test_a_stop_at_any_point_loses_and_doubles_nothing(
    scenario: Scenario, cut: bool, folders: Iterator[Path], found: Found
) -> None:
    """A first signal, or a second one on its heels, at every fifth effect; then the same command again."""
    stopped_anywhere(scenario, folders, found, cut=cut)
    assert found.violations == []


@pytest.mark.crash
@every_scenario
@either_stop
def test_a_stop_at_every_point(scenario: Scenario, cut: bool, folders: Iterator[Path], found: Found) -> None:
    """The same at every single effect."""
    stopped_anywhere(scenario, folders, found, cut=cut, every=True)
    assert found.violations == []


@pytest.mark.crash
@pytest.mark.timeout(1800)
@every_scenario
def test_two_crashes_at_any_points_lose_and_double_nothing(
    scenario: Scenario, folders: Iterator[Path], found: Found
) -> None:
    """Every pair of points, in the first process and in the one that resumes; and every single point there is."""
    single_crashes(scenario, folders, found, every=True)
    paired_crashes(scenario, folders, found)
    assert found.violations == []


def test_what_cannot_be_decided_is_left_to_a_person(folders: Iterator[Path]) -> None:
    """Two versions may be ours or not: nothing is sent, exit 12 says so, until --resend-in-doubt."""
    registry = {"rewrites": True, "during_upload": lambda registry: foreign_version(registry, "m", LARGE, "m-0.onnx")}
    scenario = Scenario("two that may be ours", (entry(),), registry=registry)
    world = scenario.world(next(folders), (Fate.LOST,))
    for _ in range(2):
        life = world.live()
        assert life.summary is not None
        assert life.summary.exit_code == ExitCode.STILL_OPEN
        assert life.summary.states[State.IN_DOUBT] == 1
        assert len(world.registry.began) == 1
    world.live_to_the_end(resend_in_doubt=True)
    assert len(world.registry.began) == 2


def test_an_answers_word_takes_no_version_away_from_who_sent_its_bytes(folders: Iterator[Path]) -> None:
    """Each answer names the version before: the second entry holds the first one's, until its bytes are looked at.

    Wherever a run was stopped in between, the first entry is not sent again because its version seems to be taken.
    """
    scenario = Scenario(
        "answers name the version before",
        (converted(version="1"), converted(content=LARGE + b"2", version="2")),
        before=OTHER_BEFORE,
        registry={"answers": Answers.STALE},
    )
    for asked_at in itertools.count(1, 5):
        world = scenario.world(next(folders), ())
        world.live(wait=False)
        resumed = world.live(asked_at=asked_at)
        assert violations(scenario, world, world.live_to_the_end()) == []
        if resumed.summary is None:
            assert isinstance(resumed.error, Interrupted)
            continue  # it was stopped before it had opened the ledger
        if resumed.summary.exit_code != ExitCode.INTERRUPTED:
            break  # it ended before it could be stopped
