"""Files that were sent as they are now: what is in them need not be looked at again.

A run of a million published entries would else open a million files to find nothing to do.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bulkload.core.model.errors import BulkloadError
from bulkload.ledger import LedgerReader
from bulkload.ledger.records import SentFile
from bulkload.source import look_in


class KnownFiles:
    """Asked for the files of a manifest in its order, while a ledger's rows go by in the same."""

    def __init__(self, sent: Iterator[SentFile]) -> None:
        self._sent = sent
        self._next = next(sent, None)

    def __call__(self, line: int, path: str, framework: str, found: os.stat_result) -> bool:
        """Whether the entry of this line was sent from this file, which looks as it did then."""
        try:
            while self._next is not None and self._next.line < line:
                self._next = next(self._sent, None)
        except BulkloadError:
            # Whoever opens the ledger to write says what is wrong with it.
            self._next = None
        row = self._next
        if row is None or row.line != line or row.path != path or row.framework != framework:
            return False
        return row.look.mark is not None and row.look == look_in(found)


@contextmanager
def known_files(ledger: Path) -> Iterator[KnownFiles]:
    """What a ledger knows, for as long as the block; nothing where there is none that can be read."""
    reader = None
    with suppress(BulkloadError):
        reader = LedgerReader(ledger)
    if reader is None:
        yield KnownFiles(iter(()))
        return
    # The rows end here, in the thread that began to read them.
    with reader, closing(reader.sent_files()) as sent:
        yield KnownFiles(sent)
