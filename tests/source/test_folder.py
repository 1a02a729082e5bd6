"""A folder as a zip: the same bytes on every machine, of a known length, and never those of a folder that changed."""

import asyncio
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bulkload.source import LocalSource, SourceChanged
from tests.memory import needs_proc

PIECE = 1024
source = LocalSource(piece_size_bytes=PIECE)
BLOCK = 0xFFFF

CONTENTS = {
    "saved_model.pb": b"model",
    "assets/empty": b"",
    "variables/variables.data": bytes(range(256)) * 300,
    "a-b": b"before a/",
    "a/b": b"in a",
    "größe.txt": b"name",
}
# Of these files, whoever writes it, on whatever machine and Python.
DIGEST = "aebc7905bbb03a2fa014d7a82a32d8a273b0ec94fa5d834b6b7635b3711b1d42"


@pytest.fixture
def anyio_backend() -> str:
    """Folders are read in the threads of an asyncio loop."""
    return "asyncio"


def write(place: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", CONTENTS)


async def sent(place: Path, sources: LocalSource = source) -> bytes:
    """All pieces; what was said of them before and behind is true."""
    async with sources.open(f"{place}/") as opened:
        before = opened.look
        data = b"".join([bytes(piece) async for piece in opened.pieces()])
        assert opened.sha256 == hashlib.sha256(data).hexdigest()
    assert len(data) == before.size
    return data


def real_path(place: Path) -> str:
    return os.path.realpath(place)


async def digest(place: Path) -> str:
    return (await source.digest(f"{place}/"))[1]


# Right bytes, the same everywhere


@pytest.mark.anyio
async def test_it_is_a_zip_of_all_files_below_the_folders_name(folder: Path) -> None:
    data = await sent(folder)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == {
            f"model/{name}": content for name, content in CONTENTS.items()
        }
        assert opened.namelist() == sorted(opened.namelist(), key=str.encode)
    assert len(data) == source.look(f"{folder}/").size == (await source.look_now(f"{folder}/")).size


@pytest.mark.anyio
async def test_its_digest_is_the_one_of_these_files_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    """Touched, copied, written in another order, with other rights: no byte of it changes."""
    assert await digest(folder) == DIGEST
    before = source.look(f"{folder}/")
    os.utime(folder / "a-b", (1, 1))
    (folder / "a-b").chmod(0o755)
    assert source.look(f"{folder}/").mark != before.mark
    shutil.copytree(folder, tmp_path / "copy" / "model")
    write(tmp_path / "other" / "model", dict(reversed(CONTENTS.items())))
    for place in (folder, tmp_path / "copy" / "model", tmp_path / "other" / "model"):
        assert await digest(place) == DIGEST


@pytest.mark.anyio
async def test_a_small_one_is_the_same_read_whole(folder: Path) -> None:
    data = await sent(folder)
    small = await source.read_small(f"{folder}/")
    assert (small.data, small.look) == (data, source.look(f"{folder}/"))
    assert small.sha256 == DIGEST
    with pytest.raises(SourceChanged):
        await LocalSource(small_file_bytes=len(data) - 1).read_small(f"{folder}/")


@pytest.mark.anyio
@pytest.mark.parametrize("piece", [64, 65_535, 65_536, 1 << 20])
async def test_its_bytes_do_not_depend_on_the_pieces(piece: int, folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * 3 * BLOCK)
    assert await sent(folder, LocalSource(piece_size_bytes=piece)) == await sent(folder)


@pytest.mark.anyio
async def test_what_tools_leave_behind_is_left_out(folder: Path) -> None:
    left = ["__pycache__/a.txt", "a/x.pyc", ".git/HEAD", ".DS_Store", "__MACOSX/x", "a/.ipynb_checkpoints/x"]
    write(folder, dict.fromkeys(left, b"waste"))
    assert await digest(folder) == DIGEST


@pytest.mark.anyio
async def test_links_are_what_they_lead_to(folder: Path, tmp_path: Path) -> None:
    """The cache of Hugging Face consists of them."""
    snapshot = tmp_path / "snapshots" / "model"
    for name in CONTENTS:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(folder / name)
    assert await digest(snapshot) == DIGEST
    shutil.rmtree(snapshot)
    snapshot.symlink_to(folder)
    assert await digest(snapshot) == DIGEST


@pytest.mark.parametrize(
    "command",
    [["unzip", "-q", "ZIP", "-d", "OUT"], ["7z", "x", "-oOUT", "ZIP"], ["bsdtar", "-x", "-C", "OUT", "-f", "ZIP"]],
    ids=lambda command: command[0],
)
def test_others_unpack_it(command: list[str], folder: Path, tmp_path: Path) -> None:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    packed, out = tmp_path / "model.zip", tmp_path / "out"
    packed.write_bytes(asyncio.run(sent(folder)))
    out.mkdir()
    words = [word.replace("ZIP", str(packed)).replace("OUT", str(out)) for word in command[1:]]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([program, *words], check=True, capture_output=True, timeout=60, env=environment)
    assert {name: (out / "model" / name).read_bytes() for name in CONTENTS} == CONTENTS


_JAVA = """
import java.util.zip.*;
class Read { public static void main(String[] w) throws Exception {
  ZipInputStream in = new ZipInputStream(System.in);
  for (ZipEntry e; (e = in.getNextEntry()) != null;) System.out.println(in.readAllBytes().length);
} }
"""


def test_java_reads_it_from_a_stream(folder: Path, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed")
    (tmp_path / "Read.java").write_text(_JAVA)
    command = [java, str(tmp_path / "Read.java")]
    result = subprocess.run(command, input=asyncio.run(sent(folder)), capture_output=True, timeout=100, check=False)
    if b"compiler" in result.stderr:
        pytest.skip("java has no compiler")
    assert not result.stderr
    assert [int(line) for line in result.stdout.split()] == [len(CONTENTS[name]) for name in sorted(CONTENTS)]


# Never those of a folder that changed


def rewrite(place: Path) -> None:
    (place / "saved_model.pb").write_bytes(b"other")


def grow(place: Path) -> None:
    (place / "variables" / "variables.data").write_bytes(bytes(100_000))


def add(place: Path) -> None:
    (place / "new").write_bytes(b"new")


def remove(place: Path) -> None:
    (place / "a-b").unlink()


def swap(place: Path) -> None:
    (place / "new").write_bytes(b"other")
    (place / "new").replace(place / "saved_model.pb")


def vanish(place: Path) -> None:
    shutil.rmtree(place)


def spoil(place: Path) -> None:
    os.mkfifo(place / "pipe")


@pytest.mark.anyio
@pytest.mark.parametrize("change", [rewrite, grow, add, remove, swap, vanish, spoil])
@pytest.mark.parametrize("after", [0, 1, 20, 74])
async def test_a_change_is_noticed_before_the_last_piece(
    change: Callable[[Path], None], after: int, folder: Path
) -> None:
    """Whenever it comes: of what was read already, of what was not, of the list itself."""
    given = 0
    async with source.open(f"{folder}/") as opened:
        pieces = opened.pieces()
        for _ in range(after):
            given += len(await anext(pieces))
        change(folder)
        given += await failing(pieces)
        assert opened.sha256 is None
        assert given < opened.look.size
    assert not descriptors_of(folder)


async def failing(pieces: AsyncGenerator[bytes | memoryview]) -> int:
    """How many bytes still came, until it was said that it changed."""
    given = 0
    try:
        async for piece in pieces:
            given += len(piece)
    except (SourceChanged, OSError):
        return given
    raise AssertionError("it was not noticed")


def descriptors_of(folder: Path) -> list[str]:
    """What this process has open of it."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            targets.append(str(descriptor.readlink()))
    return [target for target in targets if str(folder) in target]


@pytest.mark.anyio
async def test_no_link_leads_out_of_the_root(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    inside = LocalSource(real_path(folder))
    assert hashlib.sha256(await sent(folder, inside)).hexdigest() == DIGEST
    (folder / "z").symlink_to(tmp_path / "secret")
    for ask in (inside.digest, inside.look_now, inside.read_small):
        with pytest.raises(OSError, match="--root"):
            await ask(f"{folder}/")


@pytest.mark.anyio
async def test_a_link_laid_while_it_is_read_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    async with LocalSource(real_path(folder), piece_size_bytes=PIECE).open(f"{folder}/") as opened:
        pieces = opened.pieces()
        await anext(pieces)
        (folder / "variables" / "variables.data").unlink()
        (folder / "variables" / "variables.data").symlink_to(tmp_path / "secret")
        await failing(pieces)


# Memory does not grow with it

_PROGRAM = """
import asyncio, sys
from pathlib import Path
from bulkload.source import LocalSource

print(*asyncio.run(LocalSource().digest(sys.argv[1])))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@needs_proc
def test_a_folder_of_400_mib_takes_less_than_100_mib(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "model").mkdir(exist_ok=True)
        with (tmp_path / "model" / name).open("wb") as file:
            file.truncate(200 << 20)
    command = [sys.executable, "-P", "-c", _PROGRAM, f"{tmp_path}/model/"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert int(result.stdout.split()[-1]) / 1024 < 100
