"""Secrets out of files and programs: the one way, bounded in size and time, and never read as anything but text."""

import codecs
import errno
import os
import re
import signal
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL

import anyio
from anyio.abc import Process

from bulkload.core.bounds import LARGEST_SECRET_BYTES, LONGEST_MESSAGE_CHARACTERS
from bulkload.core.model.errors import NotAuthorised, UsageError

# What is read of a pipe at a time.
PIECE_BYTES = 64 << 10
# What a program says is shown in one line. A character has four bytes at the most.
_MOST_COMPLAINT_BYTES = 4 * LONGEST_MESSAGE_CHARACTERS
# Longer marks first: that of UTF-16 is the beginning of none of the others.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LINE_END = re.compile(r"[\r\n]+")
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

# A pipe gives what it holds once, and a secret is read anew when it is needed again.
_ONCE = (
    "is a pipe, which can be read only once, while this is read again when it is needed again; write it to a file, give"
    " it in a variable (BULKLOAD_TOKEN, BULKLOAD_PASSWORD, BULKLOAD_CLIENT_SECRET), or use --token-command"
)


def read_secret_file(path: Path, what: str) -> str:
    """The text of a file that holds a secret; ``what`` names it for people, such as "the token".

    Links are followed: Kubernetes mounts secrets as links. Raises ``UsageError`` for what is no regular file, is
    longer than a secret can be, or is no text; what was read is not shown.
    """
    try:
        path = Path(path)
        # Before it is opened: to open a device may be an act.
        _regular(path.stat(), path, what)
        # O_NONBLOCK: it may have been replaced by a pipe meanwhile.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            _regular(os.fstat(descriptor), path, what)
            content = b""
            while len(content) <= LARGEST_SECRET_BYTES and (piece := file.read(PIECE_BYTES)):
                content += piece
    except OSError as error:
        raise UsageError(f"{path}: {what} cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_SECRET_BYTES:
        raise UsageError(f"{path}: {what} cannot be read (more than {LARGEST_SECRET_BYTES >> 10} KiB); name its file")
    try:
        return _text(content)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: {what} cannot be read (no text)") from None


def secret_line(words: str) -> str:
    """A secret without a byte order mark and without the line's end that editors and `echo` write.

    Of several lines the first that holds anything. Blanks may be the secret's.
    """
    return _LINE_END.split(words.removeprefix(_BYTE_ORDER_MARK).strip("\r\n"))[0]


def refuse_irregular(path: Path | None, what: str) -> None:
    """For libraries that open a file by themselves: raise ``UsageError`` for a pipe, which would be waited for."""
    if path is not None and path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no regular file; name a file with {what}")


def exposed_to(path: Path) -> str | None:
    """Who besides its owner may read or change a file with a secret, for people; None where nobody may.

    The group of a file that belongs to somebody else is how this user gets at it, as in Kubernetes.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in {0, os.geteuid()}:
        return "its owner is another user, who may change it"
    if mode & 0o022:
        return f"others may change it (mode {mode:04o})"
    if mode & 0o004 or (mode & 0o040 and found.st_uid == os.geteuid()):
        return f"others may read it (mode {mode:04o})"
    return None


async def secret_of_command(command: str, flag: str, seconds: float) -> str:
    """What a shell command prints. It gets no input, and ends with everything that it started.

    Raises ``NotAuthorised`` where it fails, takes longer than ``seconds`` or prints more than a secret can be; what it
    printed is not shown, what it complains about is. ``flag`` names it for people.
    """
    async with _pipe() as (printed, output), _pipe() as (complaints, errors):
        out, err = _Kept(printed, LARGEST_SECRET_BYTES), _Kept(complaints, _MOST_COMPLAINT_BYTES)
        async with _started(command, flag, output, errors) as process, anyio.create_task_group() as readers:
            output.close()
            errors.close()
            readers.start_soon(out.read)
            readers.start_soon(err.read)
            code: int | None = None
            with anyio.move_on_after(seconds):
                code = await _end_of(process, out)
            # Whoever was left behind holds the pipes open: what is wanted is in them by now.
            readers.cancel_scope.cancel()
        out.drain()
        err.drain()
    if out.is_full:
        raise NotAuthorised(f"{flag} printed more than {LARGEST_SECRET_BYTES >> 10} KiB, which is no token")
    if code is None:
        raise NotAuthorised(f"{flag} printed no token within {seconds:g} s")
    if code != 0:
        said = " ".join(bytes(err.content).decode(errors="replace").split())[:LONGEST_MESSAGE_CHARACTERS]
        raise NotAuthorised(f"{flag} ended with {code}: {said}")
    try:
        return _text(bytes(out.content))
    except UnicodeDecodeError:
        raise NotAuthorised(f"{flag} printed no text") from None


async def _end_of(process: Process, out: "_Kept") -> int | None:
    """The exit code of a process; None where it printed too much before it ended."""
    code: int | None = None

    async def wait(scope: anyio.CancelScope) -> None:
        nonlocal code
        code = await process.wait()
        scope.cancel()

    async with anyio.create_task_group() as either:
        either.start_soon(wait, either.cancel_scope)
        await out.full.wait()
        either.cancel_scope.cancel()
    return code


@asynccontextmanager
async def _started(command: str, flag: str, output: "_End", errors: "_End") -> AsyncGenerator[Process]:
    """The command in a process group of its own, all of which is ended with the block."""
    try:
        # Cancelled while it starts, it would be left running.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                ["/bin/sh", "-c", command],
                stdin=DEVNULL,
                stdout=output.descriptor,
                stderr=errors.descriptor,
                start_new_session=True,
            )
    except OSError as error:
        raise NotAuthorised(f"{flag} cannot be started ({error.strerror})") from None
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.wait()


class _End:
    """One end of a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)


@asynccontextmanager
async def _pipe() -> AsyncGenerator[tuple[_End, _End]]:
    """Both ends of a pipe; that for reading never blocks."""
    ends = tuple(map(_End, os.pipe()))
    os.set_blocking(ends[0].descriptor, False)
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.close()


class _Kept:
    """What comes out of a pipe: kept up to a bound, and read on and forgotten beyond it, lest the writer wait."""

    def __init__(self, end: _End, most: int) -> None:
        self.content = bytearray()
        # More came than was kept.
        self.full = anyio.Event()
        self._end = end
        self._most = most

    @property
    def is_full(self) -> bool:
        return self.full.is_set()

    async def read(self) -> None:
        """Until the pipe ends."""
        while self._take():
            await anyio.wait_readable(self._end.descriptor)

    def drain(self) -> None:
        """What is in the pipe now, as far as it is kept: somebody may go on writing."""
        while not self.is_full and self._take(until_empty=True):
            pass

    def _take(self, *, until_empty: bool = False) -> bool:
        """Read once. Whether more may come; ``until_empty``: whether more may be there."""
        try:
            piece = os.read(self._end.descriptor, PIECE_BYTES)
        except BlockingIOError:
            return not until_empty
        room = self._most - len(self.content)
        self.content += piece[:room]
        if len(piece) > room:
            self.full.set()
        return bool(piece)


def _regular(found: os.stat_result, path: Path, what: str) -> None:
    """Raise ``UsageError`` for what is no regular file, ``OSError`` for a folder."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISFIFO(found.st_mode):
        raise UsageError(f"{path}: {what} cannot be read: it {_ONCE}")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: {what} cannot be read: it is no regular file; name a file that holds it")


def _text(content: bytes) -> str:
    """Text in UTF-8, or in what its byte order mark says. Raises ``UnicodeDecodeError``, also for a NUL."""
    for mark, encoding in _MARKS:
        if content.startswith(mark) and (encoding == "utf-8" or len(content) > len(mark)):
            text = content.removeprefix(mark).decode(encoding)
            break
    else:
        text = content.decode()
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", content, 0, 1, "a NUL")
    return text
