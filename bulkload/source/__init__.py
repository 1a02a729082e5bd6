"""From an entry to its bytes."""

from bulkload.source.local import (
    SMALL_FILE_BYTES,
    LocalFile,
    SmallFile,
    SourceChanged,
    digest_of,
    look_in,
    look_now,
    look_of,
    read_small,
)

__all__ = [
    "SMALL_FILE_BYTES",
    "LocalFile",
    "SmallFile",
    "SourceChanged",
    "digest_of",
    "look_in",
    "look_now",
    "look_of",
    "read_small",
]
