"""Lists of any length: their beginning in memory, the rest on disk."""

import json
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Generic, TypeVar, overload

T = TypeVar("T")

# Most lists are short, and cost no file.
IN_MEMORY = 1_000
# An offset is kept for every so many items.
ITEMS_A_MARK = 64


class SpilledList(Sequence[T], Generic[T]):
    """A sequence that only grows. ``pack`` makes an item JSON values, ``unpack`` makes it again."""

    def __init__(self, pack: Callable[[T], Any], unpack: Callable[[Any], T]) -> None:
        self._pack = pack
        self._unpack = unpack
        self._first: list[T] = []
        self._file: IO[bytes] | None = None
        self._marks = array("Q")
        self._count = 0
        self._end = 0
        self._was_read = False

    def append(self, item: T) -> None:
        """Add one. Raises ``OSError`` where the disk is full."""
        if self._count < IN_MEMORY:
            self._first.append(item)
        else:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="bulkload-")  # noqa: SIM115 - closed with this list
                weakref.finalize(self, self._file.close)
            if (self._count - IN_MEMORY) % ITEMS_A_MARK == 0:
                self._marks.append(self._end)
            # ASCII: half a character survives as well.
            line = json.dumps(self._pack(item)).encode() + b"\n"
            if self._was_read:
                self._file.seek(self._end)
                self._was_read = False
            self._file.write(line)
            self._end += len(line)
        self._count += 1

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __iter__(self) -> Iterator[T]:
        """All of them, in their order."""
        yield from self._first
        yield from self._spilled(IN_MEMORY)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        """One of them, or a tuple of some."""
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(self._count)))
        number = index + self._count if index < 0 else index
        if not 0 <= number < self._count:
            raise IndexError(index)
        return self._first[number] if number < IN_MEMORY else next(self._spilled(number))

    def _spilled(self, number: int) -> Iterator[T]:
        """Those on disk, from this one on."""
        if self._file is None or number >= self._count:
            return
        mark, further = divmod(number - IN_MEMORY, ITEMS_A_MARK)
        at = self._marks[mark]
        while at < self._end:
            self._file.seek(at)
            self._was_read = True
            line = self._file.readline()
            at += len(line)
            if further:
                further -= 1
            else:
                yield self._unpack(json.loads(line))
