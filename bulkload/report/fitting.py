"""Fitting to a terminal what would be too wide: ids stay whole, what is also said elsewhere gives way."""

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from bulkload.core.text.visible import visible_line
from bulkload.report.sink import Stream, as_sink
from bulkload.report.tables import GAP, HEADING, Cells, Column, Rows, print_rows, print_styled, read_again, width_of

# Before what stands below its row.
INDENT = "    "


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
    # Down to so many signs is it folded when all else was not enough; None: it is among those that are narrowed.
    folded_to: int | None = None
    # Columns without any content stay.
    empty_too: bool = False


@dataclass(slots=True)
class _Measure:
    """What is known of a column once all rows were read."""

    width: int
    first: str | None = None
    filled: bool = False
    differs: bool = False

    def add(self, cell: str, width: int) -> None:
        self.width = max(self.width, width)
        self.filled = self.filled or cell != ""
        if self.first is None:
            self.first = cell
        self.differs = self.differs or cell != self.first


@dataclass(slots=True)
class _Layout:
    """Which columns stand beside each other, how wide, and which ones stand below their row."""

    columns: Sequence[Column]
    measures: Sequence[_Measure]
    available: int
    beside: list[int]
    below: list[int] = field(default_factory=list)
    widths: dict[int, int] = field(default_factory=dict)

    @property
    def excess(self) -> int:
        return sum(self.widths[index] for index in self.beside) + GAP * (len(self.beside) - 1) - self.available

    def fit(self, fit: Fit) -> None:
        self.widths = {index: self.measures[index].width for index in self.beside}
        if self.excess > 0:
            self.below = [index for index in self.beside if self.columns[index].note]
            self.beside = [index for index in self.beside if not self.columns[index].note]
        self._narrow(fit.narrowed)
        for heading in fit.spare:
            if self.excess <= 0:
                break
            self.beside = [index for index in self.beside if self.columns[index].heading != heading]
            # What was narrowed for it may have its room.
            self.widths = {index: self.measures[index].width for index in self.beside}
            self._narrow(fit.narrowed)
        if fit.folded_to is not None:
            self._narrow([(fit.folded, fit.folded_to)])

    def _narrow(self, narrowed: Sequence[tuple[str, int]]) -> None:
        position = {self.columns[index].heading: index for index in self.beside}
        for heading, least in narrowed:
            index = position.get(heading)
            if index is not None and self.excess > 0:
                room = max(0, self.widths[index] - max(least, len(heading)))
                self.widths[index] -= min(self.excess, room)


def print_fitted(columns: Sequence[Column], rows: Iterable[Cells], stream: Stream, fit: Fit) -> None:
    """Print a table; in a file or a pipe whole. On a terminal columns without any content are left out.

    Notes that do not fit beside the other columns stand below their row. ``Rows`` are read twice and not kept.
    """
    rows = read_again(rows)
    if not stream.isatty():
        print_rows(columns, rows, stream)
        return
    sink = as_sink(stream)
    measures = _measured(columns, rows)
    shown = [
        index
        for index, (column, measure) in enumerate(zip(columns, measures, strict=True))
        if (measure.filled or fit.empty_too) and (measure.differs or column.heading not in fit.telling)
    ]
    layout = _Layout(columns, measures, sink.columns, shown)
    layout.fit(fit)
    beside = [columns[index] for index in layout.beside]
    widths = [layout.widths[index] for index in layout.beside]
    cut = [layout.widths[index] < measures[index].width for index in layout.beside]
    fold = [column.heading == fit.folded for column in beside]
    print_styled(beside, [column.heading for column in beside], widths, sink, HEADING)
    for row in rows:
        for line in _lines([row[index] for index in layout.beside], widths, cut, fold):
            print_styled(beside, line, widths, sink)
        for index in layout.below:
            sink.say(*_wrapped(row[index], sink.columns))
    sink.flush()


def _measured(columns: Sequence[Column], rows: Rows) -> list[_Measure]:
    measures = [_Measure(width_of(column.heading)) for column in columns]
    for row in rows:
        for measure, cell in zip(measures, row, strict=True):
            measure.add(cell, width_of(cell))
    return measures


def _lines(row: Cells, widths: Sequence[int], cut: Sequence[bool], fold: Sequence[bool]) -> Iterator[list[str]]:
    """A row as the lines that it takes."""
    from rich.cells import set_cell_size

    cells = []
    for cell, width, is_cut, folds in zip(row, widths, cut, fold, strict=True):
        if not is_cut or width_of(cell) <= width:
            cells.append([cell])
        elif folds:
            cells.append(_folded(cell, width))
        else:
            cells.append([set_cell_size(cell, width - 1) + "…"])
    return (list(line) for line in zip_longest(*cells, fillvalue=""))


def _folded(cell: str, width: int) -> list[str]:
    """A cell in pieces, each ending after a sign that joins words where there is one in its second half."""
    from rich.cells import chop_cells

    pieces = []
    while width_of(cell) > width:
        piece = chop_cells(cell, width)[0]
        joint = max(piece.rfind(sign) for sign in "-_. ") + 1
        piece = piece[:joint] if 2 * joint > len(piece) else piece
        pieces.append(piece)
        cell = cell[len(piece) :]
    return [*pieces, cell]


def _wrapped(note: str, available: int) -> list[str]:
    room = max(20, available - len(INDENT))
    return [f"{INDENT}{line}" for line in textwrap.wrap(note, room, break_on_hyphens=False)]


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
