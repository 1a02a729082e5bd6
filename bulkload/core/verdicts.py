"""What a call that brought no usable answer means: who is at fault, and may the same be sent again."""

import errno
from enum import Enum, StrEnum

import msgspec

from bulkload.core.errors import BulkloadError, ExitCode


class FailureKind(StrEnum):
    """How a call failed, as far as this side can know."""

    # No connection was made, or no token could be had for the request: nothing can have arrived.
    NO_CONNECTION = "no connection"
    # The connection was lost, or nothing moved for too long.
    CUT = "connection lost"
    # A whole answer with a status that is no success.
    STATUS = "refused"
    # A success status without the content that belongs to it.
    UNREADABLE = "unreadable answer"
    # This machine could not read the file, or lacks something, for a cause that passes. The registry has no part in it.
    LOCAL = "this machine"


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
        reason = f"{self.status} {self.message}" if self.status is not None else self.message or self.kind
        return f"{self.call}: {reason}".rstrip()


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


# What this process or its machine lacks for now, and what to do about it.
WANTS = {
    errno.EMFILE: "this process may open no more files: raise the limit (`ulimit -n`), or lower --concurrency",
    errno.ENFILE: "this machine may open no more files: end other programs, or raise its limit (fs.file-max)",
    errno.ENOMEM: "this machine has no memory left: free some, or lower --concurrency",
    errno.ENOBUFS: "this machine has no memory for connections left: free some, or lower --concurrency",
    errno.EAGAIN: "this machine lacks something for now",
}
# Causes of a disk or mount that come and go, whatever file is read.
_PASSING_ERRORS = frozenset(WANTS) | {
    errno.EIO, errno.ESTALE, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.ENOTCONN,
    errno.ESHUTDOWN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENOLCK, errno.EDEADLK, errno.ENOLINK, errno.EPROTO,
    *(getattr(errno, name) for name in ("EREMOTEIO", "ECOMM", "ENONET", "EKEYEXPIRED") if hasattr(errno, name)),
}  # fmt: skip
# What threading raises, word for word, where the system gives no thread.
_NO_THREAD = "can't start new thread"
TOO_FEW_THREADS = (
    "this machine lets bulkload start no more threads: raise the limit of processes and threads (`ulimit -u`, a"
    " container's pids limit), or end other programs; then run again"
)


def passes(number: int | None) -> bool:
    """Whether an error number of the system says nothing about the file: it may be read when it is tried again."""
    return number in _PASSING_ERRORS


def is_want_of_threads(error: BaseException) -> bool:
    """Whether the system gave no thread."""
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def local_failure(path: str, error: BaseException) -> Failure | None:
    """Why a file was not read, where that passes; None where it is the file's own fault, or nobody knows whose."""
    if isinstance(error, MemoryError):
        return Failure(call=path, kind=FailureKind.LOCAL, message=WANTS[errno.ENOMEM])
    if is_want_of_threads(error):
        return Failure(call=path, kind=FailureKind.LOCAL, message=TOO_FEW_THREADS)
    if not isinstance(error, OSError) or not passes(error.errno):
        return None
    remedy = WANTS.get(error.errno or 0, "look at the disk or mount that holds it")
    return Failure(call=path, kind=FailureKind.LOCAL, message=f"{error.strerror or error}; {remedy}")


def upload_verdict(failure: Failure, *, sealed: bool) -> Verdict:
    """Judge a failed upload.

    ``sealed`` says whether the last piece of the body may have left. The registry stores a version only when the whole
    body has arrived, so an upload that was not sealed cannot have been accepted.
    """
    status = failure.status if failure.kind is FailureKind.STATUS else None
    if status is not None:
        if status == 401:
            return Verdict.UNAUTHORISED
        if status in PASSING_STATUSES or (status == 500 and NO_MEMORY in failure.message.lower()):
            return Verdict.NOT_ACCEPTED
        if _is_permanent(status):
            return Verdict.PERMANENT
    if failure.kind is FailureKind.NO_CONNECTION or not sealed:
        return Verdict.NOT_ACCEPTED
    return Verdict.IN_DOUBT


def read_verdict(failure: Failure) -> Verdict:
    """Judge a failed call that changes nothing (a read, or one that may be repeated without harm)."""
    status = failure.status if failure.kind is FailureKind.STATUS else None
    if status == 401:
        return Verdict.UNAUTHORISED
    if status is not None and status not in PASSING_STATUSES and _is_permanent(status):
        return Verdict.PERMANENT
    return Verdict.NOT_ACCEPTED


def tells_of_trouble(failure: Failure) -> bool:
    """Whether it tells of the registry's load or health, rather than of what was asked or of who answered."""
    silent = failure.kind in (FailureKind.UNREADABLE, FailureKind.LOCAL)
    return not silent and read_verdict(failure) is Verdict.NOT_ACCEPTED


def _is_permanent(status: int) -> bool:
    """Redirects and the client's faults, but not 408: the registry gave up waiting, whatever had arrived."""
    return 300 <= status < 500 and status != 408
