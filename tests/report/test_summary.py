"""The end of a run, in words."""

from bulkload.core.model.states import State
from bulkload.core.model.summary import RequestCounts, RunSummary
from bulkload.report.summary import converting_lines, resumable, summary_lines, trouble_lines


def summary_with(exit_code: int = 0, uploads: int = 0, **states: int) -> RunSummary:
    counts = {state.value: states.get(state.name, 0) for state in State}
    return RunSummary(
        run_id="r", endpoint="e", manifest="m", ledger="l", exit_code=exit_code, entries=sum(counts.values()),
        states=counts, bytes_sent=1_500, requests=RequestCounts(upload=uploads), retries=0, adopted=0, duplicates=0,
        elapsed_seconds=62.0,
    )  # fmt: skip


def test_the_first_line_says_what_is_and_what_was_done():
    """Counts by what they mean, then uploads, bytes and time."""
    (line,) = summary_lines(summary_with(uploads=2, READY=2, SKIPPED=1))
    assert line == "3 entries: 2 ready, 1 skipped (an equal version was there already); 2 uploads, 1.5 kB, 1m02s"


def test_nothing_sent_is_said_so():
    """A second run is reassuring."""
    assert "nothing sent" in summary_lines(summary_with(READY=2))[0]


def test_an_early_end_is_named_and_the_rest_can_be_resumed():
    """Exit 6: what is left is planned."""
    summary = summary_with(exit_code=6, PLANNED=3)
    assert "cannot be reached" in summary_lines(summary)[-1]
    assert resumable(summary)
    assert not resumable(summary_with(READY=1))


def test_a_reason_stands_once_with_the_models_that_it_hit():
    """Five failures with two reasons are two lines, every model by name while there are few."""
    troubles = [("error", name, "no\nrequirements.txt") for name in ("a", "b", "c", "d")] + [("failed", "e", "gone")]
    assert trouble_lines(troubles, 5) == [
        "  error: a, b, c and 1 more: no requirements.txt",
        "  failed: e: gone",
    ]


def test_thousands_of_reasons_do_not_flood_the_terminal():
    """Ten of them, the number of all, and where to look."""
    lines = trouble_lines([("failed", f"m{number}", f"reason {number}") for number in range(1_000)], 5_000)
    assert len(lines) == 11
    assert "5,000 in all" in lines[-1]


def test_what_still_converts_stands_by_its_status():
    """A version of a framework that converts is simply waited for."""
    waiting = [("attempting_load_container", "custom", name) for name in ("a", "b", "c", "d")]
    assert converting_lines([*waiting, ("", "sklearn", "e")]) == [
        "  attempting_load_container: a, b, c and 1 more",
        "  status not known yet: e",
    ]


def test_native_versions_that_stay_there_for_ever_are_explained():
    """onnx sent by the route `convert`: what it means, and which route avoids it."""
    lines = converting_lines([("attempting_load_container", "onnx", "a"), ("attempting_load_container", "custom", "b")])
    assert lines[-1].startswith("  1 of them onnx or tensorflow in attempting_load_container")
    assert "--route auto" in lines[-1]
