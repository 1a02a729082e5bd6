"""The engine goes by the clock and the chance that it is given."""

import ast

import pytest

from tests.imports import MODULES, imports_of, place_of, room_of, tree_of

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
    modules = {place_of(module): module for module in MODULES if room_of(module) == "engine"}
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
