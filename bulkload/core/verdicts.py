"""What a call that brought no usable answer means: who is at fault, and may the same be sent again."""

import errno
from enum import Enum, StrEnum

import msgspec

from bulkload.core.model.errors import BulkloadError, ExitCode, LocalTrouble


class FailureKind(StrEnum):
    """How a call failed, as far as this side can know."""

    # No connection was made, or no token could be had for the request: nothing can have arrived.
    NO_CONNECTION = "no connection"
    # The connection was lost, or nothing moved for too long.
    CUT = "connection lost"
    # A status that is no success, in a form of the registry's own: its word.
    STATUS = "refused"
    # An answer in another form, with any status: of a gateway, a firewall, a sign-in page. It says nothing about what
    # was asked, only that there is trouble on the way.
    FOREIGN = "not the registry's answer"
    # A success status and JSON, without the content that belongs to it.
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
    # The answer had no body. Servers answer so for a path that they do not have; many others do, too.
    empty: bool = False
    # The registry has answered this call before, and well: it has it.
    known: bool = False

    def __str__(self) -> str:
        """``models/upload: 413 request entity too large``."""
        reason = f"{self.status} {self.message}" if self.status is not None else self.message or self.kind
        return f"{self.call}: {reason}".rstrip()

    @property
    def refusal(self) -> int | None:
        """The status with which the registry itself refuses; None where it is not the registry that says so."""
        return self.status if self.kind is FailureKind.STATUS else None


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

# 4xx that pass, whoever says so: too early, too many requests. 507 is documented for "no room".
LATER = frozenset({425, 429})
PASSING_STATUSES = LATER | {507}
# What a server says of a path that it does not have.
NO_SUCH_CALL = frozenset({404, 405})
# A gateway's 413 is its own word: it bounds bodies. None refuses less than this (nginx: 1 MiB unless told otherwise).
GATEWAYS_BODY_BYTES = 1 << 20


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
_NO_MEMORY_TO_LOAD = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
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


def want_behind(error: BaseException) -> LocalTrouble | None:
    """What this process or its machine lacks, where that is why something unforeseen came, wherever it came from."""
    if is_want_of_threads(error):
        return LocalTrouble(TOO_FEW_THREADS)
    # What the linker says where a library finds no memory.
    no_memory = isinstance(error, ImportError) and any(words in str(error) for words in _NO_MEMORY_TO_LOAD)
    number = errno.ENOMEM if no_memory or isinstance(error, MemoryError) else getattr(error, "errno", None)
    if number in WANTS and number != errno.EAGAIN:
        return LocalTrouble(f"{WANTS[number]}; then run again")
    return None


def refuse_passing(path: str, error: BaseException) -> None:
    """Raise ``LocalTrouble`` where it passes that a file of the user's cannot be read: it is not the file's fault."""
    failure = local_failure(path, error)
    if failure is not None:
        raise LocalTrouble(f"{failure}; then run again") from None


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


def upload_verdict(failure: Failure, *, sealed: bool, size: int = 0) -> Verdict:
    """Judge a failed upload of ``size`` bytes.

    ``sealed`` says whether the last piece of the body may have left. The registry stores a version only when the whole
    body has arrived, so an upload that was not sealed cannot have been accepted.
    """
    status = _status_of_answer(failure)
    if status == 401:
        return Verdict.UNAUTHORISED
    if status in LATER or (status == 413 and size >= GATEWAYS_BODY_BYTES):
        return Verdict.NOT_ACCEPTED if status in LATER else Verdict.PERMANENT
    if _is_registrys_word(failure):
        if status == 507 or (status == 500 and NO_MEMORY in failure.message.lower()):
            return Verdict.NOT_ACCEPTED
        if _is_permanent(status):
            return Verdict.PERMANENT
    if failure.kind is FailureKind.NO_CONNECTION or not sealed:
        return Verdict.NOT_ACCEPTED
    return Verdict.IN_DOUBT


def read_verdict(failure: Failure) -> Verdict:
    """Judge a failed call that changes nothing (a read, or one that may be repeated without harm)."""
    status = _status_of_answer(failure)
    if status == 401:
        return Verdict.UNAUTHORISED
    # A read of what is gone is answered 404, however often the call has worked.
    if failure.kind is FailureKind.STATUS and status not in PASSING_STATUSES and _is_permanent(status):
        return Verdict.PERMANENT
    return Verdict.NOT_ACCEPTED


def tells_of_trouble(failure: Failure) -> bool:
    """Whether it tells of the registry's load or health, or of trouble on the way, rather than of what was asked."""
    return failure.kind is not FailureKind.LOCAL and read_verdict(failure) is Verdict.NOT_ACCEPTED


def may_mean_no_such_version(failure: Failure) -> bool:
    """Whether a registry may answer so when it is asked for a version that it does not have: only a listing tells."""
    status = _status_of_answer(failure)
    if status is None:
        return False
    return status == 500 or (400 <= status < 500 and status not in {401, 403, 408} | LATER)


def another_call_may_do(failure: Failure) -> bool:
    """Whether it is this call that is not answered, so that another one for the same is worth a try at once."""
    if failure.kind is FailureKind.UNREADABLE:
        return True
    status = failure.status
    foreign = failure.kind is FailureKind.FOREIGN and status is not None and status not in PASSING_STATUSES | {401}
    return foreign and (_is_permanent(status) or status < 300)  # type: ignore[operator]


def may_lack_call(failure: Failure) -> bool:
    """Whether it may mean that the registry does not have this call: 404 or 405, and no sign that it has."""
    said = failure.kind is FailureKind.STATUS or (failure.kind is FailureKind.FOREIGN and failure.empty)
    return said and failure.status in NO_SUCH_CALL and not failure.known


def _status_of_answer(failure: Failure) -> int | None:
    """The status of a whole answer, whoever gave it."""
    return failure.status if failure.kind in (FailureKind.STATUS, FailureKind.FOREIGN) else None


def _is_registrys_word(failure: Failure) -> bool:
    """Whether the registry says so itself. A call that has worked is there: that it is not can only be trouble."""
    return failure.kind is FailureKind.STATUS and not (failure.known and failure.status in NO_SUCH_CALL)


def _is_permanent(status: int | None) -> bool:
    """The client's faults, but not 408: the registry gave up waiting, whatever had arrived."""
    return status is not None and 300 <= status < 500 and status != 408
