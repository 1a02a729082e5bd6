"""``kill -9`` of a run in every phase, and the same command again: every entry once, in order, and a true summary.

``make crash KILLS=1000`` lives through more histories and prints what they met; ``SEED`` is the first one's seed.
"""

import os
import random

import msgspec
import pytest

from tests.cli.histories import KILLS_A_HISTORY, POINTS, History, Told, many_entries, registry_words
from tests.cli.killed_at import found

# A push has sixty kills (`make check`), `make test` ten.
SEEDS = range(6)
KILLS = int(os.environ.get("KILLS", "100"))
FIRST_SEED = int(os.environ.get("SEED", "100"))
MORE_SEEDS = range(FIRST_SEED, FIRST_SEED + max(1, KILLS // KILLS_A_HISTORY))


@pytest.fixture
def live_through(write_manifest, start_sandbox, tmp_path, record_property):
    """Lives one history and judges it; what it met is told to the table at the end (``conftest``)."""

    def live(seed: int) -> None:
        chance = random.Random(seed)
        rows = many_entries()
        manifest = write_manifest(rows)
        sandbox = start_sandbox("--seed", str(seed), *registry_words(seed))
        history = History(seed, chance, tmp_path, manifest, rows, sandbox)
        judged = None
        try:
            history.live()
            judged = history.end()
        finally:
            record_property("history", msgspec.json.encode(Told(seed, history.kills, judged)).decode())
        words = "\n".join([f"seed {seed}", *map(str, history.kills), *judged.violations])
        assert not judged.violations, words
        assert all(kill.as_named for kill in history.kills), words

    return live


@pytest.mark.parametrize("place", sorted({place for points in POINTS.values() for place, _ in points}))
def test_every_named_point_is_there(place):
    """One that has another name now would never kill."""
    found(place)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 1 else pytest.mark.long) for seed in SEEDS])
def test_killed_ten_times_and_run_again_until_done(seed, live_through):
    """100 entries, kills at named points and at random moments, registries calm and not: each entry once, in order."""
    live_through(seed)


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_killed_again_and_again(seed, live_through):
    """The same, as often as KILLS says."""
    live_through(seed)
