"""Signals, from the program's first line to its last: none of them ever kills it without a word.

Light to import: what a signal may interrupt is the import of everything else.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

# A closed terminal ends a program as SIGTERM does.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Listener = Callable[[int], None]


class Signals:
    """What this process is told by signals.

    Until somebody listens, the first one that is to end the program raises ``KeyboardInterrupt`` in the main thread,
    the second ends the process at once, and SIGUSR1 is answered with what the program is doing.
    """

    def __init__(self) -> None:
        # When the program began, on the monotonic clock.
        self.began = time.monotonic()
        # The first one that was to end the program.
        self.first: int | None = None
        # The answer to SIGUSR1 while nobody listens.
        self.doing = "starting"
        self._listener: Listener | None = None
        self._before: dict[int, Any] = {}

    def take_over(self) -> None:
        """From now on, signals come here. SIGHUP does not where it is ignored already: nohup means it."""
        for number in (*ENDING, signal.SIGUSR1):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._arrived)
        sys.unraisablehook = self._not_raised

    def give_back(self) -> None:
        """Treat signals as they were treated before."""
        while self._before:
            signal.signal(*self._before.popitem())
        sys.unraisablehook = sys.__unraisablehook__

    def ignore(self) -> None:
        """The program has ended and its exit code is known: nothing is to change it any more."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def listen(self, listener: Listener | None) -> None:
        """Let ``listener`` hear of every signal, in the main thread, between any two of its steps."""
        self._listener = listener

    @property
    def are_ours(self) -> bool:
        """Whether they come here."""
        return bool(self._before)

    @property
    def exit_code(self) -> int:
        """What a program that was ended by ``first`` exits with."""
        return 128 + (signal.SIGINT if self.first in (None, signal.SIGINT) else signal.SIGTERM)

    def say(self, line: str) -> None:
        """Write a line to standard error from wherever the program is: buffers and their locks are not touched."""
        with suppress(OSError):
            os.write(2, f"bulkload: {line}\n".encode())

    def _not_raised(self, found: "sys.UnraisableHookArgs") -> None:
        """What came where nothing can be raised, such as in a callback of an import's lock: ``first`` remembers it."""
        if not isinstance(found.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(found)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            if self._listener is None:
                self.say(self.doing)
            else:
                self._listener(number)
            return
        is_first = self.first is None
        if is_first:
            self.first = number
        elif number == signal.SIGHUP:
            return  # shell and kernel both send one when a terminal is closed
        if self._listener is not None:
            self._listener(number)
        elif is_first:
            raise KeyboardInterrupt(number)
        else:
            os._exit(self.exit_code)
