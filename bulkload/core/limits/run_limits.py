"""When a run has seen enough: of failures, or of time."""

from dataclasses import dataclass, field

from bulkload.core.model.errors import UsageError
from bulkload.core.model.states import FAILURES, TERMINAL, State

# So many failures of one cause in a row are no accident.
LONGEST_STREAK = 10
# A share of fewer finished entries than this says nothing.
SHARE_AFTER_ENTRIES = 20


# Of the files that a process may have open, what a run needs beside its uploads and polls: ledger, staged manifest,
# small files, a connection for listings and one for tokens.
OTHER_DESCRIPTORS = 10


@dataclass(frozen=True, slots=True)
class Room:
    """What may be under way at a time within the files and sockets that this process may still open."""

    # Each has a file and a connection.
    uploads: int
    # First polls, and as many further ones; each has a connection.
    polls: int


def room_within(descriptors: int | None, uploads: int, polls: int) -> Room:
    """As many as were asked for, or fewer: at least one of each. ``descriptors``: None for no limit."""
    if descriptors is None:
        return Room(uploads, polls)
    share = max(1, (descriptors - OTHER_DESCRIPTORS) // 4)
    return Room(min(uploads, share), min(polls, share))


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


@dataclass(slots=True)
class FailureStreak:
    """Failures of one cause, with no success between them."""

    cause: str = ""
    length: int = 0

    def succeeded(self) -> None:
        """Whatever it was, it passes."""
        self.length = 0

    def failed(self, cause: str) -> bool:
        """Note a failure; whether it is one too many."""
        self.length = self.length + 1 if cause == self.cause else 1
        self.cause = cause
        return self.length >= LONGEST_STREAK


@dataclass(slots=True)
class FailureWatch:
    """Whether a run has seen enough failures: too many in all, or of one cause in a row."""

    limit: FailureLimit | None
    # Entries that this run saw through, and those of them that failed.
    _finished: int = 0
    _failed: int = 0
    # An upload that is refused and a conversion that fails have nothing to do with each other.
    _refusals: FailureStreak = field(default_factory=FailureStreak)
    _conversion_errors: FailureStreak = field(default_factory=FailureStreak)

    def moved(self, after: State, cause: str | None, message: str | None, *, in_manifest: bool) -> list[str]:
        """An entry was moved. Why the run is to end now, where that was one failure too many."""
        reasons = []
        if in_manifest and after in TERMINAL:
            self._finished += 1
            self._failed += after in FAILURES
            if self.limit is not None and self.limit.exceeded(self._failed, self._finished):
                what = f"{self._failed:,} of {self._finished:,} entries failed, --max-failures is {self.limit}"
                reasons.append(f"{what}; mend the cause and run again")
        if after is State.UPLOADED:
            self._refusals.succeeded()
        elif after is State.READY:
            self._conversion_errors.succeeded()
        elif after in FAILURES:
            streak = self._refusals if after is State.FAILED else self._conversion_errors
            # Why a conversion failed stands in its message; of other failures the message names the file.
            if streak.failed((message if cause == "conversion_error" else cause) or ""):
                what = f"the last {streak.length} failed for one reason ({cause}: {message})"
                reasons.append(f"{what}; mend it and run again")
        return reasons


@dataclass(slots=True)
class Window:
    """``--max-duration``: nothing is begun that would not end in time, at the speed of the uploads so far."""

    # On the monotonic clock; None: no end.
    ends_at: float | None
    _uploads: int = 0
    _bytes: int = 0
    _seconds: float = 0.0

    def uploaded(self, size: int, seconds: float) -> None:
        """An upload of ``size`` bytes took so long."""
        self._uploads += 1
        self._bytes += size
        self._seconds += seconds

    def admits(self, now: float, size: int) -> bool:
        """Whether an upload of ``size`` bytes, begun now, would end in time."""
        if self.ends_at is None:
            return True
        expected = 0.0
        if self._uploads:
            # An upload has its own costs beside its bytes.
            expected = self._seconds * max(1 / self._uploads, size / max(1, self._bytes))
        return now + expected < self.ends_at


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
