"""Signals that end a program: at once before a run, gently during one, and by force when neither works; and one that
asks how it is getting on.
"""

import math
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bulkload.core.errors import Interrupted
from bulkload.report.sink import tell

if TYPE_CHECKING:
    from bulkload.engine.stopping import Stop
    from bulkload.report.progress import ProgressView

# What a stop may take beyond its grace time, for the summary and for closing the ledger.
OVERTIME_SECONDS = 1.0


@contextmanager
def early_signals() -> Iterator[None]:
    """Until a run listens to signals itself, SIGTERM and SIGHUP interrupt as SIGINT does: with a message."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt(signal.SIGTERM)

    # Not one that is ignored: nohup means it.
    deadly = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in deadly:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in deadly:
            signal.signal(number, signal.SIG_DFL)


def interrupted_by(error: BaseException) -> Interrupted:
    """``KeyboardInterrupt``, or what click makes of it, as an error with an exit code."""
    origin = error.__cause__ if isinstance(error, click.Abort) else error
    numbers = origin.args if isinstance(origin, KeyboardInterrupt) else ()
    return Interrupted(numbers[0] if numbers else signal.SIGINT)


async def obey_signals(stop: "Stop", last_resort: "LastResort") -> None:
    """Stop the run at the first signal, cut it at the second; until cancelled."""
    import anyio

    from bulkload.engine import stopping

    wanted = [signal.SIGINT, signal.SIGTERM]
    # A closed terminal ends a run as SIGTERM does, unless somebody (nohup) had it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    asked = False
    with anyio.open_signal_receiver(*wanted) as signals:
        async for number in signals:
            ending = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
            if not asked:
                asked = True
                tell("", "stopping: what is under way may finish; once more to cut it")
                last_resort.end_after(stopping.GRACE_SECONDS + OVERTIME_SECONDS, ending)
                stop.ask(signal=ending)
            elif number != signal.SIGHUP:  # shell and kernel both send one when a terminal is closed
                last_resort.end_after(OVERTIME_SECONDS, ending)
                stop.cut()


async def tell_when_asked(view: "ProgressView") -> None:
    """Say how the run is getting on whenever SIGUSR1 comes; until cancelled."""
    import anyio

    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            tell(view.line(anyio.current_time()))


class LastResort:
    """Ends the process when stopping takes too long: a thread that waits for a hung disk cannot be cancelled.

    It is as safe as ``kill -9``: everything that counts is on the disk before it happens.
    """

    def __init__(self) -> None:
        """Raises ``RuntimeError`` where there is no thread for it: now, and not when it is needed."""
        # Seconds and signal; None: it ended by itself.
        self._orders: queue.SimpleQueue[tuple[float, int] | None] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="bulkload-last-resort", daemon=True).start()

    def end_after(self, seconds: float, number: int) -> None:
        """Exit in so many seconds as if by signal ``number``, unless cancelled. The earliest end of all counts."""
        self._orders.put((seconds, number))

    def cancel(self) -> None:
        """It ended by itself."""
        self._orders.put(None)

    def _watch(self) -> None:
        ends_at, code = math.inf, 0
        while True:
            left = None if ends_at == math.inf else max(0.0, ends_at - time.monotonic())
            try:
                order = self._orders.get(timeout=left)
            except queue.Empty:
                os._exit(code)
            if order is None:
                return
            seconds, number = order
            if time.monotonic() + seconds < ends_at:
                ends_at, code = time.monotonic() + seconds, 128 + number
