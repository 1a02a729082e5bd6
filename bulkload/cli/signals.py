"""What the command line does about signals: it stops a run gently, and by force where that does not work."""

import math
import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from bulkload.cli.telling import Telling
from bulkload.core.model.errors import Interrupted
from bulkload.report.sink import standard_error, tell
from bulkload.system.signals import ENDING, Signals

if TYPE_CHECKING:
    from bulkload.engine.stop import Stop

# What a stop may take beyond its grace time, for the summary and for closing the ledger.
OVERTIME_SECONDS = 1.0


def current_signals() -> Signals:
    """Those of the command that runs; of a program that has none, from now on."""
    context = click.get_current_context(silent=True)
    telling = None if context is None else context.find_object(Telling)
    if telling is not None:
        return telling.signals
    signals = Signals()
    if threading.current_thread() is threading.main_thread():
        signals.take_over()
    return signals


@contextmanager
def listening(signals: Signals, listener: Callable[[int], None]) -> Iterator[None]:
    """``listener`` hears of signals between two steps of the event loop that runs here.

    The loop's own way to do so would leave the system's handlers behind, which kill.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread
        return
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)

    def wake() -> None:
        with suppress(BlockingIOError):
            reading.recv(4096)

    def pass_on(number: int) -> None:
        loop.call_soon_threadsafe(listener, number)

    with reading, writing:
        loop.add_reader(reading, wake)
        # A loop that waits for sockets is woken up by this; then Python calls the handler.
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        signals.listen(pass_on)
        try:
            yield
        finally:
            # Until ``watch_ending``: what the command did is done.
            signals.listen(lambda _: None)
            signal.set_wakeup_fd(before)
            loop.remove_reader(reading)


def interrupted_by(signals: Signals) -> Interrupted:
    """The error of a program that a signal ended."""
    return Interrupted(signals.exit_code - 128)


class Obedience:
    """Stops a run at the first signal, cuts it at the second, and says how it is getting on at SIGUSR1."""

    def __init__(self, signals: Signals, stop: "Stop", last_resort: "LastResort", tell: Callable[[], str]) -> None:
        self._signals = signals
        self._stop = stop
        self._last_resort = last_resort
        self._tell = tell
        self._asked = False

    def __call__(self, number: int) -> None:
        """A signal came."""
        from bulkload.engine import stop as stopping

        if number == signal.SIGUSR1:
            tell(self._tell())
        elif self._asked:
            self._last_resort.end_after(OVERTIME_SECONDS, self._signals.exit_code)
            self._stop.cut()
        else:
            self._asked = True
            self._last_resort.end_after(stopping.GRACE_SECONDS + OVERTIME_SECONDS, self._signals.exit_code)
            self._stop.ask(interrupted_by(self._signals))
            if standard_error().isatty():
                tell("")  # below the ^C that a terminal shows
            tell("stopping: what is under way may finish; once more to cut it")


def watch_ending(signals: Signals) -> None:
    """What the command did is done, has its exit code, and is told: whoever reads it may take the time of a stop.

    A thread hears of signals now: the main one may be in a write that nobody reads, where Python's handlers wait.
    """
    if not signals.are_ours or threading.current_thread() is not threading.main_thread():
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_watch_ending, args=(signals, reading), name="bulkload-signals", daemon=True)
    with suppress(RuntimeError):  # where there is no thread for it, signals have been given up
        thread.start()
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)


def _watch_ending(signals: Signals, reading: int) -> None:
    from bulkload.engine import stop as stopping

    asked, ends_at = signals.first is not None, math.inf
    while True:
        left = None if ends_at == math.inf else max(0.0, ends_at - time.monotonic())
        if not select.select([reading], [], [], left)[0]:
            os._exit(signals.exit_code)
        for number in os.read(reading, 64):
            if number == signal.SIGUSR1:
                signals.say("reporting")
            elif number in ENDING and not asked:
                asked, signals.first = True, signals.first or number
                signals.say("it has ended and says how; once more to leave without that")
                ends_at = time.monotonic() + stopping.GRACE_SECONDS + OVERTIME_SECONDS
            elif number in ENDING and number != signal.SIGHUP:
                ends_at = min(ends_at, time.monotonic() + OVERTIME_SECONDS)


class LastResort:
    """Ends the process when stopping takes too long: a thread that waits for a hung disk cannot be cancelled.

    It is as safe as ``kill -9``: everything that counts is on the disk before it happens.
    """

    def __init__(self) -> None:
        """Raises ``RuntimeError`` where there is no thread for it: now, and not when it is needed."""
        # Seconds and exit code; None: it ended by itself.
        self._orders: queue.SimpleQueue[tuple[float, int] | None] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="bulkload-last-resort", daemon=True).start()

    def end_after(self, seconds: float, exit_code: int) -> None:
        """Exit in so many seconds, unless cancelled. The earliest end of all counts."""
        self._orders.put((seconds, exit_code))

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
            seconds, exit_code = order
            if time.monotonic() + seconds < ends_at:
                ends_at, code = time.monotonic() + seconds, exit_code
