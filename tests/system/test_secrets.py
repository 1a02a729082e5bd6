"""Secrets out of files and programs: what is taken, what is refused, and what neither may cost."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from bulkload.core.bounds import LARGEST_SECRET_BYTES
from bulkload.core.model.errors import NotAuthorised, UsageError
from bulkload.system.secrets import exposed_to, read_secret_file, secret_line, secret_of_command
from tests.memory import needs_proc, run_with_memory

pytestmark = pytest.mark.anyio


async def printed_by(command: str, seconds: float = 60) -> str:
    with anyio.fail_after(60):
        return await secret_of_command(command, "--token-command", seconds)


@pytest.mark.parametrize(
    "content",
    [
        b"word",
        b"word\n",
        b"word\r\n",
        b"word\r\n\r\n",
        b"\n\nword\n",
        b"\xef\xbb\xbfword\r\n",
        "\N{ZERO WIDTH NO-BREAK SPACE}word\n".encode("utf-16-le"),
        "\N{ZERO WIDTH NO-BREAK SPACE}word\r\n".encode("utf-16-be"),
    ],
)
async def test_what_an_editor_adds_is_none_of_the_secret(content, tmp_path):
    """Byte order marks and the ends of lines, in files and in what a program prints."""
    (tmp_path / "secret").write_bytes(content)
    assert secret_line(read_secret_file(tmp_path / "secret", "the password")) == "word"
    assert secret_line(await printed_by(f"cat '{tmp_path}/secret'")) == "word"


@pytest.mark.parametrize("words", [" blanks inside and around ", "\ttab", "ü", "\N{NO-BREAK SPACE}x"])
async def test_blanks_may_be_the_secrets(words):
    assert secret_line(f"{words}\r\n") == words


async def test_kubernetes_mounts_secrets_as_links(tmp_path):
    """The file is a link into a folder that is a link."""
    (tmp_path / "..2026_01_06").mkdir()
    (tmp_path / "..2026_01_06" / "token").write_text("word")
    (tmp_path / "..data").symlink_to("..2026_01_06")
    (tmp_path / "token").symlink_to("..data/token")
    assert read_secret_file(tmp_path / "token", "the token") == "word"


async def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    """Devices without end, pipes without a writer, terminals."""
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", "/dev/urandom", "/dev/tty", "/dev/null", tmp_path / "pipe", tmp_path):
        with pytest.raises(UsageError, match="the token cannot be read") as raised:
            read_secret_file(Path(path), "the token")
        assert str(path) in str(raised.value)


async def test_a_pipe_is_refused_with_what_to_do_instead(tmp_path):
    """Of `<(...)` and of /dev/stdin: it can be read once, and a secret is read anew when it is needed again."""
    read, write = os.pipe()
    os.write(write, b"word\n")
    with pytest.raises(UsageError, match=r"only once.*BULKLOAD_PASSWORD.*--token-command"):
        read_secret_file(Path(f"/proc/self/fd/{read}" if sys.platform == "linux" else f"/dev/fd/{read}"), "the token")
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("size", [LARGEST_SECRET_BYTES + 1, 1 << 32])
async def test_a_file_that_is_no_secret_for_its_size(size, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    with pytest.raises(UsageError, match="more than 64 KiB"):
        read_secret_file(tmp_path / "large", "the token")


async def test_the_longest_secret_is_read_whole(tmp_path):
    (tmp_path / "long").write_text("x" * LARGEST_SECRET_BYTES)
    assert read_secret_file(tmp_path / "long", "the token") == "x" * LARGEST_SECRET_BYTES
    assert await printed_by(f"cat '{tmp_path}/long'") == "x" * LARGEST_SECRET_BYTES


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\x00b", b"\xff\xfe\x00\xd8", b"\xe4"])
async def test_what_is_no_text_is_no_secret(content, tmp_path):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(UsageError, match="no text"):
        read_secret_file(tmp_path / "secret", "the token")
    with pytest.raises(NotAuthorised, match="printed no text"):
        await printed_by(f"cat '{tmp_path}/secret'")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o600, None),
        (0o400, None),
        (0o644, "may read"),
        (0o640, "may read"),
        (0o666, "may change"),
        (0o620, "may change"),
    ],
)
async def test_who_else_may_read_or_change_a_secret_is_said(mode, words, tmp_path):
    (tmp_path / "secret").write_text("word")
    (tmp_path / "secret").chmod(mode)
    found = exposed_to(tmp_path / "secret")
    assert found is None if words is None else words in (found or "")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[int]:
    """The end of the named pipe `held`: it ends when everybody has died who was started with its other end open."""
    os.mkfifo(tmp_path / "held")
    descriptor = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


async def nobody_holds(descriptor: int) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                piece = os.read(descriptor, 100)
            except BlockingIOError:
                await anyio.sleep(0.01)
                continue
            if not piece:
                return


async def test_what_a_command_leaves_behind_ends_with_it(held, tmp_path):
    """It holds the standard output open, too, and nobody waits for that."""
    assert await printed_by(f"exec 3> '{tmp_path}/held'; echo ready >&3; sleep 1000 & echo word") == "word\n"
    await nobody_holds(held)


@pytest.mark.parametrize(
    "command", ["sleep 1000 & sleep 1000", "trap '' TERM INT HUP; sleep 1000 & while :; do :; done"]
)
async def test_a_command_that_takes_too_long_ends_with_all_that_it_started(command, held, tmp_path):
    with pytest.raises(NotAuthorised, match="printed no token within"):
        await printed_by(f"exec 3> '{tmp_path}/held'; {command}", seconds=0.3)
    await nobody_holds(held)


async def test_a_command_that_is_waited_for_no_more_ends(held, tmp_path):
    """As when the run is stopped."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(printed_by, f"exec 3> '{tmp_path}/held'; echo ready >&3; sleep 1000 & wait")
        with anyio.fail_after(60):
            await anyio.wait_readable(held)
        tasks.cancel_scope.cancel()
    await nobody_holds(held)


@pytest.mark.parametrize("command", ["cat /dev/zero", "yes", "head -c 70000 /dev/zero"])
async def test_a_command_that_prints_without_end_is_ended(command):
    with pytest.raises(NotAuthorised, match="more than 64 KiB"):
        await printed_by(command)


async def test_a_command_may_complain_as_much_as_it_likes():
    """Nothing is kept of it but the beginning, and it need not wait for a reader."""
    assert await printed_by("head -c 10000000 /dev/zero >&2; echo word") == "word\n"
    with pytest.raises(NotAuthorised, match="ended with 3: xxx") as raised:
        await printed_by("head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 3")
    assert len(str(raised.value)) < 1000


@needs_proc
@pytest.mark.parametrize(
    "flags",
    [
        ("--token-command", "cat /dev/zero"),
        ("--token-command", "head -c 1000000000 /dev/zero >&2; exit 1"),
        ("--token-file", "/dev/zero"),
        ("--token-file", "large"),
    ],
)
def test_no_secret_costs_more_than_200_megabytes(flags, tmp_path):
    """From the command line, as a whole process."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 32)
    # Where nobody listens: a token is got before a connection is made.
    code, _, mebibytes = run_with_memory("whoami", "--endpoint", "http://127.0.0.1:9", *flags, cwd=tmp_path)
    assert code in (2, 5)
    assert mebibytes < 200
