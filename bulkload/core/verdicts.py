"""What a call that brought no usable answer means: who is at fault, and may the same be sent again."""

from enum import Enum, StrEnum

import msgspec

from bulkload.core.errors import BulkloadError, ExitCode


class FailureKind(StrEnum):
    """How a call failed, as far as this side can know."""

    # No connection was made: nothing can have arrived.
    NO_CONNECTION = "no connection"
    # The connection was lost, or nothing moved for too long.
    CUT = "connection lost"
    # A whole answer with a status that is no success.
    STATUS = "refused"
    # A success status without the content that belongs to it.
    UNREADABLE = "unreadable answer"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A call that brought no usable answer."""

    # What was asked for, such as "models/upload".
    call: str
    kind: FailureKind
    # The registry's words, or the transport's.
    message: str
    status: int | None = None
    # Seconds to wait, from Retry-After in either form.
    retry_after: float | None = None

    def __str__(self) -> str:
        """``models/upload: 413 request entity too large``."""
        return f"{self.call}: {self.status or self.kind} {self.message}".rstrip()


class CallFailed(BulkloadError):
    """A call to the registry brought no usable answer; ``failure`` says how. Only ``engine`` acts on it."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Verdict(Enum):
    """What to do after a failed call."""

    # The same request will never be accepted.
    PERMANENT = "permanent"
    # Certainly not accepted, for a reason that passes: may be sent again.
    NOT_ACCEPTED = "not accepted"
    # The token is missing or no longer good: once more with a new one.
    UNAUTHORISED = "unauthorised"
    # It may have been accepted: ask the registry before anything is sent again.
    IN_DOUBT = "in doubt"


# Seen word for word: 500 "Internal Server Error: Insufficient memory available for model upload. Try again later ...".
NO_MEMORY = "insufficient memory"

# 4xx that pass: too many requests, too early. 507 is documented for "no room".
PASSING_STATUSES = frozenset({425, 429, 507})


def upload_verdict(failure: Failure, *, sealed: bool) -> Verdict:
    """Judge a failed upload.

    ``sealed`` says whether the last piece of the body may have left. The registry stores a version only when the whole
    body has arrived, so an upload that was not sealed cannot have been accepted.
    """
    if failure.kind is FailureKind.STATUS and failure.status is not None:
        return _upload_status_verdict(failure.status, failure.message, sealed=sealed)
    if failure.kind is FailureKind.NO_CONNECTION or not sealed:
        return Verdict.NOT_ACCEPTED
    return Verdict.IN_DOUBT


def _upload_status_verdict(status: int, message: str, *, sealed: bool) -> Verdict:
    if status == 401:
        return Verdict.UNAUTHORISED
    if status in PASSING_STATUSES or (status == 500 and NO_MEMORY in message.lower()):
        return Verdict.NOT_ACCEPTED
    if status >= 500 or status == 408:
        return Verdict.IN_DOUBT if sealed else Verdict.NOT_ACCEPTED
    return Verdict.PERMANENT


def read_verdict(failure: Failure) -> Verdict:
    """Judge a failed call that changes nothing (a read, or one that may be repeated without harm)."""
    if failure.kind is not FailureKind.STATUS or failure.status is None:
        return Verdict.NOT_ACCEPTED
    if failure.status == 401:
        return Verdict.UNAUTHORISED
    if failure.status >= 500 or failure.status == 408 or failure.status in PASSING_STATUSES:
        return Verdict.NOT_ACCEPTED
    return Verdict.PERMANENT
