"""The end of a run, in words."""

from bulkload.core.errors import ExitCode
from bulkload.core.states import State
from bulkload.core.summary import RunSummary
from bulkload.core.units import show_bytes, show_duration

_WORDS = {
    State.READY: "ready",
    State.SKIPPED: "already there",
    State.ERROR: "ended in error",
    State.FAILED: "failed",
    State.UPLOADED: "still converting",
    State.IN_DOUBT: "in doubt",
    State.UPLOADING: "cut while uploading",
    State.PLANNED: "not sent yet",
}

_ENDINGS = {
    ExitCode.NOT_AUTHORISED: "not authorised",
    ExitCode.UNAVAILABLE: "the registry cannot be reached or refuses",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}


def summary_lines(summary: RunSummary) -> list[str]:
    """What a person wants to know at the end, and the command to go on."""
    counts = ", ".join(f"{summary.states[state]:,} {word}" for state, word in _WORDS.items() if summary.states[state])
    sent = summary.requests.upload
    did = f"{sent:,} uploads, {show_bytes(summary.bytes_sent)}" if sent else "nothing sent"
    noun = "entry" if summary.entries == 1 else "entries"
    lines = [f"{summary.entries:,} {noun}: {counts or 'none'} ({did}, {show_duration(summary.elapsed_seconds)})"]
    if summary.adopted:
        lines.append(f"{summary.adopted:,} found in the registry after a lost answer")
    lines += [f"  {failure.count:,} x {failure.cause}, such as {failure.example}" for failure in summary.failures]
    if summary.exit_code in _ENDINGS:
        lines.append(f"ended early: {_ENDINGS[ExitCode(summary.exit_code)]}")
    return lines


def resumable(summary: RunSummary) -> bool:
    """Whether running the same command again goes on with something."""
    states = summary.states
    return any(states[s] for s in (State.PLANNED, State.UPLOADING, State.IN_DOUBT, State.UPLOADED))
