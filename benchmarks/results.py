"""What was measured, against what was to be reached."""

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A line of the table: a kind of work, whom it is measured against, and what is to be reached."""

    name: str
    work: str
    peer: str
    target: float
    # "x ...": a ratio; else what the number counts.
    unit: str
    # The target is a least value, as "8 times as fast" is; else a largest one.
    at_least: bool = False
    decimals: int = 2

    def show(self, value: float) -> str:
        """A value in its unit."""
        return f"{value:.{self.decimals}f} {self.unit}"

    def show_target(self) -> str:
        """The target in its unit."""
        return f"{'>=' if self.at_least else '<='} {self.target:g} {self.unit}"


@dataclass(frozen=True)
class Seconds:
    """How long each tool took for the same work: what the chart shows."""

    # Works of one name are drawn together.
    work: str
    # "http" or "https".
    scheme: str
    # Tool -> one a round.
    by_tool: dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """A row and what came of it. What it is judged by is the median."""

    row: Row
    # Pair by pair where it is a ratio.
    values: list[float]
    seconds: Seconds | None = None
    # What else was measured: whose figure -> one a round.
    measured: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def median(self) -> float:
        """What counts."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.median >= self.row.target if self.row.at_least else self.median <= self.row.target

    @property
    def spread(self) -> str:
        """The median, with the least and the largest where there are several."""
        least, largest = (self.row.show(value).partition(" ")[0] for value in (min(self.values), max(self.values)))
        return self.row.show(self.median) + (f" ({least} to {largest})" if len(self.values) > 1 else "")


def table(results: list[Result]) -> str:
    """The results as text, a row a line."""
    heads = ("work", "against", "measured (least to largest)", "target", "met")
    lines: list[tuple[str, ...]] = [heads, *(cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, tuple("-" * width for width in widths))
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{result.row.name}: {result.note}" for result in results if result.note]
    return "\n".join((*shown, "", *notes))


def cells(result: Result) -> tuple[str, str, str, str, str]:
    """What stands in a line of a table."""
    row = result.row
    return (row.work, row.peer, result.spread, row.show_target(), "yes" if result.is_met else "NO")
