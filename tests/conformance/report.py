"""What the witnesses have said, endpoint by endpoint: printed at the end of the run."""

from collections import Counter
from collections.abc import Iterable

WITNESSES = ("SDK", "generated client", "curl", "requests", "bulkload")
COLUMNS = ("documented shape", *WITNESSES)


class Report:
    """Counts. A cell is the number of answers that a column's witness got and was content with; `-`: it never asked."""

    def __init__(self) -> None:
        self._content: Counter[tuple[str, str]] = Counter()
        self._discontent: Counter[tuple[str, str]] = Counter()

    def add(self, endpoint: str, column: str, *, content: bool) -> None:
        """One more answer."""
        (self._content if content else self._discontent)[endpoint, column] += 1

    def lines(self, endpoints: Iterable[str]) -> list[str]:
        """The table, one line an endpoint."""
        rows = [
            ("endpoint", *COLUMNS),
            *((name, *(self._cell(name, column) for column in COLUMNS)) for name in endpoints),
        ]
        widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def _cell(self, endpoint: str, column: str) -> str:
        good, bad = self._content[endpoint, column], self._discontent[endpoint, column]
        return f"{bad} WRONG" if bad else str(good) if good else "-"
