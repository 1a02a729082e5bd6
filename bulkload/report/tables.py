"""Tables for people: styled on a terminal; in a file or a pipe whole, one line a row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bulkload.core.text.visible import visible_line
from bulkload.report.sink import Sink, Stream, as_sink

# What a state looks like; words that are no states stand plain.
STYLES = {"ready": "green", "skipped": "green", "error": "red", "failed": "red", "in_doubt": "yellow"}


GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and how its cells are set."""

    heading: str
    right: bool = False
    # Long text: where it does not fit beside the others, it stands below the table.
    note: bool = False


def print_rows(columns: Sequence[Column], rows: Iterable[Sequence[str]], stream: Stream) -> None:
    """Print a table. Each row is lines of its own, whatever its cells hold."""
    sink = as_sink(stream)
    found = ([visible_line(cell) for cell in row] for row in rows)
    lines = [[column.heading for column in columns], *found]
    if sink.isatty():
        _print_styled(columns, lines, sink)
    else:
        _print_whole(columns, lines, sink)
    sink.flush()


def _print_styled(columns: Sequence[Column], lines: Sequence[Sequence[str]], sink: Sink) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.heading, justify=justify, no_wrap=True, overflow="ellipsis")
    for line in lines[1:]:
        # Text, so that brackets in a name are no markup.
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in line))
    sink.show(table)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]


def _print_whole(columns: Sequence[Column], lines: Sequence[Sequence[str]], sink: Sink) -> None:
    widths = _widths(lines)
    for line in lines:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        )
        sink.say((" " * GAP).join(cells).rstrip())


def one_line(text: str) -> str:
    """Without line breaks: a message is one cell."""
    return " ".join(text.split())
