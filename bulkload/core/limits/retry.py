"""When to try again and when to stop. Pure: chance comes in as an argument."""

from dataclasses import dataclass

# The first try and four more.
ATTEMPTS_PER_ENTRY = 5
# Doubled with every failed try: at most half a second after the first.
BACKOFF_UNIT_SECONDS = 0.25
BACKOFF_LONGEST_SECONDS = 20.0
# A registry that asks for a longer pause than this will not be waited for: the run ends and says when to come back.
RETRY_AFTER_LONGEST_SECONDS = 600.0

# A retry costs ten tokens, a success earns one (botocore's retry quota): an outage cannot multiply the load.
BUDGET_TOKENS = 1_000
RETRY_COST = 10
SUCCESS_GAIN = 1


def backoff_seconds(attempt: int, chance: float) -> float:
    """How long to wait after the ``attempt``-th failed try (from 1), with full jitter: ``chance`` is in [0, 1)."""
    # The exponent is capped so that a huge attempt cannot overflow.
    return chance * min(BACKOFF_LONGEST_SECONDS, BACKOFF_UNIT_SECONDS * 2.0 ** min(attempt, 30))


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
        self.tokens = min(BUDGET_TOKENS, self.tokens + SUCCESS_GAIN)


def may_retry(attempts: int, budget: RetryBudget) -> bool:
    """Whether what was tried so often may be tried again; spends the budget."""
    return attempts < ATTEMPTS_PER_ENTRY and budget.spend()
