"""What came of one attempt to upload an entry, as a value. ``core.transitions`` says what follows."""

import msgspec

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.verdicts import Failure


class Sent(msgspec.Struct, frozen=True):
    """The registry's answer named a version."""

    version_id: int
    # From the first byte to the answer.
    seconds: float


class Equal(msgspec.Struct, frozen=True):
    """An equal version is there already; not all of this one was sent."""

    decision: ExistingDecision
    sha256: str


class WrongBytes(msgspec.Struct, frozen=True):
    """The file is not the one that the manifest declares."""

    message: str


class Changed(msgspec.Struct, frozen=True):
    """The file changed while it was read; not all of it was sent."""


class Unreadable(msgspec.Struct, frozen=True):
    """The file cannot be read, and that is its own fault, or nobody knows whose."""

    cause: str
    message: str


class Away(msgspec.Struct, frozen=True):
    """This machine cannot read the file for now, which says nothing about the file."""

    failure: Failure


class NoToken(msgspec.Struct, frozen=True):
    """The registry does not accept the token that the upload carried."""

    failure: Failure


class NotAccepted(msgspec.Struct, frozen=True):
    """The registry certainly has not taken it, for a reason that passes."""

    failure: Failure


class Refused(msgspec.Struct, frozen=True):
    """The registry's permanent answer."""

    failure: Failure


class Doubtful(msgspec.Struct, frozen=True):
    """All of it may have arrived, and no answer says so. ``failure``: None where no call failed."""

    reason: str
    failure: Failure | None = None


class NotBegun(msgspec.Struct, frozen=True):
    """No byte of it was handed to the socket: nothing can have arrived, whatever was committed."""

    reason: str


Attempt = (
    Sent | Equal | WrongBytes | Changed | Unreadable | Away | NoToken | NotAccepted | Refused | Doubtful | NotBegun
)
