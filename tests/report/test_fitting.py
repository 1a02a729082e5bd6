"""Tables on a terminal: fitted to its width, down to one of 40 columns."""

import io
import re
from collections.abc import Iterator, Sequence

import pytest

from bulkload.core.model.states import State
from bulkload.report.fitting import Fit, print_fitted
from bulkload.report.results import TABLE_COLUMNS, print_table
from bulkload.report.tables import Column, Rows

COLUMNS = (Column("line", right=True), Column("name"), Column("message", note=True))
ROWS = [("1", "short", ""), ("12", "longer", "why [it] failed " * 8)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(columns: Sequence[Column], rows: Sequence[Sequence[str]], fit: Fit | None = None) -> list[str]:
    stream = Terminal()
    print_fitted(columns, rows, stream, fit or Fit())
    return stream.getvalue().splitlines()


def test_on_a_narrow_terminal_long_notes_stand_below(monkeypatch):
    """80 columns: no column is squeezed to a few letters, and brackets are no markup."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(COLUMNS, ROWS)
    assert all(len(line) <= 80 for line in lines)
    assert "message" not in lines[0]
    assert lines[2].split() == ["12", "longer"]
    assert lines[3].startswith("    why [it] failed")


def test_on_a_wide_terminal_notes_stand_beside(monkeypatch):
    """Where there is room."""
    monkeypatch.setenv("COLUMNS", "250")
    assert "message" in shown(COLUMNS, ROWS)[0]


def test_a_note_stands_below_its_row(monkeypatch):
    """Also where the name goes on below, and before the next row."""
    monkeypatch.setenv("COLUMNS", "24")
    name = "a-name-that-is-long"
    fit = Fit(narrowed=(("name", 8),), folded="name")
    rows = [("1", name, "no file", "failed"), ("2", "b", "", "ready")]
    lines = shown((*COLUMNS, Column("state")), rows, fit)
    assert "a-name-" in lines[1]
    assert "failed" in lines[1]
    assert lines[-2] == "    no file"
    assert lines[-1].split() == ["2", "b", "\x1b[32mready\x1b[0m"]


def test_rows_are_not_kept():
    """A million of them cost no memory: they are read twice, one after the other."""
    alive = 0
    most = 0

    class Cell(str):
        __slots__ = ()

        def __new__(cls, text: str) -> "Cell":
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, text)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def read() -> Iterator[list[str]]:
        for number in range(1_000):
            yield [Cell(str(number)), Cell("name"), Cell("why")]

    for stream in (Terminal(), io.StringIO()):
        print_fitted(COLUMNS, Rows(read), stream, Fit())
        assert len(stream.getvalue().splitlines()) == 1_001
    assert most < 20


@pytest.mark.parametrize("width", [40, 80, 200])
def test_results_say_the_state_and_the_version_at_every_width(monkeypatch, width):
    """What one looks for gives way last."""
    monkeypatch.setenv("COLUMNS", str(width))
    result = {
        "line": 17,
        "name": "broken-custom-no-inference",
        "version_label": "1",
        "framework": "hugging-face-summarization",
        "size": 1_234_567,
        "version_id": 1230,
        "message": "No Inference-inherited class found in the model directory",
    }
    rows = [tuple((result | {"state": str(state)}).get(column) for column in TABLE_COLUMNS) for state in State]
    stream = Terminal()
    print_table(lambda: rows, stream)
    lines = re.sub(r"\x1b\[\d*m", "", stream.getvalue()).splitlines()
    assert all(len(line) <= width for line in lines)
    for state in State:
        assert any(f"  {state} " in line and "1230" in line for line in lines), state
