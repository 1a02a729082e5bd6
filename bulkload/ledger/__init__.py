"""The ledger: one SQLite file that knows what became of every entry, written by one thread under one lock."""

from bulkload.ledger.reader import LedgerReader
from bulkload.ledger.sqlite.ledger import Ledger

__all__ = ["Ledger", "LedgerReader"]
