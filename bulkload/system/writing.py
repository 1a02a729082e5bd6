"""Writing to a descriptor until all is written."""

import os
import select


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, also where another program made the descriptor one that does not wait.

    Raises ``OSError``: EPIPE when the reader has gone away.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            room.poll()
