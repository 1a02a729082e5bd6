"""When a run has seen enough failures."""

import pytest

from bulkload.core.limits.run_limits import FailureLimit, FailureStreak, Window, parse_failure_limit
from bulkload.core.model.errors import UsageError


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


def test_ten_failures_of_one_cause_in_a_row_are_too_many() -> None:
    streak = FailureStreak()
    assert [streak.failed("refused_422") for _ in range(10)] == [False] * 9 + [True]


def test_another_cause_or_a_success_begins_a_new_streak() -> None:
    streak = FailureStreak()
    for _ in range(9):
        streak.failed("refused_422")
    assert not streak.failed("unreadable")
    for _ in range(8):
        streak.failed("unreadable")
    streak.succeeded()
    assert not streak.failed("unreadable")


def test_a_window_admits_what_ends_in_time_at_the_measured_speed() -> None:
    """100 bytes a second, or two seconds an upload, whichever takes longer."""
    window = Window(ends_at=10.0)
    assert window.admits(9.9, 1_000_000)  # nothing is known yet
    window.uploaded(200, 2.0)
    assert window.admits(4.9, 500)
    assert not window.admits(5.0, 500)
    assert window.admits(7.9, 1)
    assert not window.admits(8.0, 1)


def test_without_an_end_everything_is_in_time() -> None:
    window = Window(ends_at=None)
    window.uploaded(1, 1_000.0)
    assert window.admits(1e9, 1 << 60)
