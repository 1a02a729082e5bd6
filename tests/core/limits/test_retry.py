"""Retries are bounded, for an entry and for a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.retry import (
    ATTEMPTS_PER_ENTRY,
    BUDGET_TOKENS,
    RETRY_AFTER_LONGEST_SECONDS,
    RETRY_COST,
    RetryBudget,
)


def test_the_numbers_are_those_that_were_proved() -> None:
    """reliability.md: five attempts, 1,000 tokens, 10 a retry, at most ten minutes of Retry-After."""
    assert (ATTEMPTS_PER_ENTRY, BUDGET_TOKENS, RETRY_COST) == (5, 1000, 10)
    assert (Pauses().backoff_longest, RETRY_AFTER_LONGEST_SECONDS) == (20.0, 600.0)


@pytest.mark.parametrize(("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 20.0), (8, 20.0)])
def test_the_longest_pause_doubles_up_to_twenty_seconds(attempt: int, longest: float) -> None:
    assert Pauses().backoff(attempt, 1.0) == longest


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_anything_from_nothing_to_its_longest(attempt: int, chance: float) -> None:
    """Full jitter: those who failed together do not come back together; and no attempt overflows."""
    pause = Pauses().backoff(attempt, chance)
    assert 0 <= pause <= Pauses().backoff_longest
    assert pause == chance * Pauses().backoff(attempt, 1.0)


def test_an_outage_costs_a_hundred_retries_and_no_more() -> None:
    budget = RetryBudget()
    assert [budget.spend() for _ in range(101)] == [True] * 100 + [False]


def test_ten_successes_earn_one_retry() -> None:
    budget = RetryBudget(tokens=0)
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert budget.tokens == 0


def test_a_refused_retry_costs_nothing() -> None:
    budget = RetryBudget(tokens=RETRY_COST - 1)
    assert not budget.spend()
    assert budget.tokens == RETRY_COST - 1


@given(st.lists(st.booleans(), max_size=400))
def test_retries_never_exceed_a_tenth_of_the_successes_and_a_hundred(successes: list[bool]) -> None:
    """R8: attempts stay below 1.1 times the first tries plus 100, whatever happens in which order."""
    budget, retries = RetryBudget(), 0
    for number, succeeded in enumerate(successes, start=1):
        if succeeded:
            budget.earn()
        else:
            retries += budget.spend()
        assert 0 <= budget.tokens <= BUDGET_TOKENS
        assert retries <= 100 + number / 10
