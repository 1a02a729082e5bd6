"""Page and chart say what was measured."""

import pytest

from benchmarks.bars import COLOURS, bars_of, colour_of
from benchmarks.record import LATEST, PAGE, StaleResults, load
from benchmarks.results import Result
from benchmarks.section import BEGIN, END, section, with_results
from tests.benchmarks.results_made_up import FAST, PLAIN, TLS, WORK, record_of


def test_the_page_says_what_was_measured_where_and_with_what() -> None:
    text = section(record_of())
    assert "| 200 files of 5 MB, 16 at a time, http | curl and sha256sum | 1.25 x as long (1.00 to 1.50) |" in text
    assert text.count("| met |") == 2
    assert text.count("| **missed** |") == 1
    assert "2 of 3 targets are met" in text
    assert "bulkload 1.2.3" in text
    assert "0123456789abcdef" in text
    assert all(words in text for words in record_of().machine.values())
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 160


def test_only_the_results_of_a_page_are_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    written = with_results(page, record_of())
    assert written == f"before\n{BEGIN}\n\n{section(record_of())}\n{END}\nafter\n"
    assert with_results(written, record_of()) == written


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_a_place_for_results_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        with_results(page, record_of())


def test_the_page_that_is_here_is_that_of_the_results_that_are_here() -> None:
    """Both come of one run; neither is edited. Results of an older form are not shown."""
    page = PAGE.read_text()
    try:
        assert with_results(page, load(LATEST)) == page
    except StaleResults:
        assert f"{BEGIN}\n{END}" in page


def test_a_tool_is_drawn_once_for_each_work_and_scheme() -> None:
    """With its median, in a colour of its own; http before https."""
    results = (Result(FAST, [0.8], TLS), Result(FAST, [1.25], PLAIN), Result(FAST, [1.25], PLAIN))
    assert bars_of(record_of(*results)) == {
        WORK: [
            ("bulkload", "http", 2.5),
            ("curl and sha256sum", "http", 2.0),
            ("bulkload", "https", 4.0),
            ("curl and sha256sum", "https", 5.0),
        ]
    }


def test_what_has_no_seconds_is_not_drawn() -> None:
    assert bars_of(record_of(Result(FAST, [1.0]))) == {}


def test_every_tool_has_a_colour_of_its_own() -> None:
    assert len({colour_of(tool) for tool in COLOURS}) == len(COLOURS)
    assert colour_of("curl and openssl") == colour_of("curl")
