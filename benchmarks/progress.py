"""Says what is being done, so that nothing is silent for long."""

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_A_DOT = 1.5


@contextmanager
def step(words: str) -> Iterator[None]:
    """One line for what the block does: its name, a dot now and then, its seconds."""
    print(f"  {words} ", end="", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(file=sys.stderr, flush=True)
        raise
    print(f" {time.monotonic() - began:.2f} s", file=sys.stderr, flush=True)


def dot() -> None:
    """It still goes on."""
    print(".", end="", file=sys.stderr, flush=True)


def pause(seconds: float) -> None:
    """Sleep, with dots."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SECONDS_A_DOT))
        dot()


def wait_readable(descriptor: int) -> None:
    """Wait until a descriptor can be read from, with dots: to the moment, as a measurement wants it."""
    while not select.select([descriptor], [], [], SECONDS_A_DOT)[0]:
        dot()
