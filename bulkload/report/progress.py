"""How a run is getting on: one line that renews itself on a terminal, a plain line now and then elsewhere."""

import shutil

import anyio

from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.units import show_bytes, show_duration
from bulkload.core.text.visible import visible_line
from bulkload.engine.context import Progress
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
        states = progress.states
        if not states:
            count = f" {progress.done:,}" if progress.done else ""
            return f"{progress.phase}{count}, {elapsed}"
        done = sum(states[state] for state in TERMINAL)
        if self._publishing is None:
            self._publishing = (now, done)
        total = states.total()
        parts = [f"{done:,}/{total:,} done", show_bytes(progress.bytes_sent), *self._pace(now, done, total), elapsed]
        parts += self._limits(now)
        counts = ", ".join(f"{states[state]:,} {word}" for state, word in WORDS.items() if states[state])
        prefix = "" if progress.phase == "publishing" else f"{progress.phase}: "
        return f"{prefix}{', '.join(parts)}: {counts}"

    def _limits(self, now: float) -> list[str]:
        """How much at a time, how fast at the most, and whether the registry asked for a pause."""
        gates, states = self._progress.gates, self._progress.states
        if gates is None or not states[State.PLANNED] + states[State.UPLOADING]:
            return []
        throttle, parts = gates.uploads.throttle, [f"{gates.slots.concurrency.limit} at a time"]
        rate, held = throttle.rate(now), throttle.pacer.held(now)
        if rate is not None:
            parts.append(f"at most {rate:.3g} uploads/s")
        if held:
            parts.append(f"held for {show_duration(held)}")
        return parts

    def _pace(self, now: float, done: int, total: int) -> list[str]:
        """Bytes a second, and how long the rest will take at the pace so far."""
        if self._publishing is None:
            return []
        since, done_before = self._publishing
        seconds, finished = now - since, done - done_before
        if seconds < ESTIMATE_AFTER_SECONDS:
            return []
        parts = [f"{show_bytes(self._progress.bytes_sent / seconds)}/s"] if self._progress.bytes_sent else []
        if finished >= ESTIMATE_AFTER_ENTRIES and done < total:
            parts.append(f"{show_duration((total - done) * seconds / finished)} left")
        return parts
