"""Where a ledger stands."""

from datetime import datetime
from typing import Any

import msgspec

from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger import Holder, LedgerReader
from bulkload.report.facts import MEANINGS, Facts, line_texts
from bulkload.report.heartbeat import live_facts
from bulkload.report.tables import one_line
from bulkload.system.file_names import recorded_path


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What ``bulkload status --json`` prints."""

    ledger: str
    endpoint: str | None
    manifest: str | None
    # The process that works on it just now.
    running: Holder | None
    # Whether that can be known: the lock of another user's ledger may be his alone.
    running_known: bool
    last_run: dict[str, Any] | None
    entries: int
    states: dict[str, int]
    failures: tuple[CauseCount, ...]
    # How the process that works on it is getting on, as it last said; None where none does, or nothing is known.
    live: Facts | None = None


def status_object(reader: LedgerReader) -> Status:
    """Read everything once."""
    states = reader.counts()
    return Status(
        ledger=recorded_path(str(reader.path)),
        endpoint=reader.endpoint,
        manifest=reader.manifest,
        running=reader.holder,
        running_known=reader.may_see_holder,
        last_run=reader.last_run(),
        entries=sum(states.values()),
        states=states,
        failures=reader.failures(),
        live=live_facts(reader),
    )


def status_lines(status: Status, width: int, clock: datetime) -> list[str]:
    """For people: what a live run shows, then what the ledger holds."""
    done = sum(count for state, count in status.states.items() if State(state) in TERMINAL)
    lines = [f"ledger    {status.ledger}", f"manifest  {status.manifest}", f"registry  {status.endpoint}"]
    if status.running is not None:
        lines.append(f"running   {status.running}")
        if status.live is not None:
            lines += ["", *line_texts(status.live, width, clock), ""]
    elif status.last_run is not None:
        lines.append(f"last run  {_ending(status.last_run, known=status.running_known)}")
    lines.append(f"entries   {status.entries:,}, {done:,} of them done")
    lines += [f"  {count:>9,} {_explained(State(state))}" for state, count in status.states.items() if count]
    lines += [f"  {f.count:>9,} x {f.cause}, such as {one_line(f.example)}" for f in status.failures]
    return lines


def _explained(state: State) -> str:
    return f"{state}: {MEANINGS[state]}" if state in MEANINGS else state


def _ending(run: dict[str, Any], *, known: bool) -> str:
    if run["finished_at"] is None and not known:
        return f"{run['started_at']}, goes on or was cut short: only the ledger's owner may see which"
    if run["finished_at"] is None:
        return f"{run['started_at']}, was cut short: run it again to resume"
    return f"{run['started_at']} to {run['finished_at']}, exit code {run['exit_code']}"
