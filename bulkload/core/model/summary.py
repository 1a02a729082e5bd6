"""How a run ended: the summary object and the exit code, both contracts with scripts."""

from collections.abc import Iterable

import msgspec

from bulkload.core.model.errors import BulkloadError, ExitCode
from bulkload.core.model.records import Problem
from bulkload.core.model.states import State

# Messages that a summary names. What comes beyond is counted by its cause alone.
MOST_MESSAGES = 100


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that are ``failed`` or ``error`` for one cause, and with one message."""

    cause: str
    count: int
    # The message of one of them, with its name.
    example: str
    # None: entries of this cause with several messages, each of them rare.
    message: str | None = None


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that this run sent, by kind."""

    upload: int = 0
    poll: int = 0
    list: int = 0
    auth: int = 0
    other: int = 0


class RunError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the exit code is not 0."""

    exit_code: int
    message: str
    # Of a manifest that is wrong, each of its problems. The last key, so that a million of them can be written.
    problems: tuple[Problem, ...] = ()


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
    # By cause and message, the most frequent first.
    failures: tuple[CauseCount, ...] = ()
    # None where the exit code is 0.
    error: RunError | None = None


def cause_counts(groups: Iterable[tuple[str, str, int, str]]) -> tuple[CauseCount, ...]:
    """Groups of (cause, message, count, name of the first), the most frequent first, as a summary tells them."""
    found: list[CauseCount] = []
    others: dict[str, CauseCount] = {}
    for cause, message, count, name in groups:
        example = f"{name}: {message}"
        if len(found) < MOST_MESSAGES:
            found.append(CauseCount(cause=cause, count=count, example=example, message=message))
            continue
        rest = others.setdefault(cause, CauseCount(cause=cause, count=0, example=example))
        others[cause] = msgspec.structs.replace(rest, count=rest.count + count)
    return (*found, *others.values())


_STILL_OPEN = (State.PLANNED, State.UPLOADING, State.IN_DOUBT, State.UPLOADED)


def exit_code_of(states: dict[str, int], duplicates: int = 0) -> ExitCode:
    """The exit code of a run that nothing cut short."""
    if states[State.FAILED] or states[State.ERROR] or duplicates:
        return ExitCode.SOME_FAILED
    if any(states[state] for state in _STILL_OPEN):
        return ExitCode.STILL_OPEN
    return ExitCode.OK


def run_error(states: dict[str, int], duplicates: int, error: Exception | None) -> RunError | None:
    """Why a run ends as it does: by what stopped it, else by what became of its entries. None: all is well."""
    if error is not None:
        code = error.exit_code if isinstance(error, BulkloadError) else ExitCode.INTERNAL
        return RunError(exit_code=int(code), message=str(error) or type(error).__name__)
    code = exit_code_of(states, duplicates)
    if code is ExitCode.OK:
        return None
    states_said = (State.ERROR, State.FAILED) if code is ExitCode.SOME_FAILED else _STILL_OPEN
    said = [f"{states[state]:,} {state}" for state in states_said if states[state]]
    said += [f"{duplicates:,} duplicate{'s' if duplicates > 1 else ''}"] if duplicates else []
    what = "some entries failed" if code is ExitCode.SOME_FAILED else "some entries are not done; run again to resume"
    return RunError(exit_code=int(code), message=f"{what}: {', '.join(said)}")
