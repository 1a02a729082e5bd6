"""When to try again and when to stop."""

from dataclasses import dataclass
from enum import Enum

from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pauses import Pauses
from bulkload.core.model.errors import RegistryUnavailable
from bulkload.core.verdicts import Failure

# The first try and four more.
ATTEMPTS_PER_ENTRY = 5
# A registry that asks for a longer pause than this will not be waited for: the run ends and says when to come back.
RETRY_AFTER_LONGEST_SECONDS = 600.0

# A retry costs ten tokens, a success earns one (botocore's retry quota): an outage cannot multiply the load.
BUDGET_TOKENS = 1_000
RETRY_COST = 10
SUCCESS_GAIN = 1


@dataclass(slots=True)
class RetryBudget:
    """The retries that a whole run may spend."""

    tokens: int = BUDGET_TOKENS

    def spend(self) -> bool:
        """Take one retry; False when the budget is empty."""
        if self.tokens < RETRY_COST:
            return False
        self.tokens -= RETRY_COST
        return True

    def earn(self) -> None:
        """Give back a little for a call that succeeded."""
        if self.tokens < BUDGET_TOKENS:
            self.tokens += SUCCESS_GAIN


class Retry(Enum):
    """What is done about a call that failed in a way that passes."""

    AGAIN = "again"
    # It was tried often enough, while others succeed.
    ENOUGH = "enough"
    # Nothing succeeds, for too long.
    GIVE_UP = "give up"


def may_retry(attempts: int, budget: RetryBudget) -> bool:
    """Whether what was tried so often may be tried again; spends the budget."""
    return attempts < ATTEMPTS_PER_ENTRY and budget.spend()


def what_next(prospect: Prospect, attempts: int, budget: RetryBudget) -> Retry:
    """What is done about a call that failed so often; an outage has no end of tries until it lasts too long."""
    if prospect is Prospect.GIVE_UP:
        return Retry.GIVE_UP
    if may_retry(attempts, budget) or prospect is Prospect.GO_ON:
        return Retry.AGAIN
    return Retry.ENOUGH


def pause_seconds(failure: Failure, attempt: int, chance: float, pauses: Pauses) -> float:
    """How long to wait before the next try. Raises ``RegistryUnavailable`` when the registry wants too long a pause."""
    if failure.retry_after is None:
        return pauses.backoff(attempt, chance)
    if failure.retry_after > RETRY_AFTER_LONGEST_SECONDS:
        raise RegistryUnavailable(f"the registry asks to come back in {failure.retry_after:.0f} s: run again then")
    # A tenth more at the most, so that all who were told the same do not come back in the same instant.
    return failure.retry_after * (1.0 + 0.1 * chance)
