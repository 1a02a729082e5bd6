"""What came of one attempt to upload an entry, as a value. ``core.transitions`` says what follows."""

import msgspec

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.states import State
from bulkload.core.verdicts import Failure

EQUAL_WORDS = "an equal version was there already"


class Came(msgspec.Struct, frozen=True):
    """What came of an attempt, and what the ledger is to say of it."""

    @property
    def cause(self) -> str | None:
        """Why it failed, in a word of design."""
        return None

    @property
    def message(self) -> str | None:
        """Why, for people."""
        return None


class Sent(Came, frozen=True):
    """The registry's answer named a version."""

    version_id: int
    # From the first byte to the answer.
    seconds: float


class Equal(Came, frozen=True):
    """An equal version is there already; not all of this one was sent."""

    decision: ExistingDecision
    sha256: str

    @property
    def cause(self) -> str | None:
        """Only of one that ended in error."""
        return "conversion_error" if self.decision.state is State.ERROR else None

    @property
    def message(self) -> str:
        """That it is there, and what became of it."""
        if self.decision.state is not State.ERROR:
            return EQUAL_WORDS
        reason = self.decision.version.error_summary or "no reason"
        return f"{EQUAL_WORDS} and ended in error: {reason}; --retry-failed publishes a new one"


class Changed(Came, frozen=True):
    """The file changed while it was read; not all of it was sent."""

    @property
    def message(self) -> str:
        """Its new state is what is to be published."""
        return "the file changed while it was read"


class Unsendable(Came, frozen=True):
    """The file cannot be sent, and that is its own fault, or nobody knows whose."""

    reason: str
    words: str

    @property
    def cause(self) -> str:
        """``unreadable``, ``wrong_digest``, ``internal_error``."""
        return self.reason

    @property
    def message(self) -> str:
        """Which file, and what is wrong with it."""
        return self.words


class Unreadable(Unsendable, frozen=True):
    """The file cannot be read."""


class WrongBytes(Unsendable, frozen=True):
    """The file is not the one that the manifest declares."""


class CallCame(Came, frozen=True):
    """A call brought no usable answer, or this machine could not do its part."""

    failure: Failure

    @property
    def message(self) -> str:
        """What failed and how."""
        return str(self.failure)


class Away(CallCame, frozen=True):
    """This machine cannot read the file for now, which says nothing about the file."""


class NoToken(CallCame, frozen=True):
    """The registry does not accept the token that the upload carried."""


class NotAccepted(CallCame, frozen=True):
    """The registry certainly has not taken it, for a reason that passes."""


class Refused(CallCame, frozen=True):
    """The registry's permanent answer."""

    @property
    def cause(self) -> str:
        """``refused_413`` and the like."""
        return f"refused_{self.failure.status}"

    @property
    def message(self) -> str:
        """The registry's words, or those of what stands before it."""
        by_others = (
            "" if self.failure.refusal is not None else " (what stands before the registry takes no body so large)"
        )
        return self.failure.message + by_others


class Doubtful(Came, frozen=True):
    """All of it may have arrived, and no answer says so. ``failure``: None where no call failed."""

    reason: str
    failure: Failure | None = None

    @property
    def message(self) -> str:
        """Why nobody knows."""
        return self.reason


class NotBegun(Came, frozen=True):
    """No byte of it was handed to the socket: nothing can have arrived, whatever was committed."""

    reason: str

    @property
    def message(self) -> str:
        """Why it was not."""
        return self.reason


Attempt = (
    Sent | Equal | WrongBytes | Changed | Unreadable | Away | NoToken | NotAccepted | Refused | Doubtful | NotBegun
)
