"""Any history that Hypothesis can think of: crashes, stops, lost answers, edited files, strangers; the guarantees hold
after every step.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.states import OPEN, State
from tests.guarantees.conftest import MEMORY
from tests.guarantees.registry_model import Answers, Fate, RegistryModel
from tests.guarantees.scenarios import converted, entry, foreign_version
from tests.guarantees.world import LedgerKind, Life, World

CONTENTS = (b"small", b"a file of three pieces", b"another file of three")
ANY_FATE = st.sampled_from([fate for fate in Fate if fate is not Fate.TOO_LATE])


class AnyHistory(RuleBasedStateMachine):
    """Two models with two labelled versions each, a registry, and whatever happens to them."""

    kind = LedgerKind.MEMORY

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="bulkload-test-", dir=MEMORY if MEMORY.is_dir() else None))
        self.registry = RegistryModel(clock=lambda: 0.0)
        self.contents = {(make, name, version): CONTENTS[0] for make, name in MODELS for version in ("1", "2")}
        self.world = World(self.folder, self.rows(), self.registry, kind=self.kind)
        # What was asked for, ever: (name, content) -> by which entries.
        self.asked: dict[tuple[str, bytes], set[object]] = {}
        for _, name, version in self.contents:
            self.ask(name, version, CONTENTS[0])

    def rows(self) -> list[dict[str, Any]]:
        """The manifest as it is now."""
        return [make(name, content, version=version) for (make, name, version), content in self.contents.items()]

    def ask(self, name: str, version: str, content: bytes) -> None:
        """An entry asks for a version with this content from now on."""
        asking = self.asked.setdefault((name, content), set())
        # Where conversions are shown differently, nobody can see that an older version is equal: it is made anew.
        asking.add((version, len(asking)) if self.registry.rewrites else version)

    @initialize(
        answers=st.sampled_from(Answers),
        rewrites=st.booleans(),
        listing_lag=st.sampled_from([0.0, 6.0]),
        piece_seconds=st.sampled_from([0.01, 20.0]),
    )
    def the_registry_is(self, answers: Answers, rewrites: bool, listing_lag: float, piece_seconds: float) -> None:
        """One of the registries that there are."""
        self.registry.answers, self.registry.rewrites = answers, rewrites
        self.registry.listing_lag, self.registry.piece_seconds = listing_lag, piece_seconds

    @rule(fates=st.lists(ANY_FATE, min_size=1, max_size=4))
    def the_next_uploads_go(self, fates: list[Fate]) -> None:
        """Some of the next uploads are lost, late, refused."""
        self.registry.fates = (Fate.ANSWERED,) * len(self.registry.began) + tuple(fates)

    @rule(effect=st.integers(1, 150))
    def a_run_dies(self, effect: int) -> None:
        """At some effect, or not at all."""
        self.check(self.world.live(crash_at=effect))

    @rule(effect=st.integers(1, 150), cut=st.booleans())
    def a_run_is_stopped(self, effect: int, cut: bool) -> None:
        """By one signal or two."""
        self.check(self.world.live(asked_at=effect, cut=cut))

    @rule()
    def a_run_ends(self) -> None:
        """Undisturbed."""
        self.check(self.world.live())

    @rule(which=st.integers(0, 3), content=st.sampled_from(CONTENTS))
    def a_file_is_edited(self, which: int, content: bytes) -> None:
        """The manifest stays as it is; what its file holds is another version."""
        make, name, version = list(self.contents)[which]
        if self.contents[make, name, version] != content:
            self.contents[make, name, version] = content
            self.world.write(self.rows())
            self.ask(name, version, content)

    @rule(which=st.integers(0, 3), content=st.sampled_from([b"their bytes", *CONTENTS]))
    def somebody_else_publishes(self, which: int, content: bytes) -> None:
        """The same model, under the same file name; perhaps even the same bytes."""
        _, name, version = list(self.contents)[which]
        if self.registry.rewrites and content in CONTENTS:
            return  # nobody could tell theirs from ours: it would stay in doubt, rightly
        foreign_version(self.registry, name, content, f"{name}-{version}.onnx")

    @rule(seconds=st.sampled_from([1, 20, 100]))
    def time_passes(self, seconds: float) -> None:
        """Nobody runs anything."""
        self.world.now += seconds

    @invariant()
    def nothing_is_there_twice(self) -> None:
        """G2: no content has more versions of ours than entries ever asked for it."""
        self.registry.advance()
        held = Counter((version.name, version.data) for version in self.registry.versions if version.ours)
        for key, count in held.items():
            assert count <= len(self.asked[key]), f"{key}: {count} versions"

    @invariant()
    def what_is_ready_is_right(self) -> None:
        """G3, G4: a row that is ready holds a version of its own, with the bytes that the ledger says."""
        if not self.world.has_ledger:
            return
        stored = {version.version_id: version for version in self.registry.versions}
        rows = [row for row in self.world.results() if row["state"] in (State.READY, State.SKIPPED)]
        for row in rows:
            version = stored[row["version_id"]]
            assert (version.name, version.sha256) == (row["name"], row["sha256"])
            assert self.registry.shown(version).status == "ready"
        ours = [row["version_id"] for row in rows if row["state"] == State.READY]
        assert len(set(ours)) == len(ours)

    @invariant()
    def nobody_is_impatient(self) -> None:
        """G5: nothing was sent in a pause that was asked for."""
        assert self.registry.impatience <= 0

    def check(self, life: Life) -> None:
        """G1, G4: the summary is the ledger's word, and its exit code says whether something is open."""
        if life.summary is None:
            assert life.died or life.error is not None
            return
        states = Counter(row["state"] for row in self.world.results())
        assert {state: count for state, count in life.summary.states.items() if count} == states
        assert sum(states.values()) == len(self.contents)
        if life.summary.exit_code == ExitCode.OK:
            assert not any(states[state] for state in OPEN)

    def teardown(self) -> None:
        """G1: when all is quiet, what the manifest asks for is there."""
        self.registry.fates = ()
        try:
            self.check(self.world.live_to_the_end())
            # A file that was edited while its entry was under way is seen by the run after.
            self.check(self.world.live_to_the_end())
            self.nothing_is_there_twice()
            self.what_is_ready_is_right()
            held = {(version.name, version.data) for version in self.registry.versions}
            for (_, name, _), content in self.contents.items():
                assert (name, content) in held
        finally:
            shutil.rmtree(self.folder)


MODELS = ((entry, "m"), (converted, "n"))


# Two small parts for every change, one with each ledger.
SMALL_PARTS = {"aa": LedgerKind.MEMORY, "bb": LedgerKind.FILE}
# Of the twelve parts `make check` has half, and `make crash` the others; three are with a ledger in a file.
PARTS = {part: LedgerKind.FILE if part in "bdh" else LedgerKind.MEMORY for part in "abcdefghijkl"}


@pytest.mark.parametrize(
    ("part", "kind", "examples"),
    [
        *(pytest.param(part, kind, 6, id=part) for part, kind in SMALL_PARTS.items()),
        *(
            pytest.param(part, kind, 25, id=part, marks=pytest.mark.long if part < "g" else pytest.mark.crash)
            for part, kind in PARTS.items()
        ),
    ],
)
def test_the_guarantees_hold_in_any_history(part: str, kind: LedgerKind, examples: int) -> None:
    """300 histories of 40 steps, a few of them here; the same ones every time."""
    # The examples follow from the name of the class.
    machine = type(f"AnyHistory{part}", (AnyHistory,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
