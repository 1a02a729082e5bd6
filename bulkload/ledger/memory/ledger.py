"""The ledger that is no file."""

from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from bulkload.ledger.groups import OnCommit
from bulkload.ledger.interface import Message
from bulkload.ledger.memory.execution import Execution
from bulkload.ledger.memory.store import MemoryStore
from bulkload.ledger.writer import LoopWriter

T = TypeVar("T")


class MemoryLedger:
    """An open ledger on a ``MemoryStore``. It has no lock: nobody else knows of the store."""

    def __init__(self, store: MemoryStore, *, on_commit: OnCommit | None = None) -> None:
        """``on_commit`` sees every commit, and may end the ledger there as a process that is killed would."""
        self._store = store
        self._on_commit = on_commit
        self._writer: LoopWriter | None = None

    async def __aenter__(self) -> Self:
        """Open it."""
        writer = LoopWriter(lambda: Execution(self._store), self._on_commit)
        await writer.start()
        self._writer = writer
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what was sent, and close."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.stop()

    def execute(self, message: Message[T]) -> Coroutine[Any, Any, T]:
        """Execute a message; committed when this returns. Raises why it was refused."""
        if self._writer is None:
            raise RuntimeError("the ledger is not open")
        return self._writer.call(message)
