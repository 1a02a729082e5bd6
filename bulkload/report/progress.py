"""How a run is getting on: one line that renews itself on a terminal, a plain line now and then elsewhere."""

import shutil
from collections.abc import Callable
from typing import TextIO

import anyio

from bulkload.core.states import State
from bulkload.core.units import show_bytes, show_duration
from bulkload.engine.run import Progress

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 30.0
ERASE_LINE = "\r\x1b[2K"

# What a state is called while things move.
WORDS = {
    State.READY: "ready",
    State.SKIPPED: "already there",
    State.UPLOADED: "converting",
    State.UPLOADING: "uploading",
    State.IN_DOUBT: "in doubt",
    State.ERROR: "error",
    State.FAILED: "failed",
    State.PLANNED: "to do",
}


async def show_progress(progress: Progress, stream: TextIO) -> None:
    """Show ``progress`` until cancelled."""
    started = anyio.current_time()
    if stream.isatty():
        await _renew_line(progress, stream, started)
    else:
        while True:
            await anyio.sleep(PLAIN_SECONDS)
            print(progress_line(progress, anyio.current_time() - started), file=stream, flush=True)


async def _renew_line(progress: Progress, stream: TextIO, started: float) -> None:
    speed = _Speed(lambda: progress.bytes_sent)
    try:
        while True:
            now = anyio.current_time()
            rate = speed.at(now)
            line = progress_line(progress, now - started, rate)
            width = shutil.get_terminal_size().columns - 1
            print(
                ERASE_LINE + (line if len(line) <= width else line[: width - 1] + "…"), end="", file=stream, flush=True
            )
            await anyio.sleep(TERMINAL_SECONDS)
    finally:
        print(ERASE_LINE, end="", file=stream, flush=True)


class _Speed:
    """Bytes a second, smoothed over some seconds."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._before: tuple[float, int] | None = None
        self._rate = 0.0

    def at(self, now: float) -> float:
        count = self._count()
        if self._before is not None and now > self._before[0]:
            current = (count - self._before[1]) / (now - self._before[0])
            self._rate += 0.1 * (current - self._rate)
        self._before = (now, count)
        return self._rate


def progress_line(progress: Progress, elapsed_seconds: float, bytes_a_second: float | None = None) -> str:
    """``publishing 42/60: 30 ready, 4 converting, 18 to do; 12.3 MB, 3.4 MB/s, 12s``."""
    elapsed = show_duration(elapsed_seconds)
    if not progress.states:
        count = f" {progress.done:,}" if progress.done else ""
        return f"{progress.phase}{count}, {elapsed}"
    states = progress.states
    total = states.total()
    done = sum(states[state] for state in (State.READY, State.SKIPPED, State.ERROR, State.FAILED))
    parts = ", ".join(f"{states[state]:,} {word}" for state, word in WORDS.items() if states[state])
    line = f"{progress.phase} {done:,}/{total:,}: {parts or 'nothing'}; {show_bytes(progress.bytes_sent)}"
    if bytes_a_second is not None and bytes_a_second >= 1:
        line += f", {show_bytes(bytes_a_second)}/s"
    return f"{line}, {elapsed}"
