"""Exit codes and the summary object: contracts with scripts."""

from collections.abc import Iterable
from itertools import chain, combinations

import msgspec
import pytest

from bulkload.core.model import errors
from bulkload.core.model.errors import BulkloadError, ExitCode, Interrupted, ManifestError
from bulkload.core.model.records import Problem
from bulkload.core.model.states import State
from bulkload.core.model.summary import MOST_MESSAGES, RequestCounts, RunSummary, cause_counts, exit_code_of, run_error


def counts(present: Iterable[State]) -> dict[str, int]:
    return {state.value: int(state in set(present)) for state in State}


ALL_MIXTURES = list(chain.from_iterable(combinations(State, size) for size in range(len(State) + 1)))


@pytest.mark.parametrize("duplicates", [0, 1])
def test_every_mixture_of_states_has_its_exit_code(duplicates: int) -> None:
    """3: some failed or doubled; 12: something is still open; 0: all published or already there."""
    for present in ALL_MIXTURES:
        if {State.FAILED, State.ERROR} & set(present) or duplicates:
            expected = ExitCode.SOME_FAILED
        elif {State.PLANNED, State.UPLOADING, State.UPLOADED, State.IN_DOUBT} & set(present):
            expected = ExitCode.STILL_OPEN
        else:
            expected = ExitCode.OK
        assert exit_code_of(counts(present), duplicates) is expected


def test_the_codes_are_those_of_the_design() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "INTERNAL": 1,
        "USAGE": 2,
        "SOME_FAILED": 3,
        "MANIFEST": 4,
        "NOT_AUTHORISED": 5,
        "UNAVAILABLE": 6,
        "TOO_MANY_FAILURES": 7,
        "WINDOW_ENDED": 10,
        "LEDGER_IN_USE": 11,
        "STILL_OPEN": 12,
        "INTERRUPTED": 130,
        "READER_GONE": 141,
        "TERMINATED": 143,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [("UsageError", 2), ("ManifestError", 4), ("LedgerInUse", 11), ("LedgerError", 1), ("NotAuthorised", 5),
     ("RegistryUnavailable", 6), ("ForeignAnswer", 6)],
)  # fmt: skip
def test_every_error_has_its_exit_code_and_one_root(error: str, code: int) -> None:
    kind: type[BulkloadError] = getattr(errors, error)
    assert kind("words").exit_code == code
    assert isinstance(kind("words"), BulkloadError)


@pytest.mark.parametrize(
    ("signal", "code"), [(2, ExitCode.INTERRUPTED), (15, ExitCode.TERMINATED), (1, ExitCode.TERMINATED)]
)
def test_an_interruption_says_which_signal(signal: int, code: ExitCode) -> None:
    assert Interrupted(signal).exit_code is code


def test_of_several_reasons_to_end_the_exit_code_is_the_first_of_the_list() -> None:
    """130/143, 2, 4, 11, 1, 5, 6, 7, 10: in whatever order they come."""
    reasons = [
        Interrupted(2), errors.UsageError(), ManifestError(""), errors.LedgerInUse(), errors.LedgerError(),
        errors.NotAuthorised(), errors.RegistryUnavailable(), errors.TooManyFailures(), errors.WindowEnded(),
    ]  # fmt: skip
    for number, reason in enumerate(reasons):
        assert [errors.outranks(reason, other) for other in reasons] == [number < n for n in range(len(reasons))]


def test_a_manifest_error_carries_every_problem() -> None:
    problem = Problem(manifest="m.csv", place="line 3", field="name", what="is empty", remedy="write one")
    error = ManifestError("m.csv: 1 problem", (problem,))
    assert error.problems == (problem,)
    # Who does not catch it sees them all the same: the first of many.
    assert error.__notes__ == [str(problem)]
    assert len(ManifestError("m.csv: 9 problems", (problem,) * 9).__notes__) < 9
    assert str(problem) == "m.csv: line 3: name: is empty; write one"


def test_a_problem_of_the_whole_manifest_names_no_place() -> None:
    problem = Problem(manifest="m.csv", place="", field="", what="is empty", remedy="write a row")
    assert str(problem) == "m.csv: is empty; write a row"


def test_the_summary_object_has_the_fields_of_the_design() -> None:
    summary = RunSummary(
        run_id="r",
        endpoint="e",
        manifest="m",
        ledger="l",
        exit_code=0,
        entries=0,
        states=counts(()),
        bytes_sent=0,
        requests=RequestCounts(),
        retries=0,
        adopted=0,
        duplicates=0,
        elapsed_seconds=0.0,
    )
    shown = msgspec.json.decode(msgspec.json.encode(summary))
    assert list(shown) == [
        "run_id", "endpoint", "manifest", "ledger", "exit_code", "entries", "states", "bytes_sent", "requests",
        "retries", "adopted", "duplicates", "elapsed_seconds", "failures", "error",
    ]  # fmt: skip
    assert set(shown["states"]) == {
        "planned", "uploading", "in_doubt", "uploaded", "ready", "error", "skipped", "failed",
    }  # fmt: skip
    assert list(shown["requests"]) == ["upload", "poll", "list", "auth", "other"]


@pytest.mark.parametrize("duplicates", [0, 1])
def test_the_reason_is_there_whenever_the_exit_code_is_not_0(duplicates: int) -> None:
    for present in ALL_MIXTURES:
        code = exit_code_of(counts(present), duplicates)
        reason = run_error(counts(present), duplicates, None)
        assert (reason is None) == (code is ExitCode.OK)
        if reason is not None:
            assert reason.exit_code == code
            assert reason.message


def test_what_stopped_a_run_is_its_reason() -> None:
    reason = run_error(counts(()), 0, errors.WindowEnded("the 2h are over"))
    assert reason is not None
    assert (reason.exit_code, reason.message) == (10, "the 2h are over")


def test_failures_are_by_message_and_rare_ones_without_end_by_cause() -> None:
    """Each entry is counted once, however many messages there are."""
    groups = [("c", f"message {n}", 2, f"m{n}") for n in range(MOST_MESSAGES + 50)]
    found = cause_counts([("lost", "the same", 9, "first"), *groups])
    assert found[0].message == "the same"
    assert found[0].example == "first: the same"
    assert len(found) == MOST_MESSAGES + 1
    assert found[-1].message is None
    assert sum(each.count for each in found) == 9 + 2 * len(groups)
