"""``core`` only decides: no async, no I/O, no clock, no chance."""

import ast

import pytest

from tests.imports import MODULES, PACKAGE, imports_of, package_of, room_of, tree_of

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


def test_core_only_decides() -> None:
    """No async, no I/O, no clock, no chance."""
    wrong = [
        f"{module.relative_to(PACKAGE)} {problem}"
        for module in MODULES
        if room_of(module) == "core"
        for problem in impurities(tree_of(module), package_of(module))
    ]
    assert not wrong, "\n".join(wrong)


# The test itself notices what it is for.


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
