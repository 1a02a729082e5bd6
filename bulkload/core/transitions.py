"""State x what came of it -> next: the one table of what follows from an attempt, a reconciliation and a poll.

``core.model.states`` says which moves there are; this says which one is made, and what is done with the entry then.
"""

from enum import Enum

import msgspec

from bulkload.core.identity.reconcile import ReconcileDecision, Reconciliation
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
from bulkload.core.model.states import State


class Then(Enum):
    """What is done with an entry after its move."""

    # Nothing more: it is terminal, or the registry's turn.
    REST = "rest"
    # Another attempt, at once.
    AGAIN = "again"
    # Another attempt with another token; where that one is not accepted either, the run ends.
    RENEW = "renew"
    # Another attempt after a pause, while the run has retries left; else it is left for the next run.
    RETRY = "retry"
    # The same, because of this machine, and not of the registry.
    RETRY_READING = "retry reading"
    # The registry is asked once the upload has landed or never will.
    SETTLE = "settle"
    # The run ends.
    END = "end"


class Transition(msgspec.Struct, frozen=True):
    """Where an entry goes, and what is done with it then."""

    after: State
    then: Then
    # For the ledger: why.
    cause: str | None = None
    message: str | None = None


# An entry is PLANNED or UPLOADING when an attempt has ended, by whether its intent was committed; both go the same way.
FOLLOWS: dict[type[Attempt], tuple[State, Then]] = {
    Sent: (State.UPLOADED, Then.REST),
    WrongBytes: (State.FAILED, Then.REST),
    Changed: (State.PLANNED, Then.AGAIN),
    Unreadable: (State.FAILED, Then.REST),
    Away: (State.PLANNED, Then.RETRY_READING),
    NoToken: (State.PLANNED, Then.RENEW),
    NotAccepted: (State.PLANNED, Then.RETRY),
    Refused: (State.FAILED, Then.REST),
    Doubtful: (State.IN_DOUBT, Then.SETTLE),
    NotBegun: (State.PLANNED, Then.END),
}


def after_attempt(attempt: Attempt, *, attempts: int, source: str) -> Transition:
    """What follows from the ``attempts``-th attempt to send an entry whose file is ``source``."""
    if isinstance(attempt, Changed) and attempts >= ATTEMPTS_PER_ENTRY:
        words = f"{source} changes while it is read; run again later"
        return Transition(State.FAILED, Then.REST, "source_changed", words)
    if isinstance(attempt, Equal):
        # It spares the upload, whatever became of it: one in error is not made ready by another try.
        return Transition(attempt.decision.state, Then.REST, attempt.cause, attempt.message)
    after, then = FOLLOWS[type(attempt)]
    return Transition(after, then, attempt.cause, attempt.message)


def after_reconciliation(decision: ReconcileDecision, *, is_unproved: bool, resend: bool) -> Transition:
    """What follows for an upload in doubt.

    ``is_unproved``: another entry holds the version by an answer's word, and has other bytes. ``resend``: a person has
    looked at what cannot be decided, and wants it sent again.
    """
    if is_unproved and decision.version is not None:
        held = f"version {decision.version.version_id} is held by another entry, which has other bytes"
        return Transition(State.IN_DOUBT, Then.REST, message=held)
    if decision.outcome is Reconciliation.ADOPT:
        return Transition(State.UPLOADED, Then.REST, message=decision.note)
    if decision.outcome is Reconciliation.ABSENT:
        return Transition(State.PLANNED, Then.RETRY, message="never landed: sent again")
    if resend:
        return Transition(State.PLANNED, Then.RETRY, message=f"sent again on request, although {decision.note}")
    words = f"{decision.note}; look at them, then run with --resend-in-doubt if none is this entry's"
    return Transition(State.IN_DOUBT, Then.REST, message=words)
