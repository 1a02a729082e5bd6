"""Tables: styled on a terminal, whole in a pipe."""

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
