"""When a run has seen enough failures."""

import pytest

from bulkload.core.bounds import FailureLimit, parse_failure_limit
from bulkload.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "limit"),
    [("0", FailureLimit(count=0)), (" 12 ", FailureLimit(count=12)), ("2.5%", FailureLimit(percent=2.5))],
)
def test_a_number_or_a_share(text, limit):
    """Written as people write them, and shown so."""
    assert parse_failure_limit(text) == limit
    assert parse_failure_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "-1", "many", "1.5", "101%", "%", "5%%", "nan%"])
def test_anything_else_is_a_usage_error(text):
    """With the right forms in the message."""
    with pytest.raises(UsageError, match="5 or 10%"):
        parse_failure_limit(text)


def test_a_number_is_exceeded_by_one_more():
    """0 stops at the first failure."""
    assert FailureLimit(count=0).exceeded(1, 1)
    assert not FailureLimit(count=3).exceeded(3, 3)
    assert FailureLimit(count=3).exceeded(4, 400)


def test_a_share_counts_from_twenty_finished_entries():
    """One failure out of one is not a hundred percent of anything."""
    limit = FailureLimit(percent=10)
    assert not limit.exceeded(19, 19)
    assert not limit.exceeded(2, 20)
    assert limit.exceeded(3, 20)
