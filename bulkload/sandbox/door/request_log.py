"""The request log: one JSON line a request, written before its answer leaves. It is what tests believe."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bulkload.core.bounds import LONGEST_LOGGED_CHARACTERS
from bulkload.system.private import make_private_folder, open_private

# Of the end of a log: longer than any line, each of whose characters may become ten bytes.
TAIL_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One request as the registry saw it.

    `seq` counts from 1 in the order of the log and goes on over restarts. `t` is when the request's head arrived:
    seconds since the epoch, taken from a clock that never goes backwards while one sandbox runs. `status` is null when
    no answer was given. `bytes` is what arrived of the body. `version_id` is the version that the request stored or
    asked about. `fate` is `answered`, `limited` (429 by a limit), `aborted` (the client went away in mid-body), or
    the name of the fault it met: `lost-answer`, `late`, `503` ...
    """

    seq: int
    t: float
    method: str
    path: str
    status: int | None
    bytes: int
    version_id: int | None
    fate: str


class SteadyClock:
    """Seconds since the epoch that never go backwards while the process lives, whatever happens to the wall clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.monotonic() + self._offset


class RequestLog:
    """Appends records. Each line is one write to the operating system: other processes read it at once; no fsync."""

    def __init__(self, path: Path) -> None:
        make_private_folder(path.parent)
        self._descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        self._seq = last_sequence_number(path)
        self._encoder = msgspec.json.Encoder()

    def write(
        self, *, t: float, method: str, path: str, status: int | None, size: int, version_id: int | None, fate: str
    ) -> None:
        """Append one record; `size` is the bytes of its body that arrived."""
        self._seq += 1
        record = LogRecord(self._seq, round(t, 6), _safe(method), _safe(path), status, size, version_id, fate)
        os.write(self._descriptor, self._encoder.encode(record) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _safe(text: str) -> str:
    """What a client has sent, so that no terminal obeys it when the log is looked at, and a line stays one."""
    short = text if len(text) <= LONGEST_LOGGED_CHARACTERS else f"{text[:LONGEST_LOGGED_CHARACTERS]}..."
    if short.isascii() and short.isprintable():
        return short
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in short
    )


def read_request_log(path: Path) -> list[LogRecord]:
    """All whole lines of a request log, also while it is being written."""
    text = path.read_bytes() if path.exists() else b""
    decoder = msgspec.json.Decoder(LogRecord)
    whole, _, _ = text.rpartition(b"\n")
    return [decoder.decode(line) for line in whole.splitlines() if line]


def last_sequence_number(path: Path) -> int:
    """The number of the last whole line, 0 for a log that is empty or not there. A torn last line is cut off."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        whole, _, torn = file.read().rpartition(b"\n")
        if torn:
            file.truncate(size - len(torn))
    line = whole.rpartition(b"\n")[2]
    return msgspec.json.decode(line, type=LogRecord).seq if line else 0
