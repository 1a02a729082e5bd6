"""Files that mean harm, through the check of a manifest and through the sandbox's judge. Run as a program of its own.

    python -m tests.sandbox.hostile_models FOLDER SEED COUNT

It writes COUNT mutations of the sample models, and all crafted files, into FOLDER, one after the other, and prints one
JSON object: what went wrong, the largest memory of this process in bytes, and the longest time of a file in seconds.
What Python is asked to do meanwhile is watched by an audit hook.
"""

import io
import json
import pickle
import random
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.records import Entry, Notice, Problem
from bulkload.manifest import check
from bulkload.sandbox.judge.archives import NotAZipError
from bulkload.sandbox.judge.content import judge
from tests.memory import most_mebibytes

SAMPLES = Path(__file__).parents[2] / "manifests" / "models"
SCHEMA = {"x": "float32"}
SHOWN = ("onnx", "sklearn", "xgboost", "pytorch", "keras", "tensorflow", "custom", "python", "hugging-face-translation")
# Events that loading a model, or unpacking an archive, could not do without.
FORBIDDEN = (
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
    "socket.bind", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.chown",
    "shutil.unpack_archive", "ctypes.dlopen",
)  # fmt: skip
MODULE = "class I(Inference):\n    def _predict(self, input_data): ...\n"


class Trap:
    """Leaves a trace where it is loaded."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch executed",)


# Crafted files


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def bomb(name: str, method: int = zipfile.ZIP_DEFLATED, mebibytes: int = 300) -> bytes:
    """A member of zeros, far larger than the memory that the judge may have."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive, archive.open(name, "w", force_zip64=True) as member:
        for _ in range(mebibytes):
            member.write(bytes(1 << 20))
    return stream.getvalue()


def patched(content: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """A zip whose records say something else."""
    found, place = bytearray(content), content.rfind(mark)
    found[place + offset : place + offset + len(value)] = value
    return bytes(found)


def crafted_zips() -> Iterator[bytes]:
    plain = zip_of({"m/main.py": MODULE.encode(), "m/requirements.txt": b"numpy\n"})
    yield zip_of({"../../escaped.py": b"x", "/absolute.py": b"x", "..\\windows.py": b"x", "a/../../b.py": b"x"})
    yield zip_of({"m/" * 2000 + "deep.py": b"x = 1"})
    yield zip_of({"requirements.txt": b"-r ../../../etc/passwd\n@" + b"[" * 100_000, "m.py": MODULE.encode()})
    yield patched(plain, b"PK\x05\x06", 10, b"\xff\xff")
    yield patched(plain, b"PK\x05\x06", 12, b"\xff\xff\xff\xff")
    yield patched(plain, b"PK\x05\x06", 16, b"\xff\xff\xff\x7f")
    yield patched(plain, b"PK\x05\x06", 12, b"\x00\x00\x00\x80")
    yield patched(plain, b"PK\x05\x06", 20, b"\xff\xff")
    yield patched(plain, b"PK\x01\x02", 8, b"\x01\x00")  # encrypted
    yield patched(plain, b"PK\x01\x02", 10, b"\x0e\x00")  # lzma, it says
    yield patched(plain, b"PK\x01\x02", 24, b"\xff\xff\xff\xff")
    yield patched(plain, b"PK\x01\x02", 28, b"\xff\xff")
    yield patched(plain, b"PK\x01\x02", 42, b"\xff\xff\xff\xff")
    yield plain + plain
    yield b"PK\x03\x04" + b"PK\x01\x02" * 50_000 + b"PK\x05\x06" + bytes(18)
    yield b"PK\x03\x04" + b"PK\x05\x06" * 20_000


def crafted_bombs() -> Iterator[bytes]:
    for name in ("saved_model.pb", "main.py", "requirements.txt", "m/data.pkl"):
        yield bomb(name)
    yield bomb("main.py", zipfile.ZIP_BZIP2, 60)
    yield bomb("requirements.txt", zipfile.ZIP_LZMA, 60)
    yield zip_of({f"{n}.py": b"x = 1\n" for n in range(20_000)})


def crafted_modules() -> Iterator[bytes]:
    for source in (
        b"(" * 100_000, b"[" * 90 + b"]" * 90, b"-" * 400_000 + b"1", b"x = " + b"9" * 400_000, b"a." * 100_000 + b"b",
        b"class I(" + b"I," * 50_000 + b"): ...", b"\x00" * 1000, b"\xff" * 1000, b"# coding: rot13\nkynff",
        b"# -*- coding: no-such -*-\n", b"if x:\n" + b" " * 100_000, b"lambda: " * 20_000 + b"0", b"f'" + b"{" * 9000,
        "".join(f"class C{n}(C{(n + 1) % 3000}): ...\n" for n in range(3000)).encode(),
        "".join(f"class C{n}(C{n - 1}): ...\n" for n in range(1, 5000)).encode() + b"class D(C4999, Inference): ...\n",
        b"import os\nos.system('touch executed')\n", b"__import__('os').system('touch executed')\n",
    ):  # fmt: skip
        yield zip_of({"m.py": source, "requirements.txt": b""})
        yield source


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def crafted_messages() -> Iterator[bytes]:
    huge = varint((1 << 63) - 1)
    yield b"\x08\x08\x3a" + huge
    yield b"\x08\x08\x3a\x05\x2a" + huge
    yield b"\x08" + b"\xff" * 10 + b"\x01"
    yield b"\x3a\x00" * 200_000
    yield b"\x3a" + varint(600_000) + b"\x2a\x00" * 300_000 + b"location"
    inner = b""
    for _ in range(2000):
        inner = b"\x3a" + varint(len(inner)) + inner
    yield inner + b"location"
    entry = b"\x0a\x08location\x12" + varint(400_000) + b"\xe2\x80\xae\x1b]0;x\x07" + bytes(399_990)
    tensor = b"\x6a" + varint(len(entry)) + entry + b"\x70\x01"
    graph = b"\x2a" + varint(len(tensor)) + tensor
    yield b"\x08\x08\x3a" + varint(len(graph)) + graph
    yield b"\x08\x01\x12" + huge
    yield b"\x0a" + varint(60) + b"\x0a\x1b\x1b]0;title\x07" + bytes(60)
    yield struct.pack("<Q", (1 << 64) - 1) + b'{"a":1}'
    for version in range(16):
        head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(80))
        head[8] = version
        head[28:36] = head[40:48] = b"\xff" * 8
        yield bytes(head)
    yield b"\x89HDF\r\n\x1a\n"


def crafted_pickles() -> Iterator[bytes]:
    for protocol in range(6):
        yield pickle.dumps(Trap(), protocol)
    yield b"\x80\x04" + b"(" * 900_000 + b"t" * 900_000 + b"."
    yield b"\x80\x04]" + b"]a" * 400_000 + b"."
    yield b"\x80\x04N" + b"\x85" * 900_000 + b"."
    yield b"\x80\x04\x8e" + b"\xff" * 8 + b"."
    yield b"\x80\x02\x8b" + b"\xff\xff\xff\x7f" + b"."
    yield b"\x80\x04X" + b"\xff\xff\xff\xff" + b"."
    yield b"cos\nsystem\n(S'touch executed'\ntR."
    yield b"c" + b"a" * 2_000_000
    yield b"I" + b"9" * 2_000_000 + b"\n."
    yield b"\x80\x04\x95" + b"\xff" * 8 + b"NumpyArrayWrapper."
    yield zlib.compress(bytes(200 << 20), 9)


def crafted_texts() -> Iterator[bytes]:
    yield b"<!--" * 200_000
    yield b"<" * 100_000
    yield b"<!-- " + b"-" * 100_000
    yield b"../" * 1000
    yield b"outs:\n" * 100_000
    yield b"-" * 3000 + b"\nouts:\n" * 500
    yield b"version https://git-lfs.github.com/spec/v1\n" + b"\x1b]0;owned\x07" * 1000
    yield b"{" * 100_000
    yield b'{"a":' * 100_000
    yield b"[" * 100_000
    yield '<html>\u202e\u2066\u200b"quoted"</html>'.encode() * 10
    yield b"error: " * 100_000
    yield b"\n" * 100_000
    yield b" " * 4096 + b"<html>"
    yield "\ufeff".encode() * 2000
    yield b"\xff\xfe" * 2000
    yield b"404 " * 1000


def crafted() -> Iterator[bytes]:
    """All that are made quickly."""
    for make in (crafted_zips, crafted_modules, crafted_messages, crafted_pickles, crafted_texts):
        yield from make()


# Mutations


def samples() -> list[bytes]:
    return [path.read_bytes() for path in sorted(SAMPLES.iterdir()) if path.stat().st_size < 200_000]


def mutation(random_: random.Random, contents: list[bytes]) -> bytes:
    found = bytearray(random_.choice(contents))
    for _ in range(random_.randint(1, 4)):
        place, length = random_.randrange(len(found) + 1), random_.choice((1, 2, 4, 8, 64, 1000))
        kind = random_.randrange(8)
        if kind == 0:
            found[place : place + length] = random_.randbytes(length)
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            del found[place : place + length]
        elif kind == 3:
            found[place:place] = b"\xff" * length
        elif kind == 4:
            found[place:place] = bytes(length)
        elif kind == 5:
            found[place:place] = found[max(0, place - length) : place] * 3
        elif kind == 6:
            other = random_.choice(contents)
            found[place:] = other[random_.randrange(len(other)) :]
        elif found:
            found[place - 1 if place else 0] ^= 1 << random_.randrange(8)
    return bytes(found)


# The attacked


def through_the_check(path: Path, framework: str, manifest: Path) -> None:
    row = {"name": "a", "path": path.name, "framework": framework, "input_schema": SCHEMA, "output_schema": SCHEMA}
    manifest.write_text(json.dumps(row))
    for found in check(str(manifest), overrides={}, workspace="1", workspace_needed=True):
        if isinstance(found, Problem | Notice):
            assert str(found).isprintable(), found
            assert len(str(found)) < 1000, found
        else:
            assert isinstance(found, Entry)


def through_the_judge(path: Path, framework: str) -> None:
    for name in ("x.zip", "x.py"):
        try:
            judge(path, framework, name, strict=True)
        except NotAZipError:
            continue


def watch(told: list[str], folder: Path) -> None:
    """Note what Python is asked to do, from here on."""
    inside = str(folder.resolve())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            told.append(f"{event} {arguments!r:.200}")
        elif event == "open" and isinstance(arguments[0], str) and arguments[2] & 0o3:
            place = str(Path(arguments[0]).absolute())
            if not place.startswith((inside, "/tmp/bulkload", "/dev/null")):
                told.append(f"written: {place}")

    sys.addaudithook(hook)


def attack(folder: Path, contents: Iterator[bytes], told: list[str]) -> float:
    path, manifest, longest = folder / "model.bin", folder / "manifest.jsonl", 0.0
    assert set(SHOWN) <= FRAMEWORKS.keys()
    for number, content in enumerate(contents):
        path.write_bytes(content)
        for framework in SHOWN:
            began = time.process_time()
            tries: tuple[tuple[str, Callable[[], None]], ...] = (
                ("check", lambda: through_the_check(path, framework, manifest)),  # noqa: B023 - called at once
                ("judge", lambda: through_the_judge(path, framework)),  # noqa: B023 - called at once
            )
            for name, act in tries:
                try:
                    act()
                except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                    told.append(
                        f"{name}, {framework}, file {number}, {content[:40]!r}: {type(error).__name__}: {error}"
                    )
            longest = max(longest, time.process_time() - began)
    return longest


def main() -> None:
    """See the module."""
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    told: list[str] = []
    random_, contents = random.Random(seed), samples()
    mutated = (mutation(random_, contents) for _ in range(count))
    # The crafted ones are large: made one by one, and not in this process's share of memory.
    files = [folder.parent / "crafted" / f"{n:04}" for n in range(1000)]
    ready = (path.read_bytes() for path in files if path.is_file())
    watch(told, folder)
    longest = max(attack(folder, mutated, told), attack(folder, ready, told))
    sys.stdout.write(json.dumps({"told": told, "mebibytes": most_mebibytes(), "longest": longest}))


if __name__ == "__main__":
    main()
