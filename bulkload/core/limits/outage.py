"""A registry that takes nothing: everybody pauses, one call now and then asks whether it is over."""

from dataclasses import dataclass
from enum import Enum

from bulkload.core.limits.adapting import Departure
from bulkload.core.model import events
from bulkload.core.verdicts import Failure

# The first rounds of failures are each call's own affair, which it backs off from; from then on everybody pauses, ...
OWN_ROUNDS = 4
FIRST_PAUSE_SECONDS = 0.5
# ... twice as long each time: long enough to spare a registry that comes up, short enough to notice when it has.
LONGEST_PAUSE_SECONDS = 8.0


class Prospect(Enum):
    """What an outage means for a call that failed."""

    # Others succeed, or did a moment ago: its failures are its own.
    NO_OUTAGE = "no outage"
    # Nobody succeeds, which may pass: it is not to blame, and tried on.
    GO_ON = "go on"
    # It lasts for too long.
    GIVE_UP = "give up"


@dataclass(slots=True)
class Outage:
    """Failures with no success between them. Times are monotonic seconds."""

    # When the first of them was; None: the last call succeeded.
    since: float | None = None
    # The last departure before that, and the one before the last round.
    _since_after: int = -1
    _rounds: int = 0
    _round_after: int = -1

    def succeeded(self, sent: Departure) -> None:
        """It is over, or there is none; what left before it says nothing about it."""
        if self.since is None or sent.number > self._since_after:
            self.since, self._rounds = None, 0

    def failed(self, now: float, sent: Departure, latest: int) -> None:
        """A call failed in a way that passes. ``latest``: the last departure so far."""
        if self.since is None:
            self.since, self._since_after = now, latest
        # Those that were under way together are one round.
        if sent.number > self._round_after:
            self._rounds += 1
            self._round_after = latest

    @property
    def is_on(self) -> bool:
        """Whether everybody pauses."""
        return self._rounds > OWN_ROUNDS

    @property
    def pause(self) -> float:
        """Seconds from one call to the next, whoever's they are; 0 where there is no outage."""
        rounds = self._rounds - OWN_ROUNDS
        return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(rounds - 1, 10)) if rounds > 0 else 0.0

    def prospect(self, now: float, patience: float) -> Prospect:
        """What this means for a call that failed, where ``patience`` seconds are waited."""
        if self.since is None or not self.is_on:
            return Prospect.NO_OUTAGE
        return Prospect.GIVE_UP if now - self.since >= patience else Prospect.GO_ON

    def told(self, kind: str, now: float, failure: Failure, backoff: float, patience: float) -> events.Outage | None:
        """What is told of a call that failed, and that is made again after ``backoff`` seconds; None: no outage."""
        if self.prospect(now, patience) is not Prospect.GO_ON or self.since is None:
            return None
        return events.Outage(
            kind=kind,
            call=failure.call,
            reason=str(failure),
            since=self.since,
            next_try=now + max(backoff, self.pause),
            gives_up_at=self.since + patience,
            status=failure.status,
        )
