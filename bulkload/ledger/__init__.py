"""The ledger: what became of every entry, in one SQLite file that one process writes, or in memory.

``interface`` has the messages by which it is spoken to.
"""

from bulkload.ledger.memory import MemoryLedger, MemoryStore
from bulkload.ledger.reader import LedgerReader
from bulkload.ledger.sqlite.heartbeat import Heartbeat
from bulkload.ledger.sqlite.ledger import Ledger
from bulkload.ledger.sqlite.lock import Holder, refuse_network_file_system
from bulkload.ledger.writer import LoopWriter

__all__ = [
    "Heartbeat",
    "Holder",
    "Ledger",
    "LedgerReader",
    "LoopWriter",
    "MemoryLedger",
    "MemoryStore",
    "refuse_network_file_system",
]
