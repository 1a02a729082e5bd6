"""Tests of the engine and of its guarantees pass in what they need: no name of a module or class is replaced.

A name that is replaced shows that a door is missing, and a test with one proves something about another program.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOMS = ("engine", "guarantees")
# monkeypatch.setenv and chdir change what belongs to the process, and not to the program.
REPLACING_METHODS = {"setattr", "delattr", "setitem", "delitem", "undo", "context"}
REPLACING_MODULES = {"unittest.mock", "mock", "pytest_mock"}


def replaced_names(tree: ast.Module) -> Iterator[str]:
    """Where a module replaces a name of another one, or of a class, or may."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            if REPLACING_MODULES & {*_modules_of(node)}:
                yield f"line {node.lineno}: imports a module that replaces names"
        elif isinstance(node, ast.Call) and _replaces(node.func):
            yield f"line {node.lineno}: calls {ast.unparse(node.func)}()"
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target).partition(".")[0] in imported:
                yield f"line {target.lineno}: sets {ast.unparse(target)}"


def _modules_of(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        yield from names
    else:
        yield from (node.module or "", *(f"{node.module}.{name}" for name in names))


def _replaces(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in ("setattr", "delattr")
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return False
    return function.value.id.lower().endswith(("monkeypatch", "mocker")) and function.attr in REPLACING_METHODS


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_replaced(room: str) -> None:
    """What a test needs otherwise is an argument."""
    found = [
        f"{path.relative_to(TESTS)} {problem}"
        for path in sorted((TESTS / room).rglob("*.py"))
        for problem in replaced_names(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "def test(monkeypatch): monkeypatch.setattr(time, 'sleep', None)",
        "def test(monkeypatch):\n with monkeypatch.context() as broken: ...",
        "from unittest import mock",
        "import unittest.mock as double",
        "from unittest.mock import patch",
        "setattr(module, 'NAME', 1)",
        "import time\ntime.sleep = None",
        "from bulkload.registry import Registry\nRegistry.upload = None",
        "import bulkload.source.local\nbulkload.source.local.PIECE_SIZE_BYTES = 8",
    ],
)
def test_a_replaced_name_is_seen(source: str) -> None:
    assert list(replaced_names(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "def test(monkeypatch): monkeypatch.setenv('A', 'b')",
        "class World:\n def f(self): self.now = 1",
        "import time\nregistry = Registry()\nregistry.clock = time.time",
    ],
)
def test_what_is_ones_own_may_be_set(source: str) -> None:
    assert not list(replaced_names(ast.parse(source)))
