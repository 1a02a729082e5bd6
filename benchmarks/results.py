"""What was measured, against what was to be reached."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """A line of the table: a kind of work, whom it is measured against, and what is to be reached."""

    name: str
    work: str
    peer: str
    target: float
    # "x": a ratio; else what the number counts.
    unit: str
    # The target is a least value, as "8 times as fast" is; else a largest one.
    at_least: bool = False
    decimals: int = 2

    def show(self, value: float) -> str:
        """A value in its unit."""
        return f"{value:.{self.decimals}f} {self.unit}"

    def show_target(self) -> str:
        """The target in its unit."""
        return f"{self.target:g} {self.unit}"


@dataclass(frozen=True)
class Result:
    """A row and what came of it. What it is judged by is the median."""

    row: Row
    # Pair by pair where it is a ratio.
    values: list[float]
    # What the ratios are made of: whose figure -> one a round.
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
    def share(self) -> float:
        """How much of what the target allows is used up: at most 1 where it is met."""
        return self.row.target / self.median if self.row.at_least else self.median / self.row.target

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return {
            **asdict(self.row),
            "median": round(self.median, 4),
            "least": round(min(self.values), 4),
            "largest": round(max(self.values), 4),
            "met": self.is_met,
            "values": [round(value, 4) for value in self.values],
            "measured": {name: [round(value, 4) for value in values] for name, values in self.measured.items()},
            "note": self.note,
        }


def table(results: list[Result]) -> str:
    """The results as text, a row a line."""
    heads = ("work", "against", "measured (least .. largest)", "target", "met")
    lines = [heads, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, tuple("-" * width for width in widths))
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{result.row.name}: {result.note}" for result in results if result.note]
    return "\n".join((*shown, "", *notes))


def _cells(result: Result) -> tuple[str, ...]:
    row = result.row
    least, largest = (row.show(value).partition(" ")[0] for value in (min(result.values), max(result.values)))
    spread = f" ({least} .. {largest})" if len(result.values) > 1 else ""
    return (
        row.work,
        row.peer,
        row.show(result.median) + spread,
        f"{'>=' if row.at_least else '<='} {row.show_target()}",
        "yes" if result.is_met else "NO",
    )
