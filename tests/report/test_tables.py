"""Tables: fitted on a terminal, whole in a pipe."""

import io

from bulkload.report.tables import Column, print_rows

COLUMNS = (Column("line", right=True), Column("name"), Column("message", note=True))
ROWS = [("1", "short", ""), ("12", "longer", "why [it] failed " * 8)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_every_row_is_one_whole_line():
    """grep and awk see everything; nothing trails."""
    stream = io.StringIO()
    print_rows(COLUMNS, ROWS, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "line  name    message"
    assert lines[1] == "   1  short"
    assert lines[2] == f"  12  longer  {ROWS[1][2].rstrip()}"


def test_on_a_narrow_terminal_long_notes_stand_below(monkeypatch):
    """80 columns: no column is squeezed to a few letters, and brackets are no markup."""
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    print_rows(COLUMNS, ROWS, stream)
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "message" not in lines[0]
    assert "12 longer: why [it] failed" in stream.getvalue()


def test_on_a_wide_terminal_notes_stand_beside(monkeypatch):
    """Where there is room."""
    monkeypatch.setenv("COLUMNS", "250")
    stream = Terminal()
    print_rows(COLUMNS, ROWS, stream)
    assert "message" in stream.getvalue().splitlines()[0]
