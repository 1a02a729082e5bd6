"""The work: model files and manifests, and the folder that they lie in."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkFailed
from benchmarks.progress import dot

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# The largest files are sparse; the ledger of a million entries is what takes room.
FREE_BYTES_NEEDED = 8 * GIB
FILES_A_DOT, ENTRIES_A_DOT = 2_000, 100_000


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A folder on a real disk for everything that a benchmark writes; gone afterwards, however it ends."""
    parent = parent.resolve()
    parent.mkdir(parents=True, exist_ok=True)
    if _file_system(parent) in {"tmpfs", "ramfs"}:
        raise BenchmarkFailed(f"{parent} is in memory, where a ledger costs nothing: name another with --folder")
    if shutil.disk_usage(parent).free < FREE_BYTES_NEEDED:
        raise BenchmarkFailed(f"{parent} has less than {FREE_BYTES_NEEDED // GIB} GiB free: name another with --folder")
    with tempfile.TemporaryDirectory(prefix="work-", dir=parent) as folder:
        yield Path(folder)


def _file_system(path: Path) -> str:
    """The type of the file system that a folder lies on, as the kernel names it."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    # The longest mount point wins, and of one that was mounted over, the last.
    around = [mount for mount in mounts if path.is_relative_to(mount[0])]
    return max(enumerate(around), key=lambda found: (len(found[1][0]), found[0]))[1][1]


@dataclass(frozen=True)
class Models:
    """Files of one size, each a model named after it, and the manifest that lists them."""

    manifest: Path
    files: list[Path]
    file_bytes: int

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.files)

    @property
    def total_bytes(self) -> int:
        """All of them together."""
        return self.count * self.file_bytes


def make_models(folder: Path, count: int, file_bytes: int) -> Models:
    """Distinct files: small ones of random bytes; others sparse, so that reading them is no matter of the disk."""
    folder.mkdir()
    chance = random.Random(7)  # noqa: S311 - the same files every time
    files = [folder / f"model-{number}.onnx" for number in range(1, count + 1)]
    for number, file in enumerate(files, start=1):
        with file.open("wb") as stream:
            stream.write(chance.randbytes(min(file_bytes, 2 * KIB)))
            stream.truncate(file_bytes)
        if number % FILES_A_DOT == 0:
            dot()
    manifest = folder / "manifest.jsonl"
    write_manifest(manifest, ((file.stem, file.name) for file in files))
    return Models(manifest=manifest, files=files, file_bytes=file_bytes)


def write_manifest(path: Path, entries: Iterable[tuple[str, str]]) -> None:
    """JSON lines of name and path."""
    with path.open("w") as stream:
        for number, (name, file) in enumerate(entries, start=1):
            stream.write(json.dumps({"name": name, "path": file}) + "\n")
            if number % ENTRIES_A_DOT == 0:
                dot()
