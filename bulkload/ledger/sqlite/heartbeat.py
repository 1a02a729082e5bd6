"""How the run that works on a ledger is getting on, in a file beside it, renewed in place.

No row of the ledger: a commit every second would cost the run a write to the disk each time, and what a heartbeat says
is worth nothing once the run has ended. The lock says whether it is that of a run that lives.
"""

import contextlib
import os
from pathlib import Path
from typing import Self

from bulkload.system.file_names import real_path
from bulkload.system.private import open_private

MOST_BYTES = 64 << 10


class Heartbeat:
    """Written by the run that holds the ledger's lock. What cannot be written is left out: no run ends by it."""

    def __init__(self, ledger: Path) -> None:
        self.path = heartbeat_path(ledger)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """The file is made with the first beat."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it: the run has ended."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self.path.unlink()

    def beat(self, data: bytes) -> None:
        """The newest word, in one write."""
        try:
            if self._descriptor is None:
                self._descriptor = open_private(self.path)
            os.pwrite(self._descriptor, data, 0)
            os.ftruncate(self._descriptor, len(data))
        except OSError:
            return


def heartbeat_path(ledger: Path) -> Path:
    """Beside the ledger itself, as its lock."""
    target = real_path(ledger)
    return target.with_name(target.name + ".heartbeat")


def last_beat(ledger: Path) -> bytes | None:
    """What was written last; None where there is nothing, or nothing for this user."""
    try:
        descriptor = os.open(heartbeat_path(ledger), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.pread(descriptor, MOST_BYTES, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
