"""Fitting to a terminal what would be too wide: ids stay whole, what is also said elsewhere gives way."""

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from bulkload.core.text.visible import visible_line
from bulkload.report.sink import Stream, as_sink
from bulkload.report.tables import GAP, Column, print_rows

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What gives way on a narrow terminal, first to last. All by heading."""

    # Left out where all rows say the same.
    telling: Collection[str] = ()
    # Made narrower, down to so many signs.
    narrowed: Sequence[tuple[str, int]] = ()
    # Left out when that was not enough.
    spare: Sequence[str] = ()
    # Its cells are not cut when it is made narrower: they go on below.
    folded: str = ""


def print_fitted(columns: Sequence[Column], rows: Iterable[Sequence[str]], stream: Stream, fit: Fit) -> None:
    """Print a table; in a file or a pipe whole. On a terminal columns without any content are left out, too.

    Notes that do not fit beside the other columns stand below the table, each after the first two cells of its row.
    """
    found: list[Sequence[str]] = [[visible_line(cell) for cell in row] for row in rows]
    if not stream.isatty():
        print_rows(columns, found, stream)
        return
    kept = [index for index, column in enumerate(columns) if _is_worth_showing(column, index, found, fit)]
    columns, found = _picked(columns, kept), [_picked(row, kept) for row in found]
    available = as_sink(stream).columns
    notes: list[str] = []
    if _widest(columns, found) > available:
        notes = _notes(columns, found)
        kept = [index for index, column in enumerate(columns) if not column.note]
        columns, found = _picked(columns, kept), [_picked(row, kept) for row in found]
    widths, excess = _fitted_widths(columns, found, available, fit)
    for heading in fit.spare:
        if excess <= 0:
            break
        kept = [index for index, column in enumerate(columns) if column.heading != heading]
        columns, found = _picked(columns, kept), [_picked(row, kept) for row in found]
        widths, excess = _fitted_widths(columns, found, available, fit)
    fold = [column.heading == fit.folded for column in columns]
    print_rows(columns, (line for row in found for line in _lines(row, widths, fold)), stream)
    _print_notes(notes, stream)


def _widest(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    return sum(_widths(columns, rows)) + GAP * (len(columns) - 1)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    return [
        max(cell_len(cell) for cell in (column.heading, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]


def _notes(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    noted = [index for index, column in enumerate(columns) if column.note]
    return [f"{row[0]} {row[1]}: {row[index]}" for row in rows for index in noted if row[index]]


def _print_notes(notes: Sequence[str], stream: Stream) -> None:
    from rich.text import Text

    sink = as_sink(stream)
    for note in notes:
        sink.show(Text(note))
    sink.flush()


def _is_worth_showing(column: Column, index: int, rows: Sequence[Sequence[str]], fit: Fit) -> bool:
    said = {row[index] for row in rows}
    return said != {""} and not (column.heading in fit.telling and len(said) == 1)


def _picked(items: Sequence[T], indexes: Sequence[int]) -> Sequence[T]:
    return [items[index] for index in indexes]


def _fitted_widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int, fit: Fit
) -> tuple[list[int], int]:
    """The width of every column, and by how much all of them are still too wide."""
    widths = _widths(columns, rows)
    excess = sum(widths) + GAP * (len(widths) - 1) - available
    position = {column.heading: index for index, column in enumerate(columns)}
    for heading, least in fit.narrowed:
        index = position.get(heading)
        if index is not None and excess > 0:
            less = min(excess, max(0, widths[index] - max(least, len(heading))))
            widths[index] -= less
            excess -= less
    return widths, excess


def _lines(row: Sequence[str], widths: Sequence[int], fold: Sequence[bool]) -> Iterator[list[str]]:
    """A row as the lines that it takes."""
    from rich.cells import cell_len, chop_cells, set_cell_size

    cells = []
    for cell, width, folds in zip(row, widths, fold, strict=True):
        if cell_len(cell) <= width:
            cells.append([cell])
        elif folds:
            cells.append(chop_cells(cell, width))
        else:
            cells.append([set_cell_size(cell, width - 1) + "…"])
    return (list(line) for line in zip_longest(*cells, fillvalue=""))


def print_facts(facts: Iterable[tuple[str, str]], stream: Stream) -> None:
    """Print names and values, a line each; on a terminal long values go on below their beginning."""
    sink = as_sink(stream)
    found = [(visible_line(name), visible_line(value)) for name, value in facts]
    label = max((len(name) for name, value in found if value), default=0) + GAP
    room = max(20, sink.columns - label) if sink.isatty() else None
    for name, value in found:
        lines = [value] if room is None else textwrap.wrap(value, room, break_on_hyphens=False) or [""]
        sink.say(f"{name:<{label}}{lines[0]}".rstrip(), *(f"{'':<{label}}{line}" for line in lines[1:]))
    sink.flush()
