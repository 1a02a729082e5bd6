"""The picture of the house, read from the imports of the package: who may lean on whom, and what only decides.

Dependencies point down: cli, report, engine, then manifest, source, registry and ledger side by side, then sandbox,
then system (the operating system, without decisions) and core. What one of the four needs of another is handed in by
engine or cli. An import in a function counts as well.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import bulkload

PACKAGE = Path(bulkload.__file__).parent

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
# The public top: they lead into the house, so nobody inside may lean on them. (The version is a fact.)
TOP = {"__init__", "__main__"}
FACTS = {"bulkload.__version__"}

# What acts, waits, or answers differently tomorrow. Time and chance come into core as arguments.
IMPURE_MODULES = {
    "aiofiles", "aiohttp", "anyio", "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "importlib", "io",
    "logging", "multiprocessing", "os", "random", "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl",
    "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "uvloop",
}  # fmt: skip
IMPURE_FUNCTIONS = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}
# Methods of pathlib.Path that touch the disk, and the clocks of datetime; names that nothing else in core has.
IMPURE_METHODS = {
    "cwd", "exists", "expanduser", "glob", "home", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "mkdir",
    "now", "open", "read_bytes", "read_text", "readlink", "rename", "resolve", "rglob", "rmdir", "samefile", "stat",
    "symlink_to", "today", "touch", "unlink", "utcnow", "write_bytes", "write_text",
}  # fmt: skip
# Reads a stream in memory: its name is the same as a file's.
PURE_CALLS = {"pa.ipc.open_stream"}

MODULES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One import: the dotted name that it brings in, and where it stands."""

    name: str
    line: int


def imports_of(tree: ast.AST, package: str) -> Iterator[Import]:
    """Every import of a module of ``package`` (a dotted name), wherever it stands; relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            anchor = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*anchor, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def room_of(module: Path) -> str:
    """``core`` for bulkload/core/model/states.py, ``__init__`` for bulkload/__init__.py."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def package_of(module: Path) -> str:
    """``bulkload.core`` for bulkload/core/model/states.py."""
    return ".".join(["bulkload", *module.relative_to(PACKAGE).parent.parts])


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), module.name)


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


def impurities(tree: ast.AST, package: str) -> list[str]:
    """What makes a module more than decisions."""
    wrong = [
        f"line {found.line}: imports {found.name}"
        for found in imports_of(tree, package)
        if found.name.partition(".")[0] in IMPURE_MODULES
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            wrong.append(f"line {node.lineno}: is async")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) not in PURE_CALLS:
            function = node.func
            if isinstance(function, ast.Name) and function.id in IMPURE_FUNCTIONS:
                wrong.append(f"line {node.lineno}: calls {function.id}()")
            elif isinstance(function, ast.Attribute) and function.attr in IMPURE_METHODS:
                wrong.append(f"line {node.lineno}: calls .{function.attr}()")
    return wrong


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


def test_core_only_decides() -> None:
    """No async, no I/O, no clock, no chance."""
    wrong = [
        f"{module.relative_to(PACKAGE)} {problem}"
        for module in MODULES
        if room_of(module) == "core"
        for problem in impurities(tree_of(module), package_of(module))
    ]
    assert not wrong, "\n".join(wrong)


# The doors: what a run may know of each room that has one. Behind them are the ledgers, registries and sources.
DOORS = {
    "ledger": {"interface", "records", "LedgerReader"},
    "registry": {"interface", "form"},
    "source": {"OpenFile", "SmallFile", "SourceChanged", "Sources", "look_in"},
}
# What stands behind a door where nobody says otherwise; the copy of a file that a plan is made on.
KNOW_WHAT_IS_BEHIND = {"engine/doors.py", "engine/plan.py"}
# Commands that look into a registry or a ledger are no runs.
NO_RUN = "engine/inspect/"


def past_a_door(tree: ast.AST) -> list[str]:
    """Imports of a run's modules that know what is behind a door."""
    wrong = []
    for found in imports_of(tree, "bulkload.engine"):
        root, _, rest = found.name.partition(".")
        room, _, inside = rest.partition(".")
        if (root == "bulkload" and room in DOORS and inside.partition(".")[0] not in DOORS[room]) or root == "sqlite3":
            wrong.append(f"line {found.line}: imports {found.name}")
    return wrong


def test_a_run_knows_no_more_than_the_interfaces() -> None:
    """A second implementation, and a test's, takes the place of the first one without a word in the engine."""
    modules = {str(module.relative_to(PACKAGE)): module for module in MODULES if room_of(module) == "engine"}
    assert modules.keys() >= KNOW_WHAT_IS_BEHIND
    wrong = [
        f"{name} {problem}"
        for name, module in modules.items()
        if name not in KNOW_WHAT_IS_BEHIND and not name.startswith(NO_RUN)
        for problem in past_a_door(tree_of(module))
    ]
    assert not wrong, "\n".join(wrong)


# What a run takes for its clock and its chance where it is given none.
CLOCK_AND_CHANCE = {"engine/clock.py", "engine/doors.py", "engine/backoff.py"}
TIMES_AND_CHANCES = {
    "anyio.current_time", "anyio.fail_after", "anyio.fail_at", "anyio.move_on_after", "anyio.move_on_at",
    "anyio.sleep", "anyio.sleep_until", "asyncio.sleep", "asyncio.timeout", "asyncio.wait_for",
}  # fmt: skip


def own_times_and_chances(tree: ast.AST) -> list[str]:
    """Where a module goes by another clock or chance than the one that it was given."""
    wrong = [
        f"line {found.line}: imports {found.name}"
        for found in imports_of(tree, "bulkload.engine")
        if found.name.partition(".")[0] in ("time", "secrets") or found.name == "random"
    ]
    wrong += [
        f"line {node.lineno}: calls {ast.unparse(node.func)}()"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in TIMES_AND_CHANCES | {"Random"}
    ]
    return wrong


def test_the_engine_goes_by_the_clock_and_the_chance_that_it_is_given() -> None:
    """Virtual time, and a seed, reach everything that waits or decides."""
    modules = {str(module.relative_to(PACKAGE)): module for module in MODULES if room_of(module) == "engine"}
    assert modules.keys() >= CLOCK_AND_CHANCE
    wrong = [
        f"{name} {problem}"
        for name, module in modules.items()
        if name not in CLOCK_AND_CHANCE
        for problem in own_times_and_chances(tree_of(module))
    ]
    assert not wrong, "\n".join(wrong)


# The test itself notices what it is for.


@pytest.mark.parametrize(
    "source",
    [
        "from bulkload.ledger.sqlite.writes import Store",
        "from bulkload.ledger import Ledger",
        "from bulkload.registry import Registry",
        "import bulkload.registry.client",
        "from bulkload.source.local import LocalSource",
        "import sqlite3",
    ],
)
def test_a_way_past_a_door_is_seen(source: str) -> None:
    assert past_a_door(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random",
        "from time import monotonic",
        "anyio.sleep(1)",
        "Random()",
        "anyio.move_on_after(1)",
    ],
)
def test_a_clock_or_a_chance_of_its_own_is_seen(source: str) -> None:
    assert own_times_and_chances(ast.parse(source))


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
    "source",
    [
        "import os",
        "import os.path",
        "from time import monotonic",
        "def f():\n    import random",
        "import sqlite3 as database",
        "from anyio import sleep",
        "async def f(): ...",
        "def f(path): return path.read_text()",
        "def f(): return open('x')",
        "from datetime import datetime\ndef f(): return datetime.now()",
    ],
)
def test_an_impurity_is_seen(source: str) -> None:
    assert impurities(ast.parse(source), "bulkload.core")


@pytest.mark.parametrize(
    "source",
    ["import re, enum", "from pathlib import Path, PurePosixPath", "def f(data): return pa.ipc.open_stream(data)"],
)
def test_a_decision_is_let(source: str) -> None:
    assert not impurities(ast.parse(source), "bulkload.core")
