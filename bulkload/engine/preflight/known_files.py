"""Files that were sent as they are now: what is in them need not be looked at again.

A run of a million published entries would else open a million files to find nothing to do.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.records import Look
from bulkload.ledger import LedgerReader
from bulkload.ledger.records import SentFile
from bulkload.source import look_in, look_in_folder
from bulkload.system.folders import Folder


class KnownFiles:
    """Asked for the files of a manifest in its order, while a ledger's rows go by in the same."""

    def __init__(self, sent: Iterator[SentFile]) -> None:
        self._sent = sent
        self._next = next(sent, None)
        # The file that was asked for last.
        self._line = 0
        self._look: Look | None = None

    def look_of(self, line: int) -> Look | None:
        """How the file of a line looked when it was asked for; None where it was not."""
        return self._look if self._line == line else None

    def __call__(self, line: int, path: str, framework: str, found: os.stat_result | Folder) -> bool:
        """Whether the entry of this line was sent from this file, which looks as it did then."""
        self._line = line
        look = self._look = look_in_folder(path, found) if isinstance(found, Folder) else look_in(found)
        sent = self._next
        # A tuple's first place costs less than its name.
        if sent is not None and sent[0] < line:
            sent = self._next = self._first_from(line)
        return sent == (line, path, framework, look.size, look.mark) and look.mark is not None

    def _first_from(self, line: int) -> SentFile | None:
        try:
            for sent in self._sent:
                if sent[0] >= line:
                    return sent
        except BulkloadError:
            pass  # whoever opens the ledger to write says what is wrong with it
        return None


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
