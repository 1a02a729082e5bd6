"""Memory that pieces of files are read into, used again and again: for new memory, the kernel is asked page by page."""


class Buffers:
    """Those of all files of a run that nobody uses now. They are of one size, which is that of who came last."""

    def __init__(self) -> None:
        self._size = 0
        self._unused: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """One of so many bytes, with anything in it. May be called in any thread."""
        if size != self._size:
            self._size, self._unused = size, []
        try:
            buffer = self._unused.pop()
        except IndexError:
            return bytearray(size)
        # Another thread may have wanted another size meanwhile.
        return buffer if len(buffer) == size else bytearray(size)

    def give_back(self, buffers: list[bytearray]) -> None:
        """What a file no longer reads into. Those that somebody still sends are left to them."""
        self._unused += [buffer for buffer in buffers if len(buffer) == self._size and not is_viewed(buffer)]


def is_viewed(buffer: bytearray) -> bool:
    """Whether somebody holds a view of it: what is in it must stay."""
    try:
        # The interpreter itself knows, and does not let its size change as long as there is one.
        buffer.append(0)
    except BufferError:
        return True
    del buffer[-1]
    return False
