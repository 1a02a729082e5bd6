"""The end of a run, in words."""

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.errors import ExitCode
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.model.units import show_bytes, show_duration
from bulkload.report.facts import MEANINGS, ORDER

_ENDINGS = {
    ExitCode.NOT_AUTHORISED: "not authorised",
    ExitCode.UNAVAILABLE: "the registry cannot be reached or refuses",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}


def summary_lines(summary: RunSummary) -> list[str]:
    """What a person wants to know at the end, and the command to go on."""
    counts = ", ".join(_counted(state, summary.states[state]) for state in ORDER if summary.states[state])
    sent = summary.requests.upload
    did = f"{sent:,} upload{'' if sent == 1 else 's'}, {show_bytes(summary.bytes_sent)}" if sent else "nothing sent"
    noun = "entry" if summary.entries == 1 else "entries"
    lines = [f"{summary.entries:,} {noun}: {counts or 'none'}; {did}, {show_duration(summary.elapsed_seconds)}"]
    if summary.adopted:
        lines.append(f"{summary.adopted:,} found in the registry after a lost answer")
    if summary.exit_code in _ENDINGS:
        lines.append(f"ended early: {_ENDINGS[ExitCode(summary.exit_code)]}")
    return lines


def _counted(state: State, count: int) -> str:
    """``240 uploaded (converting on the registry)``: the name of the state, and what it means where it is first met."""
    return f"{count:,} {state} ({MEANINGS[state]})" if state in MEANINGS else f"{count:,} {state}"


MOST_TROUBLES = 1_000
MOST_REASONS = 10
MOST_NAMES = 3


def trouble_lines(troubles: list[tuple[str, str, str]], total: int) -> list[str]:
    """Entries (state, name, message) by their reason, each reason once with the models that it hit.

    ``total``: how many there are in all, where that is more than are given.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for state, name, message in troubles:
        names.setdefault((state, " ".join(message.split())), []).append(name)
    lines = []
    for (state, message), hit in list(names.items())[:MOST_REASONS]:
        more = f" and {len(hit) - MOST_NAMES:,} more" if len(hit) > MOST_NAMES else ""
        lines.append(f"  {state}: {', '.join(hit[:MOST_NAMES])}{more}: {message}")
    if len(names) > MOST_REASONS or total > len(troubles):
        lines.append(f"  ... {total:,} in all; `bulkload results` shows each")
    return lines


STUCK_STATUS = "attempting_load_container"


def converting_lines(converting: list[tuple[str, str, str]]) -> list[str]:
    """Entries (status, framework, name) that the registry has not judged, by their status, and what that may mean."""
    names: dict[str, list[str]] = {}
    for status, _, name in converting:
        names.setdefault(status or "status not known yet", []).append(name)
    lines = []
    for status, waiting in names.items():
        more = f" and {len(waiting) - MOST_NAMES:,} more" if len(waiting) > MOST_NAMES else ""
        lines.append(f"  {status}: {', '.join(waiting[:MOST_NAMES])}{more}")
    native = sum(status == STUCK_STATUS and FRAMEWORKS[framework].native_route for status, framework, _ in converting)
    if native:
        lines.append(
            f"  {native:,} of them onnx or tensorflow in {STUCK_STATUS}: sent by upload_and_convert, such versions were"
            " seen to stay there for ever, although they can be served; waiting longer may not help. --route auto sends"
            " them by models/upload, which makes them ready at once: publish them again by it with a new --ledger"
        )
    return lines


def resumable(summary: RunSummary) -> bool:
    """Whether running the same command again goes on with something."""
    states = summary.states
    return any(states[s] for s in (State.PLANNED, State.UPLOADING, State.IN_DOUBT, State.UPLOADED))


def only_converting(summary: RunSummary) -> bool:
    """Whether nothing is open but what the registry is converting."""
    states = summary.states
    return states[State.UPLOADED] > 0 and not any(states[s] for s in (State.PLANNED, State.UPLOADING, State.IN_DOUBT))
