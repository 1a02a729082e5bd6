"""What is said of measurements: ratios, targets, tables."""

import pytest

from benchmarks.measuring import Timed, cpu_ratios, figures, ratios, seconds_of, server_note
from benchmarks.processes import Ended
from benchmarks.results import Result, Row, table
from tests.benchmarks.results_made_up import FAST, record_of


def timed(seconds: float, cpu_seconds: float = 1.0, server_cpu_seconds: float = 0.1) -> Timed:
    return Timed(Ended(0, seconds, cpu_seconds, 50_000_000, "", ""), server_cpu_seconds)


def test_ratios_are_made_round_by_round() -> None:
    """A round in which the machine was slow for all is no slow round of one of them."""
    ours, theirs = [timed(2.0, 3.0), timed(8.0, 3.0)], [timed(1.0, 6.0), timed(4.0, 2.0)]
    assert ratios(ours, theirs) == [2.0, 2.0]
    assert cpu_ratios(ours, theirs) == [0.5, 1.5]


def test_rounds_without_a_pair_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([timed(1.0), timed(1.0)], [timed(1.0)])


def test_all_that_was_measured_is_kept() -> None:
    both = {"bulkload": [timed(2.0, 1.5)], "curl": [timed(1.0, 0.5, 0.4)]}
    assert seconds_of(both) == {"bulkload": [2.0], "curl": [1.0]}
    assert figures(both)["curl: CPU seconds"] == [0.5]
    assert figures(both)["bulkload: peak MB"] == [50.0]
    assert server_note(both) == "the server was busy for 40 % of the time at most"


@pytest.mark.parametrize(
    ("values", "at_least", "met"),
    [
        ([1.0, 1.15, 9.0], False, True),
        ([1.0, 1.16, 1.17], False, False),
        ([1.0, 1.15, 9.0], True, True),
        ([1.0, 1.14, 9.0], True, False),
    ],
)
def test_the_median_is_what_is_judged(values: list[float], at_least: bool, met: bool) -> None:
    row = Row("row", "work", "peer", 1.15, "x", at_least=at_least)
    assert Result(row, values).is_met is met


def test_the_table_names_what_missed_its_target() -> None:
    text = table([Result(FAST, [1.0, 1.5, 1.25], note="a note"), *record_of().results[1:]])
    missed, fast, memory = text.splitlines()[2:5]
    assert missed.split("  ")[-1] == "NO"
    assert "1.25 x as long (1.00 to 1.50)" in missed
    assert "<= 1.15 x as long" in missed
    assert ">= 6 x as fast" in fast
    assert fast.endswith("yes")
    assert "59 MB" in memory
    assert text.endswith("medium-files: a note")
