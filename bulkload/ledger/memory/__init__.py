"""The twin ledger: in memory, for those who run the engine without a disk.

What it answers to a message is what the other answers; one suite of tests holds both to it. It is written to be read:
rows are records in dictionaries, and a transaction is a copy of these.
"""

from bulkload.ledger.memory.ledger import MemoryLedger
from bulkload.ledger.memory.store import MemoryStore

__all__ = ["MemoryLedger", "MemoryStore"]
