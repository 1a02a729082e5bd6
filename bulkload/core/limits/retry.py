"""When to try again and when to stop."""

from dataclasses import dataclass

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
        self.tokens = min(BUDGET_TOKENS, self.tokens + SUCCESS_GAIN)


def may_retry(attempts: int, budget: RetryBudget) -> bool:
    """Whether what was tried so often may be tried again; spends the budget."""
    return attempts < ATTEMPTS_PER_ENTRY and budget.spend()
