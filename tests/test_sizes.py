"""A function fits a screen, a module a reader's head."""

import ast

import pytest

from tests.imports import MODULES, place_of

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_MODULE = 400


def length_faults(text: str, name: str = "module") -> list[str]:
    """What does not fit a screen, or a reader's head."""
    lines, wrong = len(text.splitlines()), []
    if lines > MOST_LINES_OF_A_MODULE:
        wrong.append(f"has {lines} lines, more than {MOST_LINES_OF_A_MODULE}")
    for node in ast.walk(ast.parse(text, name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                wrong.append(f"{node.name} has {length} lines, more than {MOST_LINES_OF_A_FUNCTION}")
    return wrong


def test_functions_and_modules_can_be_read_at_once() -> None:
    wrong = [
        f"{place_of(module)} {fault}"
        for module in MODULES
        for fault in length_faults(module.read_text(encoding="utf-8"), module.name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("def f():\n" + "    x = 1\n" * 59, 0),
        ("async def f():\n" + "    x = 1\n" * 60, 1),
        ("class C:\n    def f(self):\n" + "        x = 1\n" * 60, 1),
        ("x = 1\n" * 400, 0),
        ("x = 1\n" * 401, 1),
    ],
)
def test_what_is_too_long_is_seen(text: str, faults: int) -> None:
    assert len(length_faults(text)) == faults
