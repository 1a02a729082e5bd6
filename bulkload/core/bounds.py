"""When a run has seen enough failures."""

from dataclasses import dataclass

from bulkload.core.errors import UsageError

# A share of fewer finished entries than this says nothing.
SHARE_AFTER_ENTRIES = 20


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """``--max-failures``: a number of entries, or a share of those that finished in this run."""

    count: int | None = None
    percent: float | None = None

    def exceeded(self, failed: int, finished: int) -> bool:
        """Whether ``failed`` of ``finished`` entries are too many."""
        if self.count is not None:
            return failed > self.count
        if self.percent is None or finished < SHARE_AFTER_ENTRIES:
            return False
        return failed * 100 > self.percent * finished

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.percent:g}%" if self.percent is not None else str(self.count)


def parse_failure_limit(text: str) -> FailureLimit:
    """``5`` or ``10%``. Raises ``UsageError``."""
    number, sign, rest = text.strip().partition("%")
    try:
        if not sign:
            return FailureLimit(count=_not_negative(int(number)))
        if rest or not 0 <= float(number) <= 100:
            raise ValueError
        return FailureLimit(percent=float(number))
    except ValueError:
        raise UsageError(f"{text!r} is no number of failures; write it as 5 or 10%") from None


def _not_negative(number: int) -> int:
    if number < 0:
        raise ValueError
    return number
