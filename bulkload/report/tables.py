"""Tables for people: fitted to a terminal's width; in a file or a pipe whole, one line a row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

# What a state looks like; words that are no states stand plain.
STYLES = {"ready": "green", "skipped": "green", "error": "red", "failed": "red", "in_doubt": "yellow"}


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and how its cells are set."""

    heading: str
    right: bool = False
    # May take several lines on a narrow terminal; all others are cut.
    wraps: bool = False


def print_rows(columns: Sequence[Column], rows: Iterable[Sequence[str]], stream: TextIO) -> None:
    """Print a table."""
    if stream.isatty():
        _print_fitted(columns, rows, stream)
    else:
        _print_whole(columns, [[column.heading for column in columns], *rows], stream)


def _print_fitted(columns: Sequence[Column], rows: Iterable[Sequence[str]], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in rows:
        # Text, so that brackets in a name are no markup.
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(file=stream).print(table)


def _print_whole(columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        )
        stream.write("  ".join(cells).rstrip() + "\n")


def one_line(text: str) -> str:
    """Without line breaks: a message is one cell."""
    return " ".join(text.split())
