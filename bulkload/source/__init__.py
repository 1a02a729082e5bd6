"""From an entry to its bytes."""

from bulkload.source.local import (
    SMALL_FILE_BYTES,
    LocalFile,
    SmallFile,
    SourceChanged,
    digest_of,
    read_small,
    stat_now,
    stat_of,
    stat_record,
)

__all__ = [
    "SMALL_FILE_BYTES",
    "LocalFile",
    "SmallFile",
    "SourceChanged",
    "digest_of",
    "read_small",
    "stat_now",
    "stat_of",
    "stat_record",
]
