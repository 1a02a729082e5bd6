"""The states of an entry and the only moves between them.

Everything that affects the state machine lives here: a move without a row in ``MOVES`` is an error by construction.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an entry stands. The values are stored in ledgers and printed in results."""

    # By the value, as the text that it is: an Enum's own is a function in Python, called a dozen times an entry.
    __hash__ = str.__hash__

    # Not sent yet, or certainly not accepted: may be sent.
    PLANNED = "planned"
    # Its intent is on disk; bytes may have left.
    UPLOADING = "uploading"
    # All bytes may have arrived, but no answer says so: never sent again before it is reconciled.
    IN_DOUBT = "in_doubt"
    # The registry has it and is converting it.
    UPLOADED = "uploaded"
    # The registry's verdicts.
    READY = "ready"
    ERROR = "error"
    # An equal version was there already; this ledger never sent it.
    SKIPPED = "skipped"
    # A permanent reason why it never became a version, or not the right one.
    FAILED = "failed"


# from -> {to: when}
MOVES: dict[State, dict[State, str]] = {
    State.PLANNED: {
        State.UPLOADING: "its intent is on disk; the first byte may leave",
        State.UPLOADED: "an equal version is there already and still converting",
        State.ERROR: "an equal version is there already and ended in error",
        State.SKIPPED: "an equal version is there already",
        State.FAILED: "a permanent reason: file missing, wrong digest, refused",
    },
    State.UPLOADING: {
        State.UPLOADED: "the answer gave a version id, and it is on disk",
        State.PLANNED: "not accepted for sure: may be sent again",
        State.IN_DOUBT: "sealed, and the answer is lost or says nothing certain",
        State.SKIPPED: "found equal at the seal",
        State.ERROR: "found equal at the seal, and that one ended in error",
        State.FAILED: "a permanent answer",
    },
    State.IN_DOUBT: {
        State.UPLOADED: "reconcile adopted a version",
        State.PLANNED: "reconcile found none",
        State.IN_DOUBT: "cannot be decided",
    },
    State.UPLOADED: {
        State.READY: "the registry's verdict",
        State.ERROR: "the registry's verdict",
        State.FAILED: "digest differs, version gone",
        State.IN_DOUBT: "the id turned out to be another's",
    },
    State.READY: {State.PLANNED: "the file behind the entry changed: a new version"},
    State.ERROR: {State.PLANNED: "the file changed, or taken again by --retry-failed: a new version"},
    State.SKIPPED: {State.PLANNED: "the file behind the entry changed: a new version"},
    State.FAILED: {State.PLANNED: "the file changed, or taken again by a later run"},
}

TERMINAL = frozenset({State.READY, State.ERROR, State.SKIPPED, State.FAILED})
OPEN = frozenset(State) - TERMINAL
FAILURES = frozenset({State.ERROR, State.FAILED})

# What the registry calls final; a status nobody knows is not.
REGISTRY_TERMINAL = {"ready": State.READY, "error": State.ERROR}


class IllegalMove(Exception):
    """A move that the state table does not have: a defect of bulkload, never of its user."""

    def __init__(self, before: State, after: State, why: str | None = None) -> None:
        """``why``: what else than the table stands against it."""
        super().__init__(f"no move from {before} to {after}{'' if why is None else f': {why}'}")


def check_move(before: State, after: State) -> None:
    """Raise ``IllegalMove`` unless the table has the move."""
    if after not in MOVES[before]:
        raise IllegalMove(before, after)
