"""Zips that somebody sent: read within bounds, whatever they claim, and never unpacked."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkload.sandbox.judge import archives
from bulkload.sandbox.judge.archives import ArchiveError, NotAZipError, open_archive
from bulkload.sandbox.judge.content import judge

MEBIBYTE = 1024 * 1024


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(content)
    return path


def zip_with(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_a_bomb_is_read_no_further_than_asked(tmp_path: Path) -> None:
    """64 MiB of nothing in 64 kB: neither when it says so nor when it claims to be small."""
    honest = zip_with("main.py", bytes(64 * MEBIBYTE))
    lying = honest.replace(struct.pack("<I", 64 * MEBIBYTE), struct.pack("<I", 100_000))
    for content in (honest, lying):
        path = written(tmp_path, content)
        tracemalloc.start()
        try:
            with open_archive(path) as archive:
                assert archive.read("main.py", 50_000) == bytes(50_000)
            assert not judge(path, "custom", "x.zip", strict=False).ok
            assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
        finally:
            tracemalloc.stop()


def test_all_members_together_are_bounded_too(
    tmp_path: Path, zipped: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small ones are a bomb as well."""
    monkeypatch.setattr(archives, "MAX_READ_BYTES", 1000)
    path = written(tmp_path, zipped({f"{number}.py": "#" * 300 for number in range(5)}))
    with open_archive(path) as archive:
        assert [len(archive.read(name, 300)) for name in archive.names] == [300, 300, 300, 100, 0]


@pytest.mark.parametrize("bound", ["MAX_MEMBERS", "MAX_DIRECTORY_BYTES"])
def test_too_many_members_are_refused(
    tmp_path: Path, zipped: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """By their number, and before that by the size of the directory, which is not read."""
    monkeypatch.setattr(archives, bound, 100)
    path = written(tmp_path, zipped({f"{number}.py": "" for number in range(101)}))
    with pytest.raises(ArchiveError, match="100"), open_archive(path):
        pass
    found = judge(path, "custom", "x.zip", strict=True)
    assert "cannot be unpacked" in (found.error_summary or "")


def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path: Path, zipped: Callable[..., bytes]) -> None:
    """Nothing is unpacked: judging a file leaves the disk as it was."""
    names = ["../../above.py", "/etc/absolute.py", "a/../../b.py", "./c.py"]
    path = written(tmp_path, zipped(dict.fromkeys(names, "def process_data(x): ...")))
    with open_archive(path) as archive:
        assert archive.names == ["above.py", "etc/absolute.py", "a/b.py", "c.py"]
        assert archive.read("above.py", 3) == b"def"
    assert judge(path, "python", "x.zip", strict=True).ok
    assert list(tmp_path.rglob("*")) == [path]


def test_junk_of_packers_and_folders_are_no_files(tmp_path: Path, zipped: Callable[..., bytes]) -> None:
    """What macOS adds to every zip."""
    path = written(tmp_path, zipped({"a/": "", "__MACOSX/a/._b": "x", "a/.DS_Store": "x", "a/b": "x", "../": ""}))
    with open_archive(path) as archive:
        assert archive.names == ["a/b"]


def test_a_method_without_a_bound_is_not_read(tmp_path: Path) -> None:
    """zipfile decompresses bzip2 and lzma whole."""
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = written(tmp_path, zip_with("main.py", b"x = 1", method))
        with open_archive(path) as archive, pytest.raises(ArchiveError, match="compression method"):
            archive.read("main.py", 100)


def test_an_encrypted_file_is_not_read(tmp_path: Path) -> None:
    """There is no password."""
    content = bytearray(zip_with("main.py", b"x = 1", zipfile.ZIP_STORED))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with open_archive(written(tmp_path, bytes(content))) as archive, pytest.raises(ArchiveError, match="encrypted"):
        archive.read("main.py", 100)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + b"\xff" * 18, b"PK\x05\x06" + bytes(9)]
)
def test_what_is_no_zip_is_told_apart(tmp_path: Path, content: bytes) -> None:
    """It is refused at once instead of ending in `error`."""
    with pytest.raises(NotAZipError), open_archive(written(tmp_path, content)):
        pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_zip_is_judged_or_refused_and_nothing_else(
    tmp_path: Path, zipped: Callable[..., bytes], model: Callable[[str], bytes], changes: list[tuple[int, int]]
) -> None:
    """Any bytes changed anywhere: no other exception comes out."""
    for framework in ("custom", "pytorch", "tensorflow", "vllm"):
        content = bytearray(model(framework))
        for place, value in changes:
            content[place % len(content)] = value
        path = written(tmp_path, bytes(content))
        try:
            judge(path, framework, "x.zip", strict=True)
        except NotAZipError:
            assert framework in {"custom", "vllm"}
