"""A crash before and after every effect, alone and in pairs, with every fate of an upload: one version per entry.

``make crash`` runs the pairs and every single point; ``make check`` the points that leave something new behind, and
``make test`` those of a few situations. The ledger in memory costs half: with it all are gone through, with a file
those in which a ledger has most to say.
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
from tests.guarantees.world import LedgerKind
from tests.variants import every

# Bodies in pieces and small ones; an answer that is lost, late, too late, another's; an equal version.
QUICK = {
    "one small entry",
    "an equal version was there before",
    "an answer is lost twice",
    "an upload lands late, the next one too",
}
QUICK_IN_A_FILE = {"an equal version was there before"}
# Several versions of a model, ids that are another's, labels: for which a ledger has statements and indexes.
IN_A_FILE = QUICK | {
    "three versions of one model",
    "two equal entries with labels",
    "an upload lands after the settle time",
    "the answer names another upload's version",
    "the answer names an equal sibling's version",
}
# Pairs are thousands of histories each.
PAIRS_IN_A_FILE = QUICK | {"two equal entries with labels"}
both_ledgers = pytest.mark.parametrize("kind", LedgerKind)


def of_both_ledgers(
    in_memory: set[str], in_a_file: set[str], *, otherwise: pytest.MarkDecorator, files: set[str] = IN_A_FILE
) -> pytest.MarkDecorator:
    """All situations in memory and some in a file; only those that are named are tried by `make test`."""
    cases = [(one, one.name in in_memory) for one in SCENARIOS]
    cases += [(one.on(LedgerKind.FILE), one.name in in_a_file) for one in SCENARIOS if one.name in files]
    params = [pytest.param(one, id=str(one), marks=() if is_quick else otherwise) for one, is_quick in cases]
    return pytest.mark.parametrize("scenario", params)


def test_the_quick_situations_are_among_all() -> None:
    """A name that is misspelt would leave one out."""
    assert {scenario.name for scenario in SCENARIOS} >= IN_A_FILE | QUICK_IN_A_FILE


@of_both_ledgers(QUICK - QUICK_IN_A_FILE, QUICK_IN_A_FILE, otherwise=pytest.mark.long)
def test_a_crash_at_any_point_loses_and_doubles_nothing(
    scenario: Scenario, folders: Iterator[Path], found: Found
) -> None:
    """At each point that leaves something new behind, with each fate of the first two uploads."""
    single_crashes(scenario, folders, found)
    assert found.violations == []
    assert found.histories > 10


either_stop = pytest.mark.parametrize("cut", [False, True], ids=["stopped", "cut"])


@of_both_ledgers({"one small entry"}, {"an answer is lost twice"}, otherwise=pytest.mark.long)
@either_stop
def test_a_stop_at_any_point_loses_and_doubles_nothing(
    scenario: Scenario, cut: bool, folders: Iterator[Path], found: Found
) -> None:
    """A first signal, or a second one on its heels, at every fifth effect; then the same command again."""
    stopped_anywhere(scenario, folders, found, cut=cut)
    assert found.violations == []


@of_both_ledgers(set(), set(), otherwise=pytest.mark.crash)
@either_stop
def test_a_stop_at_every_point(scenario: Scenario, cut: bool, folders: Iterator[Path], found: Found) -> None:
    """The same at every single effect."""
    stopped_anywhere(scenario, folders, found, cut=cut, every=True)
    assert found.violations == []


@pytest.mark.timeout(1800)
@of_both_ledgers(set(), set(), otherwise=pytest.mark.crash, files=PAIRS_IN_A_FILE)
def test_two_crashes_at_any_points_lose_and_double_nothing(
    scenario: Scenario, folders: Iterator[Path], found: Found
) -> None:
    """Every pair of points, in the first process and in the one that resumes; and every single point there is."""
    single_crashes(scenario, folders, found, every=True)
    paired_crashes(scenario, folders, found)
    assert found.violations == []


@both_ledgers
def test_what_cannot_be_decided_is_left_to_a_person(kind: LedgerKind, folders: Iterator[Path]) -> None:
    """Two versions may be ours or not: nothing is sent, exit 12 says so, until --resend-in-doubt."""
    registry = {"rewrites": True, "during_upload": lambda registry: foreign_version(registry, "m", LARGE, "m-0.onnx")}
    scenario = Scenario("two that may be ours", (entry(),), registry=registry, kind=kind)
    world = scenario.world(next(folders), (Fate.LOST,))
    for _ in range(2):
        life = world.live()
        assert life.summary is not None
        assert life.summary.exit_code == ExitCode.STILL_OPEN
        assert life.summary.states[State.IN_DOUBT] == 1
        assert len(world.registry.began) == 1
    world.live_to_the_end(resend_in_doubt=True)
    assert len(world.registry.began) == 2


@pytest.mark.parametrize("kind", every(2, [*LedgerKind], first=[*LedgerKind].index(LedgerKind.MEMORY)))
def test_an_answers_word_takes_no_version_away_from_who_sent_its_bytes(
    kind: LedgerKind, folders: Iterator[Path]
) -> None:
    """Each answer names the version before: the second entry holds the first one's, until its bytes are looked at.

    Wherever a run was stopped in between, the first entry is not sent again because its version seems to be taken.
    """
    scenario = Scenario(
        "answers name the version before",
        (converted(version="1"), converted(content=LARGE + b"2", version="2")),
        before=OTHER_BEFORE,
        registry={"answers": Answers.STALE},
        kind=kind,
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
