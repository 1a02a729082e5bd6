"""The ledger that is a file: its lock, and the writer that executes the messages."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from bulkload.core.model.errors import ManifestError, UsageError
from bulkload.ledger.interface import Message
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.lock import LedgerLock, refuse_network_file_system
from bulkload.ledger.sqlite.writes import Store
from bulkload.ledger.writer import OpenStorage, ThreadWriter, Writer

T = TypeVar("T")


class Ledger:
    """An open ledger, for the messages of ``interface``: ``await ledger.execute(Seal(entry, sha256))``."""

    def __init__(self, path: Path, started_at: str, *, writer: Callable[[OpenStorage], Writer] = ThreadWriter) -> None:
        """``started_at`` (UTC ISO 8601) is what a second run is told about this one.

        ``writer``: where the messages are executed; in a thread, unless it is ``LoopWriter``, or one like it.
        """
        self.path = path
        self._lock = LedgerLock(path, started_at)
        self._make_writer = writer
        self._writer: Writer | None = None
        self._is_new = False

    async def __aenter__(self) -> Self:
        """Take the lock and open the file.

        Raises ``LedgerInUse`` when another process has it, ``UsageError`` where no ledger can lie, ``LedgerError``
        where the file is no ledger of this version.
        """
        if not self.path.parent.is_dir():
            raise UsageError(f"{self.path}: the folder does not exist; make it, or name another place with --ledger")
        refuse_network_file_system(self.path)
        self._lock.__enter__()
        writer = self._make_writer(lambda: Execution(Store(self.path)))
        try:
            self._is_new = not self.path.exists()
            await writer.start()
        except BaseException:
            # The lock outlasts the connection, also when this was cancelled while the thread was opening it.
            await writer.stop()
            self._lock.__exit__()
            raise
        self._writer = writer
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit what was handed in, close, give the lock back.

        A ledger that was made for a manifest that is wrong goes again: such a manifest makes none.
        """
        try:
            if self._writer is not None:
                writer, self._writer = self._writer, None
                await writer.stop()
            if self._is_new and kind is not None and issubclass(kind, ManifestError):
                self._remove()
        finally:
            self._lock.__exit__()

    def execute(self, message: Message[T]) -> Coroutine[Any, Any, T]:
        """Execute a message; durable when this returns. Raises why it was refused."""
        if self._writer is None:
            raise RuntimeError("the ledger is not open")
        return self._writer.call(message)

    def _remove(self) -> None:
        for suffix in ("-wal", "-shm", ""):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._lock.remove_file()
