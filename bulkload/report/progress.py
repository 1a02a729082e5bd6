"""How a run is getting on: one line that renews itself on a terminal, a plain line now and then elsewhere."""

import shutil
from dataclasses import dataclass, field

import anyio

from bulkload.core.model.counts import Counts
from bulkload.core.model.events import (
    Advanced,
    Event,
    Held,
    LimitChanged,
    Noticed,
    Paced,
    PhaseBegan,
    RunBegan,
)
from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.units import show_bytes, show_duration
from bulkload.core.text.visible import visible_line
from bulkload.report.sink import Sink, standard_error

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 30.0
# Before so many seconds and entries an estimate is a guess.
ESTIMATE_AFTER_SECONDS = 2.0
ESTIMATE_AFTER_ENTRIES = 3

# What a state is called while things move, the most telling first.
WORDS = {
    State.FAILED: "failed",
    State.ERROR: "in error",
    State.IN_DOUBT: "in doubt",
    State.UPLOADING: "uploading",
    State.UPLOADED: "converting",
    State.SKIPPED: "already there",
    State.READY: "ready",
    State.PLANNED: "to do",
}


@dataclass(slots=True)
class Progress:
    """What a display may look at while a run works: a consumer of its events, and nothing else."""

    phase: str = "starting"
    # Counted in the current phase, where it has no states to show.
    done: int = 0
    # States, bytes, retries.
    counts: Counts = field(default_factory=Counts)
    # Uploads at a time; None before the run began.
    at_a_time: int | None = None
    # Uploads a second at the most; None: no limit.
    upload_rate: float | None = None
    # Until when the registry asked for a pause.
    held_until: float = float("-inf")
    # What people are told beside their entries.
    notices: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """What it listens to."""
        return _KINDS

    def __call__(self, event: Event) -> None:
        """One more event."""
        if type(event) in Counts.kinds:
            self.counts(event)
        elif isinstance(event, PhaseBegan):
            self.phase, self.done = event.phase, 0
        elif isinstance(event, Advanced):
            self.done = event.done
        elif isinstance(event, Noticed):
            self.notices.append(event.words)
        else:
            self._note_limit(event)

    def _note_limit(self, event: Event) -> None:
        if isinstance(event, RunBegan):
            self.at_a_time, self.upload_rate = event.concurrency, event.upload_rate
        elif isinstance(event, LimitChanged):
            if event.limit == "concurrency" and event.after is not None:
                self.at_a_time = int(event.after)
        elif isinstance(event, Paced):
            if event.kind == "upload":
                self.upload_rate = event.rate
        elif isinstance(event, Held):
            self.held_until = max(self.held_until, event.until)


_KINDS: frozenset[type[Event]] = Counts.kinds | {PhaseBegan, Advanced, RunBegan, LimitChanged, Paced, Held, Noticed}


async def show_progress(progress: Progress) -> None:
    """Show ``progress`` on standard error until cancelled."""
    view, sink = ProgressView(progress, anyio.current_time()), standard_error()
    if sink.isatty():
        await _renew_line(view, sink)
    else:
        while True:
            await anyio.sleep(PLAIN_SECONDS)
            sink.say(view.line(anyio.current_time()))


async def _renew_line(view: "ProgressView", sink: Sink) -> None:
    try:
        while True:
            line, width = visible_line(view.line(anyio.current_time())), shutil.get_terminal_size().columns - 1
            sink.renew_line(line if len(line) <= width else line[: width - 1] + "…")
            await anyio.sleep(TERMINAL_SECONDS)
    finally:
        sink.renew_line("")


def clear_progress() -> None:
    """Take a renewing line away, for a line of another kind in its place; it comes again below."""
    standard_error().renew_line("")


class ProgressView:
    """A run's progress in words. Speed and time left are those since it began to publish."""

    def __init__(self, progress: Progress, now: float) -> None:
        self._progress = progress
        self._started = now
        # When the states became known, and how many entries were done by then.
        self._publishing: tuple[float, int] | None = None

    def line(self, now: float) -> str:
        """``42/60 done, 12.3 MB, 3.4 MB/s, 12s left, 20s, 8 at a time: 4 converting, 30 ready, 18 to do``."""
        progress, elapsed = self._progress, show_duration(now - self._started)
        states = progress.counts.states
        if not states:
            count = f" {progress.done:,}" if progress.done else ""
            return f"{progress.phase}{count}, {elapsed}"
        done = sum(states[state] for state in TERMINAL)
        if self._publishing is None:
            self._publishing = (now, done)
        total, sent = states.total(), progress.counts.bytes_sent
        parts = [
            f"{done:,}/{total:,} done",
            *([show_bytes(sent)] if sent or progress.phase == "publishing" else []),
            *self._pace(now, done, total),
            elapsed,
        ]
        parts += self._limits(now)
        counts = ", ".join(f"{states[state]:,} {word}" for state, word in WORDS.items() if states[state])
        prefix = "" if progress.phase == "publishing" else f"{progress.phase}: "
        return f"{prefix}{', '.join(parts)}: {counts}"

    def _limits(self, now: float) -> list[str]:
        """How much at a time, how fast at the most, and whether the registry asked for a pause."""
        progress, states = self._progress, self._progress.counts.states
        if progress.at_a_time is None or not states[State.PLANNED] + states[State.UPLOADING]:
            return []
        parts = [f"{progress.at_a_time} at a time"]
        if progress.upload_rate is not None:
            parts.append(f"at most {progress.upload_rate:.3g} uploads/s")
        if progress.held_until > now:
            parts.append(f"held for {show_duration(progress.held_until - now)}")
        return parts

    def _pace(self, now: float, done: int, total: int) -> list[str]:
        """Bytes a second, and how long the rest will take at the pace so far."""
        if self._publishing is None:
            return []
        since, done_before = self._publishing
        seconds, finished = now - since, done - done_before
        if seconds < ESTIMATE_AFTER_SECONDS:
            return []
        sent = self._progress.counts.bytes_sent
        parts = [f"{show_bytes(sent / seconds)}/s"] if sent else []
        if finished >= ESTIMATE_AFTER_ENTRIES and done < total:
            parts.append(f"{show_duration((total - done) * seconds / finished)} left")
        return parts
