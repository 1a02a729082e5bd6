"""What is needed to make a call again."""

from dataclasses import dataclass, field
from random import Random

from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.retry import RetryBudget
from bulkload.engine.clock import Clock, LoopClock


@dataclass(frozen=True, slots=True)
class Backoff:
    """A budget for retries, pauses before them, and whose chance and clock these go by."""

    clock: Clock
    random: Random
    pauses: Pauses = field(default_factory=Pauses)
    budget: RetryBudget = field(default_factory=RetryBudget)

    def seconds(self, attempt: int) -> float:
        """How long to wait after the ``attempt``-th failed try (from 1)."""
        return self.pauses.backoff(attempt, self.random.random())


def usual_backoff() -> Backoff:
    """By this machine's clock and chance: of commands that ask a question or two."""
    return Backoff(LoopClock(), Random())  # noqa: S311 - jitter, no secret
