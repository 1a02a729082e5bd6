"""How a run ended: the summary object and the exit code, both contracts with scripts."""

import msgspec

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.states import State


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that are ``failed`` or ``error`` for one cause."""

    cause: str
    count: int
    # The message of one of them, with its name.
    example: str


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that this run sent, by kind."""

    upload: int = 0
    poll: int = 0
    list: int = 0
    auth: int = 0
    other: int = 0


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of ``bulkload run --json``.

    ``states`` describes the manifest as it is now; requests, retries, bytes and ``adopted`` count this run.
    """

    run_id: str
    endpoint: str
    manifest: str
    ledger: str
    exit_code: int
    # The number of the manifest's entries: the sum of ``states``.
    entries: int
    # All eight states.
    states: dict[str, int]
    # Repeats included.
    bytes_sent: int
    requests: RequestCounts
    retries: int
    # Found by reconcile.
    adopted: int
    # Versions beyond one for an entry that was sent again.
    duplicates: int
    elapsed_seconds: float
    failures: tuple[CauseCount, ...] = ()


def exit_code_of(states: dict[str, int], duplicates: int = 0) -> ExitCode:
    """The exit code of a run that nothing cut short."""
    if states[State.FAILED] or states[State.ERROR] or duplicates:
        return ExitCode.SOME_FAILED
    if any(states[state] for state in (State.PLANNED, State.UPLOADING, State.IN_DOUBT, State.UPLOADED)):
        return ExitCode.STILL_OPEN
    return ExitCode.OK
