"""The picture of the house, read from the imports of the package: who may lean on whom, and by which doors.

Dependencies point down: cli, report, engine, then manifest, source, registry and ledger side by side, then sandbox,
then system (the operating system, without decisions) and core. What one of the four needs of another is handed in by
engine or cli. A room is entered by its doors: the interface that a newcomer reads first, and the package itself. An
import in a function counts as well.
"""

import ast
import graphlib

import pytest

from tests.imports import MODULES, PACKAGE, imports_of, module_of, own_imports, package_of, place_of, room_of, tree_of

SIDE_BY_SIDE = {"manifest", "source", "registry", "ledger"}
# room -> the rooms that it may lean on, besides itself.
MAY_LEAN_ON: dict[str, set[str]] = {
    "cli": {"report", "engine", *SIDE_BY_SIDE, "sandbox", "system", "core"},
    "report": {"engine", *SIDE_BY_SIDE, "system", "core"},
    "engine": {*SIDE_BY_SIDE, "system", "core"},
    "manifest": {"system", "core"},
    "source": {"system", "core"},
    "registry": {"system", "core"},
    "ledger": {"system", "core"},
    "sandbox": {"system", "core"},
    "system": {"core"},
    "core": set(),
}
# Room -> the modules by which others enter it.
DOORS: dict[str, set[str]] = {
    "registry": {"registry.interface", "registry.form"},
    "ledger": {"ledger", "ledger.interface", "ledger.records", "ledger.reader"},
    "source": {"source", "source.interface"},
    "manifest": {"manifest"},
    "sandbox": {"sandbox"},
    # What came of a job, for people to look at. A run is known by its events, which are core's.
    "engine": {"engine.plan", "engine.inspect.catalog", "engine.inspect.doctor"},
}
# Room -> further doors, for it alone.
OWN_DOORS: dict[str, set[str]] = {
    # It starts jobs and stops them; keeps logins; and imports late what few commands need.
    "cli": {
        "engine.inspect.login", "engine.inspect.verify", "engine.publish", "engine.stop",
        "manifest.converting", "manifest.describing",
        "registry", "registry.auth.keycloak", "registry.auth.login_store", "registry.auth.tokens", "registry.endpoint",
    },
}  # fmt: skip
# Module -> what it may import past the doors, and why.
PAST_DOORS: dict[str, dict[str, str]] = {
    "cli/running.py": {"engine.events": "composes the consumers of a run"},
    "engine/doors.py": {"registry": "what stands behind a door where nobody says otherwise"},
    "engine/inspect/catalog.py": {"registry": "reads a version's config, which no run does"},
    "engine/inspect/doctor.py": {
        "registry": "looks at what no run sees: proxy, certificate, token, roles",
        "registry.endpoint": "tells this machine's addresses from others",
    },
    "engine/inspect/login.py": {
        "registry": "gets in before there is a token",
        "registry.auth.keycloak": "a person confirms a code",
        "registry.auth.login_store": "the login that comes of it",
        "registry.auth.tokens": "the login that comes of it",
    },
}
# What stands behind a seam when nobody says otherwise -> the only ones who make it.
DEFAULTS: dict[str, set[str]] = {
    "registry.Registry": {
        "engine/doors.py", "engine/inspect/catalog.py", "engine/inspect/doctor.py", "engine/inspect/login.py",
        "cli/doctor.py", "cli/login.py", "cli/logout.py", "cli/verify.py", "cli/whoami.py", "cli/workspaces.py",
    },
    # The plan of a run is made on a copy.
    "ledger.Ledger": {"engine/doors.py", "engine/plan.py"},
    "ledger.LoopWriter": set(),
    "ledger.MemoryLedger": set(),
    "ledger.MemoryStore": set(),
    "source.LocalSource": {"engine/doors.py"},
}  # fmt: skip
# Whose tables are in SQLite; others ask these by messages and methods.
SQLITE = {
    "ledger/": "the ledger",
    "sandbox/": "the sandbox's own store",
    "manifest/checking.py": "the keys of a manifest's rows, beyond what memory holds",
    "engine/inspect/verify.py": "a listing to compare with, beyond what memory holds",
}

# Wing of a room -> the wings of it that it may lean on. No wing leans, by others, on itself.
WINGS: dict[str, dict[str, set[str]]] = {
    "core": {
        "bounds": set(),
        "text": set(),
        "tokens": set(),
        "formats": {"bounds", "text"},
        "model": set(),
        "verdicts": {"model"},
        "contract": {"formats", "model", "text"},
        "identity": {"contract", "model"},
        "limits": {"model", "polls", "verdicts"},
        "polls": {"model"},
        "transitions": {"identity", "limits", "model"},
    },
    "engine": {
        "clock": set(),
        "events": set(),
        "backoff": {"clock"},
        "doors": {"clock"},
        "stop": {"clock", "events"},
        "limits": {"clock", "events", "stop"},
        "context": {"backoff", "doors", "events", "limits", "stop"},
        "calls": {"backoff", "context", "events", "limits", "stop"},
        "listing": {"calls", "context"},
        "preflight": {"backoff", "calls", "context", "doors", "events", "stop"},
        "poll": {"calls", "context", "limits", "listing"},
        "upload": {"calls", "context", "limits", "listing", "poll"},
        "publish": {
            "calls", "clock", "context", "doors", "events", "limits", "listing", "poll", "preflight", "stop", "upload",
        },
        "plan": {"clock", "context", "doors", "events", "limits", "listing", "preflight", "publish", "stop"},
        "inspect": {"backoff", "calls", "clock", "events", "preflight", "stop"},
    },
    # Two ledgers that know nothing of each other.
    "ledger": {
        "records": set(),
        "interface": {"records"},
        "deciding": {"interface", "records"},
        "groups": {"interface"},
        "writer": {"groups", "interface"},
        "memory": {"deciding", "groups", "interface", "records", "writer"},
        "sqlite": {"deciding", "groups", "interface", "records", "writer"},
        "reader": {"records", "sqlite"},
    },
}  # fmt: skip
# Module -> the wings that it may lean on beyond its own wing's, and why.
PAST_WINGS: dict[str, dict[str, str]] = {
    "core/model/attempts.py": {
        "identity": "an equal version is what an attempt may find",
        "verdicts": "a failure is what may come of it",
    },
    "core/model/settings.py": {
        "limits": "a run is told its limits as values",
        "polls": "and how often to poll",
    },
}

# The public top: they lead into the house, so nobody inside may lean on them. (The version is a fact.)
TOP = {"__init__", "__main__"}
FACTS = {"bulkload.__version__"}


def wrong_leanings(room: str, tree: ast.AST, package: str) -> list[str]:
    """Imports of this package that the picture does not have."""
    if room in TOP:
        return []
    wrong = []
    for found in imports_of(tree, package):
        root, _, rest = found.name.partition(".")
        target = rest.partition(".")[0]
        if root == "bulkload" and found.name not in FACTS and target not in MAY_LEAN_ON[room] | {room}:
            wrong.append(f"line {found.line}: {room} leans on {found.name}")
    return wrong


def ways_past_doors(place: str, tree: ast.AST, package: str) -> list[str]:
    """Imports of another room that do not pass its doors. ``place``: such as ``engine/plan.py``."""
    room = place.partition("/")[0].removesuffix(".py")
    if room in TOP:
        return []
    open_to_it = OWN_DOORS.get(room, set()) | PAST_DOORS.get(place, {}).keys()
    wrong = []
    for found in own_imports(tree, package):
        target, entered = module_of(found.name), found.name.split(".")[1]
        if entered != room and entered in DOORS and target not in DOORS[entered] | open_to_it:
            wrong.append(f"line {found.line}: goes past the doors of {entered} by {found.name}")
        if place not in DEFAULTS.get(found.name.removeprefix("bulkload."), {place}) and entered != room:
            wrong.append(f"line {found.line}: makes {found.name} itself, instead of being given one")
    return wrong


def wing_of(place: str) -> str:
    """``model`` for core/model/states.py, ``transitions`` for core/transitions.py."""
    return place.split("/")[1].removesuffix(".py")


def wrong_wings(place: str, tree: ast.AST, package: str) -> list[str]:
    """Imports of another wing of the same room that the picture does not have."""
    room = place.partition("/")[0]
    wing = wing_of(place) if "/" in place else "__init__"
    if room not in WINGS or wing == "__init__":
        return []
    allowed = WINGS[room].get(wing, set()) | {wing} | PAST_WINGS.get(place, {}).keys()
    return [
        f"line {found.line}: {wing} leans on {found.name}"
        for found in own_imports(tree, package)
        if (target := module_of(found.name).split("."))[0] == room and (target[1:2] or ["__init__"])[0] not in allowed
    ]


def test_the_house_has_the_rooms_of_the_picture() -> None:
    """A new room is drawn first."""
    rooms = {room_of(module) for module in MODULES}
    assert rooms <= MAY_LEAN_ON.keys() | TOP
    assert rooms >= {"cli", "report", "engine", "sandbox", "system", "core"} | SIDE_BY_SIDE


def test_dependencies_point_down() -> None:
    wrong = [
        f"{module.relative_to(PACKAGE)} {problem}"
        for module in MODULES
        for problem in wrong_leanings(room_of(module), tree_of(module), package_of(module))
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_are_entered_by_their_doors() -> None:
    """Nobody imports past an interface, but those who are named, each for its reason."""
    wrong = [
        f"{place_of(module)} {problem}"
        for module in MODULES
        for problem in ways_past_doors(place_of(module), tree_of(module), package_of(module))
    ]
    assert not wrong, "\n".join(wrong)


def test_wings_lean_on_wings_as_the_picture_has_it() -> None:
    """The rooms that have one; a new wing is drawn first."""
    drawn = {room: wings.keys() | {"__init__"} for room, wings in WINGS.items()}
    found = {room: {wing_of(place_of(m)) for m in MODULES if room_of(m) == room} for room in drawn}
    assert found == drawn
    wrong = [
        f"{place_of(module)} {problem}"
        for module in MODULES
        for problem in wrong_wings(place_of(module), tree_of(module), package_of(module))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", WINGS)
def test_no_wing_leans_on_itself_by_others(room: str) -> None:
    """Each can be read after those that it leans on."""
    graphlib.TopologicalSorter(WINGS[room]).prepare()


def test_no_exception_is_older_than_its_reason() -> None:
    """What is let past a door or into a wing goes there."""
    unused = []
    for place, reasons in PAST_DOORS.items():
        used = {module_of(found.name) for found in own_imports(tree_of(PACKAGE / place), package_of(PACKAGE / place))}
        unused += [f"{place} {module}" for module in reasons if module not in used]
    for place, reasons in PAST_WINGS.items():
        used = {
            found.name.split(".")[2] for found in own_imports(tree_of(PACKAGE / place), package_of(PACKAGE / place))
        }
        unused += [f"{place} {wing}" for wing in reasons if wing not in used]
    for name, places in DEFAULTS.items():
        makers = {
            place_of(module)
            for module in MODULES
            if any(found.name == f"bulkload.{name}" for found in own_imports(tree_of(module), package_of(module)))
        }
        unused += [f"{place} {name}" for place in places - makers]
    assert not unused


def test_tables_are_asked_by_those_who_own_them() -> None:
    """No SQL of the ledger outside the ledger."""
    wrong = [
        f"{place_of(module)} line {found.line}"
        for module in MODULES
        for found in imports_of(tree_of(module), package_of(module))
        if found.name.partition(".")[0] == "sqlite3" and not place_of(module).startswith(tuple(SQLITE))
    ]
    assert not wrong, "\n".join(wrong)


# What shows and logs a run: it knows the run by its events, and the engine not at all.
CONSUMERS = ("report/log.py", "report/progress.py")
HEARS_OF_RUNS_BY = {"core", "report"}


def test_consumers_know_a_run_by_its_events_alone() -> None:
    wrong = [
        f"{name} line {found.line}: leans on {found.name}"
        for name in CONSUMERS
        for found in imports_of(tree_of(PACKAGE / name), "bulkload.report")
        if found.name.startswith("bulkload.") and found.name.split(".")[1] not in HEARS_OF_RUNS_BY
    ]
    assert not wrong, "\n".join(wrong)


# The test itself notices what it is for.


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "from bulkload.ledger import Ledger"),
        ("core", "def decide():\n    from bulkload.engine.context import Run"),
        ("core", "from ..registry import Registry"),
        ("core", "from .. import registry"),
        ("ledger", "import bulkload.registry.client"),
        ("registry", "from bulkload import ledger"),
        ("manifest", "from bulkload.source import local"),
        ("source", "from bulkload.sandbox import Sandbox"),
        ("sandbox", "from bulkload.registry import Registry"),
        ("engine", "from bulkload.report import progress"),
        ("engine", "if TYPE_CHECKING:\n    from bulkload.cli import run"),
        ("report", "from bulkload.cli import options"),
        ("ledger", "from bulkload import publish"),
        ("engine", "import bulkload"),
    ],
)
def test_a_wrong_leaning_is_seen(room: str, source: str) -> None:
    assert wrong_leanings(room, ast.parse(source), f"bulkload.{room}")


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "from bulkload.core.model.states import State\nfrom .states import State\nimport enum"),
        ("cli", "def run():\n    from bulkload.sandbox import Sandbox"),
        ("engine", "from bulkload.ledger import Ledger"),
        ("registry", "from bulkload import __version__"),
        ("__init__", "from bulkload.engine.publish import publish"),
        ("ledger", "import bulkloader"),
    ],
)
def test_a_right_leaning_is_let(room: str, source: str) -> None:
    assert not wrong_leanings(room, ast.parse(source), f"bulkload.{room}")


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("engine/publish.py", "from bulkload.registry import Registry"),
        ("engine/upload/entry.py", "from bulkload.registry.answers import ListedVersion"),
        ("engine/upload/attempt.py", "from bulkload.registry.http.transport import Transport"),
        ("engine/calls.py", "def read():\n    from bulkload.registry.auth.keycloak import Keycloak"),
        ("engine/context.py", "from bulkload.ledger.sqlite.ledger import Ledger"),
        ("engine/context.py", "from bulkload.ledger import Ledger"),
        ("engine/plan.py", "from bulkload.ledger.sqlite import lock"),
        ("engine/upload/attempt.py", "from bulkload.source import LocalSource"),
        ("engine/upload/attempt.py", "import bulkload.source.local"),
        ("engine/preflight/checks.py", "from bulkload.manifest.files import Outside"),
        ("report/status.py", "from bulkload.ledger.sqlite.lock import Holder"),
        ("report/log.py", "from bulkload.engine.events import Events"),
        ("report/progress.py", "from bulkload.engine.context import Run"),
        ("report/results.py", "from bulkload.engine.publish import publish"),
        ("cli/run.py", "from bulkload.engine.upload.scheduler import Scheduler"),
        ("cli/doctor.py", "from bulkload.engine.context import Run"),
        ("cli/doctor.py", "from bulkload.engine.events import Events"),
        ("cli/results.py", "from bulkload.ledger import Ledger"),
        ("cli/demo.py", "from bulkload.sandbox.store.store import Store"),
    ],
)
def test_a_way_past_a_door_is_seen(place: str, source: str) -> None:
    assert ways_past_doors(place, ast.parse(source), f"bulkload.{place.rpartition('/')[0].replace('/', '.')}")


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("engine/publish.py", "from bulkload.registry.interface import Registry"),
        ("engine/doors.py", "from bulkload.ledger import Ledger\nfrom bulkload.registry import Registry"),
        ("engine/context.py", "from bulkload.ledger.interface import Moved"),
        ("engine/inspect/verify.py", "from bulkload.ledger import LedgerReader"),
        ("report/log.py", "from bulkload.core.model import events"),
        ("ledger/writer.py", "from bulkload.ledger.sqlite.execution import Execution"),
        ("cli/login.py", "from bulkload.registry.auth.login_store import LoginStore"),
        ("__init__.py", "from bulkload.ledger import Ledger"),
    ],
)
def test_a_way_by_a_door_is_let(place: str, source: str) -> None:
    assert not ways_past_doors(place, ast.parse(source), "bulkload")


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("core/model/states.py", "from bulkload.core.limits.pauses import Pauses"),
        ("core/model/attempts.py", "from bulkload.core.polls.schedule import PollSchedule"),
        ("core/limits/pacing.py", "from bulkload.core.identity import content"),
        ("core/polls/queue.py", "from ..limits.pacing import Pacer"),
        ("engine/limits.py", "from bulkload.engine.context import Run"),
        ("engine/poll/poller.py", "from bulkload.engine.upload.entry import EntryUpload"),
        ("engine/events.py", "def f():\n    from bulkload.engine.stop import Stop"),
        ("engine/preflight/checks.py", "from bulkload.engine.publish import publish"),
        ("ledger/memory/store.py", "from bulkload.ledger.sqlite.connection import SQLITE_ERRORS"),
        ("ledger/interface.py", "from bulkload.ledger.writer import LoopWriter"),
    ],
)
def test_a_wing_that_leans_elsewhere_is_seen(place: str, source: str) -> None:
    assert wrong_wings(place, ast.parse(source), f"bulkload.{place.rpartition('/')[0].replace('/', '.')}")
