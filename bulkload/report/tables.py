"""Tables for people: styled on a terminal; in a file or a pipe whole, one line a row.

Rows are read twice, once for the widths and once to print them: a million of them take no memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bulkload.core.text.visible import visible_line
from bulkload.report.sink import Sink, Stream, as_sink

# What a state looks like; words that are no states stand plain.
STYLES = {"ready": "green", "skipped": "green", "error": "red", "failed": "red", "in_doubt": "yellow"}


GAP = 2
# A heading's own style.
HEADING = "bold"

Cells = Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and how its cells are set."""

    heading: str
    right: bool = False
    # Long text: where it does not fit beside the others, it stands below its row.
    note: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be read again. Each cell is one line, and a terminal obeys nothing of it."""

    read: Callable[[], Iterable[Cells]]

    def __iter__(self) -> Iterator[Cells]:
        """All of them, from the first."""
        return ([visible_line(cell) for cell in row] for row in self.read())


def read_again(rows: Iterable[Cells]) -> Rows:
    """Rows that are in memory, or are put there."""
    if isinstance(rows, Rows):
        return rows
    found = list(rows)
    return Rows(lambda: found)


def print_rows(columns: Sequence[Column], rows: Iterable[Cells], stream: Stream) -> None:
    """Print a table whole. Each row is a line of its own, whatever its cells hold."""
    sink = as_sink(stream)
    rows = read_again(rows)
    widths = [len(column.heading) for column in columns]
    for row in rows:
        widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
    sink.say(_line(columns, [column.heading for column in columns], widths))
    for row in rows:
        sink.say(_line(columns, row, widths))
    sink.flush()


def _line(columns: Sequence[Column], row: Cells, widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if column.right else cell.ljust(width)
        for column, cell, width in zip(columns, row, widths, strict=True)
    )
    return (" " * GAP).join(cells).rstrip()


def print_styled(columns: Sequence[Column], row: Cells, widths: Sequence[int], sink: Sink, style: str = "") -> None:
    """Print a line of a table on a terminal, its states in their colours."""
    parts: list[tuple[str, str]] = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        blank = " " * max(0, width - width_of(cell))
        before, after = (blank, "") if column.right else ("", blank)
        parts += [(before, ""), (cell, style or STYLES.get(cell, "")), (after + " " * GAP, "")]
    while parts and not parts[-1][0].strip():
        parts.pop()
    sink.say_styled(parts)


def width_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    from rich.cells import cell_len

    # Cheaper, and rich keeps what it has measured.
    return len(text) if text.isascii() else cell_len(text)


def one_line(text: str) -> str:
    """Without line breaks: a message is one cell."""
    return " ".join(text.split())
