"""From an entry to its bytes."""

from bulkload.source.folder import look_in_folder
from bulkload.source.interface import OpenFile, SmallFile, SourceChanged, Sources
from bulkload.source.local import SMALL_FILE_BYTES, LocalSource, look_in, look_of

__all__ = [
    "SMALL_FILE_BYTES",
    "LocalSource",
    "OpenFile",
    "SmallFile",
    "SourceChanged",
    "Sources",
    "look_in",
    "look_in_folder",
    "look_of",
]
