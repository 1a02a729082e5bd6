"""The ledger: one SQLite file that knows what became of every entry, written by one thread under one lock."""

from bulkload.ledger.ledger import Ledger
from bulkload.ledger.reading import LedgerReader

__all__ = ["Ledger", "LedgerReader"]
