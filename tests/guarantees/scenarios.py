"""The situations in which a process may die, and what must be true in the end, whatever happened."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import OPEN, State
from tests.guarantees.registry_model import WORKSPACE, Answers, Fate, RegistryModel
from tests.guarantees.world import LedgerKind, Life, Row, World, distinct, products

SMALL = b"small"
LARGE = b"a file of three pieces"
FATES = (Fate.ANSWERED, Fate.LOST, Fate.NEVER, Fate.LATE)
SETTLE = 30.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation: a manifest, a registry, and how many uploads' fates are gone through."""

    name: str
    rows: tuple[Row, ...]
    # Uploads whose fates are enumerated; then come those of ``then``, then all are answered.
    uploads: int = 1
    first: tuple[Fate, ...] = ()
    registry: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    # What others put into the registry before the first run.
    before: Callable[[RegistryModel], None] = lambda _: None
    # Where every entry ends, and how many versions of ours each makes.
    state: State = State.READY
    versions: int = 1
    # A twin may come into being, as long as it is reported.
    twins_reported: bool = False
    kind: LedgerKind = LedgerKind.MEMORY

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.name}, ledger in {'a file' if self.kind is LedgerKind.FILE else 'memory'}"

    def on(self, kind: LedgerKind) -> "Scenario":
        """The same, with this ledger."""
        return replace(self, kind=kind)

    def world(self, folder: Path, fates: tuple[Fate, ...]) -> World:
        """A fresh world in which the first uploads go as ``fates`` say."""
        registry = RegistryModel(clock=lambda: 0.0, fates=self.first + fates, **self.registry)
        world = World(folder, self.rows, registry, self.settings, self.kind)
        self.before(registry)
        return world

    def fates(self, most: int = 2) -> Iterator[tuple[Fate, ...]]:
        """All ways in which the first uploads may go."""
        return products(FATES, min(self.uploads, most))


def entry(name: str = "m", content: bytes = LARGE, **fields: Any) -> Row:
    """A row of the manifest."""
    return {"name": name, "content": content, **fields}


def foreign_version(registry: RegistryModel, name: str, content: bytes, file_name: str) -> None:
    """Somebody else's version of a model."""
    metadata = {
        "name": name,
        "visibility": "private",
        "workspace_id": WORKSPACE,
        "conversion": {"framework": "onnx", "python_version": "3.8", "requirements": []},
        "input_schema": None,
        "output_schema": None,
    }
    registry.receive(metadata, file_name, content, ours=False)


def somebody_else_publishes(registry: RegistryModel) -> None:
    """Other bytes for the same model, under the same file name."""
    foreign_version(registry, "m", b"their bytes", "m-0.onnx")


def an_equal_one_is_stuck(registry: RegistryModel) -> None:
    """As real instances have them: onnx sent to be converted, days ago, and never done."""
    foreign_version(registry, "m", LARGE, "m-0.onnx")
    (stuck,) = registry.versions
    stuck.lands_at, stuck.stuck_in = -200_000.0, "attempting_load_container"


def converted(name: str = "m", content: bytes = LARGE, **fields: Any) -> Row:
    """A model that takes a while to convert."""
    schema = {"x": "float32"}
    return entry(name, content, framework="xgboost", input_schema=schema, output_schema=schema, **fields)


EQUAL_BEFORE = partial(foreign_version, name="m", content=LARGE, file_name="m-0.onnx")
OTHER_BEFORE = partial(foreign_version, name="m", content=b"an older version", file_name="m-0.onnx")

SCENARIOS = (
    Scenario("one entry", (entry(),), uploads=2),
    Scenario("one small entry", (entry(content=SMALL),), uploads=2),
    Scenario("a model with an older version", (entry(),), uploads=2, before=OTHER_BEFORE),
    Scenario(
        "three versions of one model",
        tuple(entry(content=LARGE + bytes([n]), version=str(n)) for n in range(3)),
        uploads=2,
    ),
    Scenario("three models", (entry("a"), entry("b", SMALL), converted("c")), uploads=2),
    Scenario("an equal version was there before", (entry(),), before=EQUAL_BEFORE, state=State.SKIPPED, versions=0),
    Scenario(
        "an equal version was there before, and another one is asked for",
        (entry(),),
        uploads=2,
        before=EQUAL_BEFORE,
        settings={"on_existing": OnExisting.UPLOAD},
    ),
    Scenario(
        "two equal entries with labels",
        (entry(version="1", path="m.onnx"), entry(version="2", path="m.onnx")),
        uploads=2,
    ),
    Scenario("an answer is lost twice", (entry(),), first=(Fate.NEVER, Fate.LOST), uploads=1),
    Scenario("an upload lands late, the next one too", (entry(),), first=(Fate.LATE,), uploads=1),
    Scenario(
        "an upload lands after the settle time",
        (converted(),),
        first=(Fate.TOO_LATE,),
        uploads=1,
        registry={"conversion_seconds": 60.0},
        twins_reported=True,
    ),
    Scenario("listings lag", (entry(), entry("n")), uploads=2, registry={"listing_lag": 6.0}),
    Scenario(
        "the answer names another upload's version",
        (entry(), entry(content=LARGE + b"2", version="2")),
        uploads=1,
        registry={"answers": Answers.NEWEST, "after_landing": somebody_else_publishes},
    ),
    Scenario(
        "somebody else publishes the same model",
        (entry(), entry(content=SMALL, version="2")),
        uploads=2,
        before=OTHER_BEFORE,
        registry={"during_upload": somebody_else_publishes, "after_landing": somebody_else_publishes},
    ),
    Scenario(
        "the answer names an equal sibling's version",
        (entry(version="1", path="m.onnx"), entry(version="2", path="m.onnx")),
        uploads=2,
        registry={"answers": Answers.STALE},
    ),
    Scenario("the registry shows conversions differently", (entry(),), uploads=2, registry={"rewrites": True}),
    Scenario("an equal version never gets ready", (entry(),), uploads=1, before=an_equal_one_is_stuck),
    Scenario("an answer takes five minutes", (entry(),), uploads=1, registry={"answer_seconds": 300.0}),
    Scenario("a body takes a minute", (entry(),), uploads=2, registry={"piece_seconds": 20.0}),
    Scenario(
        "a conversion that fails", (converted(),), uploads=2, registry={"in_error": frozenset("m")}, state=State.ERROR
    ),
    Scenario("throttled", (entry(), entry("n", SMALL)), first=(Fate.THROTTLED, Fate.BROKEN), uploads=1),
)


def violations(scenario: Scenario, world: World, last: Life) -> list[str]:
    """What is wrong in the end; the judge is the registry, not the ledger."""
    registry = world.registry
    # Whatever is still on its way lands before the verdict.
    world.now += 10 * registry.settle
    registry.advance()
    results = world.results()
    found = [*_wrong_count(scenario, world, results), *_wrong_version(scenario, world, results)]
    found += [*_out_of_order(results), *_wrong_word(scenario, world, last, results)]
    if registry.impatience > 0:
        found.append(f"impolite: an upload began {registry.impatience:.1f} s before it was asked for")
    return found


Results = Sequence[dict[str, Any]]


def _twins_reported(results: Results) -> bool:
    return any("published more than once" in (row["message"] or "") for row in results)


def _wrong_count(scenario: Scenario, world: World, results: Results) -> Iterator[str]:
    """Each entry makes as many versions as it should."""
    wanted = Counter((row["name"], row["content"]) for row in world.rows)
    held = Counter((version.name, version.data) for version in world.registry.versions if version.ours)
    for key in wanted | held:
        expected = wanted[key] * scenario.versions
        if held[key] < expected:
            yield f"lost: {key} has {held[key]} versions, not {expected}"
        elif held[key] > expected and not (scenario.twins_reported and _twins_reported(results)):
            yield f"duplicate: {key} has {held[key]} versions, not {expected}"


def _wrong_version(scenario: Scenario, world: World, results: Results) -> Iterator[str]:
    """Each row holds a version of its own, with its bytes, in the state that the registry says."""
    ids = [row["version_id"] for row in results]
    if len(set(ids)) != len(ids):
        yield f"two entries hold one version: {ids}"
    stored = {version.version_id: version for version in world.registry.versions}
    for row, asked in zip(results, world.rows, strict=True):
        version = stored.get(row["version_id"])
        if version is None or (version.name, version.data) != (asked["name"], asked["content"]):
            yield f"wrong version: line {row['line']} holds {row['version_id']}"
        elif row["state"] != scenario.state or version.sha256 != row["sha256"]:
            yield f"wrong word: line {row['line']} is {row['state']} with {row['sha256']}"


def _wrong_word(scenario: Scenario, world: World, last: Life, results: Results) -> Iterator[str]:
    """No run ends well that leaves something open, and the last one says how it is."""
    for number, life in enumerate(world.lives, 1):
        if life.summary is not None and life.summary.exit_code == ExitCode.OK and _open(life.summary.states):
            yield f"false word: run {number} ends well with {life.summary.states}"
    code = ExitCode.SOME_FAILED if scenario.state is State.ERROR else ExitCode.OK
    if last.summary is None or (last.summary.exit_code != code and not _twins_reported(results)):
        yield f"exit code {last.summary and last.summary.exit_code}, not {code}"


def _open(states: dict[str, int]) -> int:
    return sum(states[state] for state in OPEN)


def _out_of_order(results: Results) -> list[str]:
    """Versions of one model have ids in the manifest's order, or say that they do not."""
    newest: Counter[str] = Counter()
    found = []
    for row in results:
        if row["state"] == State.SKIPPED:
            continue
        if row["version_id"] is not None:
            if row["version_id"] < newest[row["name"]] and "out of order" not in (row["message"] or ""):
                found.append(f"out of order: line {row['line']} holds {row['version_id']}")
            newest[row["name"]] = max(newest[row["name"]], row["version_id"])
    return found


@dataclass(slots=True)
class Found:
    """What an enumeration went through, and what was wrong."""

    histories: int = 0
    lives: int = 0
    violations: list[str] = field(default_factory=list)
    # Stop at the first violation, by raising it.
    first_only: bool = False

    def add(self, scenario: Scenario, world: World, last: Life, how: str) -> None:
        """Count a history and judge it."""
        self.histories += 1
        self.lives += len(world.lives)
        self.violations += [f"{scenario.name}; {how}: {what}" for what in violations(scenario, world, last)]
        if self.first_only and self.violations:
            raise AssertionError(self.violations[0])


def with_crashes(scenario: Scenario, folder: Path, fates: tuple[Fate, ...], *crashes: int) -> tuple[World, bool]:
    """A world in which one process after the other died at its ``n``-th effect; False if the last one did not."""
    world = scenario.world(folder, fates)
    died = True
    for crash in crashes:
        died = world.live(crash_at=crash).died
    return world, died


def single_crashes(scenario: Scenario, folders: Iterator[Path], found: Found, *, every: bool = False) -> None:
    """A crash at each effect (``every``), or at each that leaves something new behind, with each fate."""
    for fates in scenario.fates():
        world = scenario.world(next(folders), fates)
        points = world.live().points
        found.add(scenario, world, world.live_to_the_end(), f"{fates}")
        for crash in range(1, len(points) + 1) if every else distinct(points):
            world, _ = with_crashes(scenario, next(folders), fates, crash)
            found.add(scenario, world, world.live_to_the_end(), f"{fates}, crash at {crash}")


def paired_crashes(scenario: Scenario, folders: Iterator[Path], found: Found) -> None:
    """Two crashes: the second one at each effect of the process that resumes."""
    for fates in scenario.fates():
        points = scenario.world(next(folders), fates).live().points
        for first in distinct(points):
            world, _ = with_crashes(scenario, next(folders), fates, first)
            for second in distinct(world.live().points):
                world, _ = with_crashes(scenario, next(folders), fates, first, second)
                found.add(scenario, world, world.live_to_the_end(), f"{fates}, crashes at {first} and {second}")


def stopped_anywhere(
    scenario: Scenario, folders: Iterator[Path], found: Found, *, cut: bool, every: bool = False
) -> None:
    """Asked to stop (``cut``: twice) at each effect, or at each fifth, then run again."""
    for fates in [(Fate.ANSWERED,), (Fate.LOST,)]:
        points = scenario.world(next(folders), fates).live().points
        for asked in range(1, len(points) + 1, 1 if every else 5):
            world = scenario.world(next(folders), fates)
            world.live(asked_at=asked, cut=cut)
            found.add(scenario, world, world.live_to_the_end(), f"{fates}, {'cut' if cut else 'stopped'} at {asked}")


def scenario(name: str) -> Scenario:
    """The scenario of that name."""
    return next(one for one in SCENARIOS if one.name == name)
