"""State x what came of it -> next, row by row."""

from typing import get_args

import pytest

from bulkload.core.identity.reconcile import ExistingDecision, ReconcileDecision, Reconciliation
from bulkload.core.limits.retry import ATTEMPTS_PER_ENTRY
from bulkload.core.model.attempts import (
    Attempt,
    Away,
    Changed,
    Doubtful,
    Equal,
    NotAccepted,
    NotBegun,
    NoToken,
    Refused,
    Sent,
    Unreadable,
    WrongBytes,
)
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import MOVES, State
from bulkload.core.transitions import FOLLOWS, Then, after_attempt, after_reconciliation
from bulkload.core.verdicts import Failure, FailureKind

THROTTLED = Failure(call="models/upload", kind=FailureKind.STATUS, status=429, message="too many requests")
TOO_LARGE = Failure(call="models/upload", kind=FailureKind.FOREIGN, status=413, message="too large")
NO_FILES = Failure(call="/models/m.onnx", kind=FailureKind.LOCAL, message="this process may open no more files")


def version(**changes: object) -> RegistryVersion:
    return RegistryVersion(**({"version_id": 7, "name": "m", "workspace_id": 1} | changes))  # type: ignore[arg-type]


def equal(state: State, **changes: object) -> Equal:
    return Equal(ExistingDecision(state=state, version=version(**changes)), "ab" * 32)


@pytest.mark.parametrize(
    ("attempt", "after", "then", "cause", "message"),
    [
        (Sent(7, 0.5), State.UPLOADED, Then.REST, None, None),
        (WrongBytes("wrong_digest", "m is not it"), State.FAILED, Then.REST, "wrong_digest", "m is not it"),
        (Unreadable("unreadable", "m: no such file"), State.FAILED, Then.REST, "unreadable", "m: no such file"),
        (Changed(), State.PLANNED, Then.AGAIN, None, "the file changed while it was read"),
        (Away(NO_FILES), State.PLANNED, Then.RETRY_READING, None, str(NO_FILES)),
        (NoToken(THROTTLED), State.PLANNED, Then.RENEW, None, str(THROTTLED)),
        (NotAccepted(THROTTLED), State.PLANNED, Then.RETRY, None, str(THROTTLED)),
        (
            Refused(TOO_LARGE),
            State.FAILED,
            Then.REST,
            "refused_413",
            "too large (what stands before the registry takes no body so large)",
        ),
        (Doubtful("connection lost"), State.IN_DOUBT, Then.SETTLE, None, "connection lost"),
        (NotBegun("stopped"), State.PLANNED, Then.END, None, "stopped"),
        (equal(State.SKIPPED), State.SKIPPED, Then.REST, None, "an equal version was there already"),
        (equal(State.UPLOADED), State.UPLOADED, Then.REST, None, "an equal version was there already"),
        (
            equal(State.ERROR, error_summary="no module named torch"),
            State.ERROR,
            Then.REST,
            "conversion_error",
            (
                "an equal version was there already and ended in error: no module named torch;"
                " --retry-failed publishes a new one"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, get_args(Attempt)) else "",
)
def test_what_follows_from_an_attempt(
    attempt: Attempt, after: State, then: Then, cause: str | None, message: str | None
) -> None:
    found = after_attempt(attempt, attempts=1, source="/models/m.onnx")
    assert (found.after, found.then, found.cause, found.message) == (after, then, cause, message)


def test_every_outcome_of_an_attempt_has_its_row() -> None:
    """An equal version brings its own state."""
    assert {*FOLLOWS, Equal} == set(get_args(Attempt))


@pytest.mark.parametrize("attempt", FOLLOWS, ids=lambda attempt: attempt.__name__)
def test_every_row_is_a_move_that_there_is(attempt: type[Attempt]) -> None:
    """From where an attempt may stand when it ends: planned before its intent, uploading after it."""
    after, _ = FOLLOWS[attempt]
    assert after in MOVES[State.UPLOADING]
    # Without an intent nothing was sent.
    assert attempt in (Sent, Doubtful) or after in {State.PLANNED, *MOVES[State.PLANNED]}


def test_a_file_that_never_rests_is_given_up() -> None:
    found = after_attempt(Changed(), attempts=ATTEMPTS_PER_ENTRY, source="/models/m.onnx")
    assert (found.after, found.then, found.cause) == (State.FAILED, Then.REST, "source_changed")
    assert "/models/m.onnx changes while it is read" in (found.message or "")


ADOPT = ReconcileDecision(outcome=Reconciliation.ADOPT, version=version(), note="adopted after a lost answer")
ABSENT = ReconcileDecision(outcome=Reconciliation.ABSENT)
UNDECIDED = ReconcileDecision(outcome=Reconciliation.UNDECIDED, note="versions 7, 8 have the same bytes")


@pytest.mark.parametrize(
    ("decision", "resend", "after", "words"),
    [
        (ADOPT, False, State.UPLOADED, "adopted after a lost answer"),
        (ABSENT, False, State.PLANNED, "never landed: sent again"),
        (UNDECIDED, False, State.IN_DOUBT, "--resend-in-doubt"),
        (UNDECIDED, True, State.PLANNED, "sent again on request, although versions 7, 8"),
    ],
)
def test_what_follows_for_an_upload_in_doubt(
    decision: ReconcileDecision, resend: bool, after: State, words: str
) -> None:
    found = after_reconciliation(decision, is_unproved=False, resend=resend)
    assert found.after is after
    assert words in (found.message or "")
    assert after in MOVES[State.IN_DOUBT]


@pytest.mark.parametrize("resend", [False, True])
def test_a_version_that_another_entry_holds_without_proof_is_waited_for(resend: bool) -> None:
    """The poll of that entry finds other bytes, and gives it up; to send again meanwhile would double it."""
    found = after_reconciliation(ADOPT, is_unproved=True, resend=resend)
    assert found.after is State.IN_DOUBT
    assert "version 7 is held by another entry" in (found.message or "")
