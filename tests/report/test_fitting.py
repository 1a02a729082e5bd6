"""Tables on a terminal: fitted to its width, down to one of 40 columns."""

import io
import re
from collections.abc import Sequence

import pytest

from bulkload.core.model.states import State
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.report.fitting import Fit, print_fitted
from bulkload.report.results import print_table
from bulkload.report.tables import Column

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
    assert any(line.startswith("12 longer: why [it] failed") for line in lines)


def test_on_a_wide_terminal_notes_stand_beside(monkeypatch):
    """Where there is room."""
    monkeypatch.setenv("COLUMNS", "250")
    assert "message" in shown(COLUMNS, ROWS)[0]


def test_a_note_names_its_row_in_full(monkeypatch):
    """Also where the name in the table goes on below."""
    monkeypatch.setenv("COLUMNS", "24")
    name = "a-name-that-is-long"
    fit = Fit(narrowed=(("name", 8),), folded="name")
    lines = shown((*COLUMNS, Column("state")), [("1", name, "no", "failed")], fit)
    assert any("a-name-" in line and "failed" in line for line in lines)
    assert f"1 {name}: no" in " ".join(line.strip() for line in lines)


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
    rows = [tuple((result | {"state": str(state)}).get(column) for column in RESULT_COLUMNS) for state in State]
    stream = Terminal()
    print_table(rows, stream)
    lines = re.sub(r"\x1b\[\d*m", "", stream.getvalue()).splitlines()
    assert all(len(line) <= width for line in lines)
    for state in State:
        assert any(f"  {state} " in line and "1230" in line for line in lines), state
