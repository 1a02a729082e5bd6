"""A history: a run that is killed again and again, at named points and at random moments, and then ends by itself.

The judge is what the registry stores and what its request log says; the ledger must agree with it.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bulkload.ledger.sqlite.lock import holder_of
from bulkload.sandbox import read_request_log, stored_versions
from tests.cli.ledgers import LedgerState, read_ledger
from tests.cli.verdicts import Judgement, is_upload, judge
from tests.conftest import Rows, SandboxProcess, clean_environment

KILLS_A_HISTORY = 10
LAUNCHER = Path(__file__).with_name("killed_at.py")

# Enough entries that ten runs do not get through them, and rates that leave each run busy for as long as it lives.
RUN = ("--workspace", "w", "--create-workspace", "--settle", "1s", "--poll-interval", "200ms..1s", "--json")
PACES = (
    ("--upload-rate", "10/s"),
    ("--upload-rate", "10/s", "--concurrency", "2"),
    ("--upload-rate", "10/s", "--bandwidth", "10MB/s"),
)
# No run needs a tenth of it.
LONGEST_RUN_SECONDS = 120.0
# A run that is killed at a random moment is at work for up to so long; some are killed before they have the ledger.
LONGEST_AT_WORK_SECONDS = 0.8
AT_WORK = 0.8

# What the registries do to the runs.
REGISTRIES = (
    ("--time-scale", "0.05"),
    (
        *("--time-scale", "0.05", "--fault", "upload:lost-answer%15"),
        *("--fault", "upload:late=0.1%5", "--fault", "upload:503%5"),
    ),
    (
        *("--time-scale", "0.1", "--converters", "8"),
        *("--fault", "upload:slow=0.2%50", "--fault", "poll:slow=0.2%20"),
    ),
    (
        *("--time-scale", "0.05", "--fault", "upload:reset%10", "--fault", "upload:lost-answer=504%5"),
        *("--fault", "poll:reset%5", "--fault", "list:503%5"),
    ),
)


class Phase(StrEnum):
    """How far a run, or one of its entries, has come when it is killed."""

    PLANNING = "planning"
    BODY = "before the seal"
    SEALED = "between seal and answer"
    ANSWERED = "between answer and commit"
    POLLING = "polling"
    RECONCILING = "reconciling"
    # Only found at random moments: nothing is under way, as before the first upload, or listing.
    BETWEEN = "none of these"


PHASES: tuple[Phase, ...] = tuple(phase for phase in Phase if phase is not Phase.BETWEEN)

EACH_ENTRY = "bulkload.ledger.sqlite.planning:Planning.add"
# Named points, (place, moment) of ``killed_at``.
POINTS: dict[Phase, tuple[tuple[str, str], ...]] = {
    Phase.PLANNING: (
        ("bulkload.engine.publish:begin", "before"),
        ("bulkload.ledger.sqlite.writes:Store.claim_for", "before"),
        ("bulkload.ledger.sqlite.writes:Store.recover", "after"),
        (EACH_ENTRY, "before"),
        ("bulkload.ledger.sqlite.planning:Planning.drop_absent", "after"),
        ("bulkload.engine.publish:follow_files", "after"),
    ),
    Phase.BODY: (
        ("bulkload.registry.client:Registry.uploading", "after"),
        ("bulkload.engine.upload.attempt:UploadAttempt._seal", "before"),
        ("bulkload.ledger.sqlite.moves:Moves.seal", "before"),
        ("bulkload.ledger.sqlite.moves:Moves.seal", "after"),
    ),
    Phase.SEALED: (
        ("bulkload.engine.upload.attempt:UploadAttempt._seal", "after"),
        ("bulkload.registry.http.body:PushedBody.answer", "before"),
        ("bulkload.registry.http.transport:Transport.send", "before"),
    ),
    Phase.ANSWERED: (
        ("bulkload.engine.upload.attempt:UploadAttempt._sent", "before"),
        ("bulkload.engine.upload.entry:EntryUpload._arrive", "before"),
        ("bulkload.ledger.sqlite.moves:Moves.arrive", "before"),
        ("bulkload.ledger.sqlite.moves:Moves.arrive", "after"),
    ),
    Phase.POLLING: (
        ("bulkload.engine.poll.version_look:VersionLook.is_done", "before"),
        ("bulkload.engine.poll.version_look:VersionLook._note_status", "before"),
        ("bulkload.ledger.sqlite.moves:Moves.note_status", "after"),
        ("bulkload.engine.poll.version_look:VersionLook._judge", "before"),
        ("bulkload.engine.poll.version_look:VersionLook._judge", "after"),
    ),
    Phase.RECONCILING: (
        ("bulkload.engine.upload.entry:reconcile_entry", "before"),
        ("bulkload.engine.upload.reconcile:versions_now", "before"),
        ("bulkload.engine.upload.reconcile:versions_now", "after"),
        ("bulkload.engine.upload.reconcile:reconcile", "after"),
        ("bulkload.engine.upload.entry:reconcile_entry", "after"),
    ),
}
# What the ledger must show after a kill at such a point; an answer may have been given while the process died.
SHOWN = {
    Phase.BODY: {Phase.BODY},
    Phase.SEALED: {Phase.SEALED, Phase.ANSWERED},
    Phase.ANSWERED: {Phase.ANSWERED},
}
# Some points are only met by what is sent in pieces.
FEW_TO_STREAM = 5
# The first call may kill, or one of the next, as long as there are sure to be so many.
MOST_CALLS = {
    Phase.BODY: 2,
    Phase.SEALED: 2,
    Phase.ANSWERED: 3,
}


def many_entries() -> Rows:
    """80 models; every fifth has a second version, every twentieth a third one with the first one's bytes.

    Every seventh model takes a while to convert; every sixth is sent in pieces, half of them several mebibytes.
    """
    rows: Rows = []
    for number in range(80):
        rows.append(_entry(number, "1"))
        # Later versions come a few entries later: some runs send both, some are killed between them.
        if number >= 3 and number % 5 == 3:
            rows.append(_entry(number - 3, "2"))
        if number >= 6 and number % 20 == 6:
            first = _entry(number - 6, "1")
            rows.append(first | {"version": "3"})
    return rows


def _entry(number: int, label: str) -> dict[str, Any]:
    repeats = {3: 300_000, 9: 70_000}.get(number % 12, 50)
    # A whole pickle, and then what is not looked at.
    content = b"N." + f"model {number} version {label} ".encode() * repeats
    row: dict[str, Any] = {"name": f"model-{number}", "version": label, "content": content}
    row["path"] = f"model-{number}-{label}.onnx"
    if number % 7 == 0:
        schema = {"x": "float32"}
        row |= {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
    return row


def registry_words(seed: int) -> tuple[str, ...]:
    """How the registry of a history behaves: words of ``bulkload sandbox``."""
    return REGISTRIES[seed % len(REGISTRIES)]


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: the phase of its named point (None: at a random moment), how, and the phases that it then showed."""

    named: Phase | None
    how: str
    shown: frozenset[Phase]

    def __str__(self) -> str:
        """For whoever looks at a history that failed."""
        return f"killed {self.how}; the ledger showed: {', '.join(sorted(self.shown))}"

    @property
    def as_named(self) -> bool:
        """Whether the ledger shows what a kill at such a point leaves."""
        return self.named is None or not self.shown.isdisjoint(SHOWN.get(self.named, self.shown))


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a history to whoever sums up; ``found`` is None where it broke off."""

    seed: int
    kills: list[Kill]
    found: Judgement | None


class History:
    """Runs of one manifest against one registry, each killed; then one that may end."""

    def __init__(
        self,
        seed: int,
        chance: random.Random,
        folder: Path,
        manifest: Path,
        rows: Rows,
        sandbox: SandboxProcess,
    ) -> None:
        self.kills: list[Kill] = []
        self._seed = seed
        self._chance = chance
        self._folder = folder
        self._manifest = manifest
        self._rows = rows
        self._sandbox = sandbox
        self._ledger = Path(f"{manifest}.ledger.db")
        self._state = LedgerState()
        self._is_over = False

    def live(self) -> None:
        """Kill at a named point of each phase but one, and as often at random moments."""
        named: list[Phase] = list(PHASES)
        # Another one with each seed that has the same registry.
        named.remove(PHASES[self._seed // len(REGISTRIES) % len(PHASES)])
        random_left = KILLS_A_HISTORY - len(named)
        while (named or random_left) and not self._is_over:
            phase = self._choose(named, random_left)
            if phase is None:
                random_left -= 1
                self._kill_at_random()
            else:
                named.remove(phase)
                self._kill_at(phase)

    def end(self) -> Judgement:
        """Run to the end, and judge."""
        process = self._start("-m", "bulkload")
        _, output, errors = _wait(process, LONGEST_RUN_SECONDS)
        summary = json.loads(output or "{}")
        found = judge(self._rows, self._sandbox.data, read_ledger(self._ledger).rows, summary)
        if process.returncode != 0:
            found.violations.append(f"the last run ended with {process.returncode}: {errors}")
        return found

    def _choose(self, named: list[Phase], random_left: int) -> Phase | None:
        """The phase of the next kill's named point; None for a random moment."""
        rows = self._state.rows
        if Phase.RECONCILING in named and any(row.doubtful for row in rows):
            return Phase.RECONCILING  # the next run leaves nothing to reconcile
        if rows and sum(row.to_stream for row in rows) <= FEW_TO_STREAM:
            for phase in (Phase.BODY, Phase.SEALED):
                if phase in named:
                    return phase  # before all are sent
        possible = [phase for phase in named if phase is not Phase.RECONCILING]
        at_random = self._chance.randrange(len(named) + random_left) < random_left
        return self._chance.choice(possible) if possible and not at_random else None

    def _kill_at(self, phase: Phase) -> None:
        place, moment = self._chance.choice(POINTS[phase])
        most = len(self._rows) if place == EACH_ENTRY else MOST_CALLS.get(phase, 1)
        number = self._chance.randint(1, most)
        process = self._start(str(LAUNCHER), place, moment, str(number), pace=self._chance.choice(PACES))
        in_time, _, errors = _wait(process, LONGEST_RUN_SECONDS)
        assert in_time, self._told(f"a run that was to be killed {moment} {place} goes on and on", errors)
        self._note(phase, f"{moment} call {number} of {place}", process.returncode, errors)

    def _kill_at_random(self) -> None:
        seconds = self._chance.uniform(0.0, LONGEST_AT_WORK_SECONDS)
        pace = self._chance.choice(PACES)
        at_work = self._chance.random() < AT_WORK
        process = self._start("-m", "bulkload", pace=pace)
        # However long it takes to begin on this machine, now.
        while at_work and process.poll() is None and not self._is_held_by(process.pid):
            time.sleep(0.005)
        *_, errors = _wait(process, seconds)
        when = "after it had the ledger" if at_work else "after its start"
        self._note(None, f"{seconds:.3f} s {when} at {' '.join(pace)}", process.returncode, errors)

    def _is_held_by(self, pid: int) -> bool:
        holder = holder_of(self._ledger)
        return holder is not None and holder.pid == pid

    def _start(self, *launcher: str, pace: Sequence[str] = ()) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *launcher, "run", str(self._manifest), *RUN, *pace],
            cwd=self._folder,
            env=clean_environment() | self._sandbox.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _note(self, named: Phase | None, how: str, code: int, errors: str) -> None:
        if code == 0:
            # Everything was published before it came to that point: fewer kills, and the same judge.
            self._is_over = True
            return
        assert code == -signal.SIGKILL, self._told(f"a run that was to be killed {how} ended with {code}", errors)
        before, self._state = self._state, read_ledger(self._ledger)
        self.kills.append(Kill(named, how, self._phases(before)))

    def _told(self, what: str, errors: str) -> str:
        return "\n".join([f"seed {self._seed}: {what}", *map(str, self.kills), errors])

    def _phases(self, before: LedgerState) -> frozenset[Phase]:
        """What was under way, by the ledger; of several entries, several phases."""
        if self._state.runs == before.runs:
            return frozenset({Phase.PLANNING})  # nothing of this run is on disk
        answered = self._answered() - {row.version_id for row in self._state.rows}
        unheard = {version.name for version in stored_versions(self._sandbox.data) if version.id in answered}
        found = set()
        for row in self._state.rows:
            if row.state == "uploading" and not row.sealed:
                found.add(Phase.BODY)
            elif row.state == "uploading":
                found.add(Phase.ANSWERED if row.name in unheard else Phase.SEALED)
            elif row.state == "uploaded":
                found.add(Phase.POLLING)
            elif row.state == "in_doubt":
                found.add(Phase.RECONCILING)
        return frozenset(found or {Phase.BETWEEN})

    def _answered(self) -> set[int | None]:
        """Versions whose upload the registry has answered."""
        log = read_request_log(self._sandbox.data / "requests.jsonl")
        return {record.version_id for record in log if record.status in (200, 202) and is_upload(record)}


def _wait(process: "subprocess.Popen[str]", seconds: float) -> tuple[bool, str, str]:
    """Kill it if it does not end in time; whether it did, and what it wrote."""
    try:
        return True, *process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return False, *process.communicate()
