"""Manifests that are small on disk and large in memory: name -> a function that writes one, and words of the answer."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.memory import run_with_memory

NAMES = [f"m{number}" for number in range(1024)]
LARGE = "x" * (4 << 20)


def columns(count: int, **more: Any) -> pa.Table:
    return pa.table({"name": [f"m{number}" for number in range(count)], "path": ["model.onnx"] * count} | more)


def same_text(count: int) -> Any:
    """One large text, in every row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([LARGE]))


def write_arrow(path: Path, table: pa.Table, compression: Any = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)


def parquet_dictionary(path: Path) -> None:
    parquet.write_table(columns(20_000, version=same_text(20_000)), path, compression="zstd")


def parquet_pages(path: Path) -> None:
    zeros = pa.array(["0" * (100 << 20)])
    parquet.write_table(columns(1, version=zeros), path, compression="zstd", use_dictionary=False)


def parquet_prefixes(path: Path) -> None:
    shared = [LARGE[:1000_000] + f"{number}" for number in range(300)]
    encodings = {"name": "PLAIN", "path": "PLAIN", "version": "DELTA_BYTE_ARRAY"}
    table = columns(300, version=pa.array(shared))
    parquet.write_table(table, path, use_dictionary=False, column_encoding=encodings)


def parquet_nested(path: Path) -> None:
    many = pa.ListArray.from_arrays([0, 30_000_000], pa.nulls(30_000_000, pa.string()))
    parquet.write_table(columns(1, requirements=many), path)


def parquet_list_of_large_texts(path: Path) -> None:
    many = pa.ListArray.from_arrays([0, 100_000], same_text(100_000))
    parquet.write_table(columns(1, requirements=many), path)


def parquet_rows(path: Path) -> None:
    """Fifty million rows of which nothing is said."""
    schema = pa.schema([("name", pa.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for _ in range(5):
            writer.write_table(pa.table({"name": pa.nulls(10_000_000, pa.string())}), row_group_size=10_000_000)


def parquet_wide(path: Path) -> None:
    parquet.write_table(pa.table({f"c{number}": ["x"] for number in range(50_000)}), path)


def arrow_buffers(path: Path) -> None:
    write_arrow(path, columns(1, version=pa.array(["0" * (100 << 20)])), "zstd")


def arrow_dictionary(path: Path) -> None:
    write_arrow(path, columns(20_000, version=same_text(20_000)), "zstd")


def arrow_list_of_nothing(path: Path) -> None:
    nothing = pa.FixedSizeListArray.from_arrays(pa.nulls(1 << 30), 1 << 30)
    write_arrow(path, columns(1, requirements=nothing))


def arrow_rows(path: Path) -> None:
    write_arrow(path, pa.table({"name": pa.nulls(5_000_000)}))


def arrow_wide(path: Path) -> None:
    write_arrow(path, pa.table({f"c{number}": ["x"] for number in range(50_000)}))


def flat(begin: bytes, item: bytes, end: bytes = b"", size: int = 14_000_000) -> Callable[[Path], None]:
    """One item, again and again."""

    def write(path: Path) -> None:
        path.write_bytes(begin + item * (size // len(item)) + end)

    return write


def deep(begin: bytes, sign: bytes, size: int = 1_000_000) -> Callable[[Path], None]:
    return flat(begin, sign, size=size)


def labels(path: Path) -> None:
    row = {"name": "a", "path": "model.onnx", "labels": {f"label-{number}": "x" * 100 for number in range(10_000)}}
    line = json.dumps(row) + "\n"
    with path.open("w") as file:
        file.writelines(line for _ in range(30))


def laughs(path: Path) -> None:
    lines = ["- &a0 {name: a, path: model.onnx, requirements: [" + ", ".join(["x"] * 10) + "]}"]
    lines += [f"- &a{level} {{labels: [{', '.join([f'*a{level - 1}'] * 10)}]}}" for level in range(1, 30)]
    path.write_text("\n".join(lines) + "\n")


def merges(path: Path) -> None:
    big = ", ".join(f"k{number}: v" for number in range(50_000))
    path.write_text(f"- &m {{{big}}}\n" + "- [" + ", ".join(["{<<: *m}"] * 10_000) + "]\n")


def anchors(path: Path) -> None:
    with path.open("w") as file:
        file.writelines(f"- &a{number} x\n" for number in range(1_000_000))


def schemas(path: Path) -> None:
    """Each row has a schema of its own, of two megabytes."""
    with path.open("w") as file:
        for number in range(20):
            column = f"c{number}-"
            schema = {f"{column}{index}": "struct<a: list<float32>>" for index in range(40_000)}
            file.write(json.dumps({"name": f"m{number}", "path": "model.onnx", "input_schema": schema}) + "\n")


def base64_schema(path: Path) -> None:
    row = {"name": "a", "path": "model.onnx", "input_schema": base64.b64encode(shared_schema(100_000, 10)).decode()}
    path.write_text(json.dumps(row) + "\n")


def base64_metadata(path: Path) -> None:
    row = {"name": "a", "path": "model.onnx", "input_schema": base64.b64encode(shared_schema(1, 100_000)).decode()}
    path.write_text(json.dumps(row) + "\n")


def schema_file(path: Path) -> None:
    path.with_name("bomb.arrow").write_bytes(shared_schema(100_000, 10))
    path.write_text(json.dumps({"name": "a", "path": "model.onnx", "input_schema": "bomb.arrow"}) + "\n")


class Flatbuffer:
    """Tables and vectors, one after the other; what they name is filled in when all have their places."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.named: list[tuple[int, str]] = []

    def put(self, data: bytes) -> int:
        self.data.extend(bytes(-len(self.data) % 8))
        self.data.extend(data)
        return len(self.data) - len(data)

    def table(self, *fields: tuple[int, str, int | str]) -> int:
        """A table after its vtable. A field: slot, form, and the value or the name of what stands elsewhere."""
        offsets, size = [0] * (fields[-1][0] + 1), 4
        for slot, form, _ in fields:
            width = struct.calcsize(f"<{form}")
            offsets[slot] = size = -(-size // width) * width
            size += width
        vtable = self.put(struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), size, *offsets))
        at = self.put(bytes(size))
        struct.pack_into("<i", self.data, at, at - vtable)
        for slot, form, value in fields:
            if isinstance(value, str):
                self.named.append((at + offsets[slot], value))
            else:
                struct.pack_into(f"<{form}", self.data, at + offsets[slot], value)
        return at

    def vector(self, name: str, count: int) -> int:
        """The same table again and again."""
        at = self.put(struct.pack("<I", count) + bytes(4 * count))
        self.named.extend((at + 4 + 4 * number, name) for number in range(count))
        return at

    def whole(self, places: dict[str, int]) -> bytes:
        for where, name in self.named:
            struct.pack_into("<I", self.data, where, places[name] - where)
        return bytes(self.data) + bytes(-len(self.data) % 8)


def shared_schema(fields: int, pairs: int) -> bytes:
    """A schema message in which one field stands many times, with metadata in which one pair stands many times."""
    buffer = Flatbuffer()
    buffer.named.append((buffer.put(bytes(8)), "message"))
    places = {
        "message": buffer.table((0, "h", 4), (1, "B", 1), (2, "I", "schema")),
        "schema": buffer.table((1, "I", "fields")),
        "fields": buffer.vector("field", fields),
        "field": buffer.table(
            (0, "I", "text"), (1, "B", 1), (2, "B", 2), (3, "I", "integer"), (5, "I", "none"), (6, "I", "pairs")
        ),
        "integer": buffer.table((0, "i", 64), (1, "B", 1)),
        "none": buffer.vector("field", 0),
        "pairs": buffer.vector("pair", pairs),
        "pair": buffer.table((0, "I", "text"), (1, "I", "text")),
        "text": buffer.put(struct.pack("<I", 10_000) + b"k" * 10_000 + bytes(4)),
    }
    whole = buffer.whole(places)
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(whole)) + whole


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "dictionary.parquet": (parquet_dictionary, "is larger than 4 MiB"),
    "pages.parquet": (parquet_pages, "pages of more than 64 MiB"),
    "prefixes.parquet": (parquet_prefixes, ""),
    "nested.parquet": (parquet_nested, "nested values"),
    "texts.parquet": (parquet_list_of_large_texts, "is larger than 4 MiB"),
    "rows.parquet": (parquet_rows, "rows in"),
    "wide.parquet": (parquet_wide, "its footer has"),
    "buffers.arrow": (arrow_buffers, "more than 64 MiB in memory"),
    "dictionary.arrow": (arrow_dictionary, "is larger than 4 MiB"),
    "nothing.arrow": (arrow_list_of_nothing, "is larger than 4 MiB"),
    "rows.arrow": (arrow_rows, "rows in"),
    "wide.arrow": (arrow_wide, "columns"),
    "flat.yaml": (flat(b"", b"- a\n"), "is no object"),
    "flow.yaml": (flat(b"[", b"a,", b"]"), "is no object"),
    "item.yaml": (flat(b"- [", b"a,", b"]"), "holds more than 250,000 values"),
    "models.yaml": (flat(b"models:\n", b"- {}\n"), "is missing"),
    "names.yaml": (flat(b"", b"? {}\n: x\n"), "a key is no text"),
    "keys.yaml": (flat(b"", b"a: {}\n"), "more than 100,000 names"),
    "laughs.yaml": (laughs, "without end"),
    "merges.yaml": (merges, "without end"),
    "anchors.yaml": (anchors, "anchors name more than"),
    "deep.yaml": (deep(b"", b"["), "nested deeper"),
    "flat.json": (flat(b"[[]", b",[]", b"]", 16_000_000), "is no object"),
    "item.json": (flat(b'[{"labels": [[]', b",[]", b"]}]", 16_000_000), "holds more than 250,000 values"),
    "texts.json": (flat(b'["aa"', b',"bb"', b"]", 16_000_000), "is no object"),
    "keys.json": (flat(b'{"a": {}', b',"a": {}', b"}", 16_000_000), "more than 100,000 names"),
    "deep.json": (deep(b"", b"[", 200_000), "nested too deep"),
    "late.json": (flat(b'{"x": [1', b",1", b'], "models": []}', 16_000_000), "unknown key"),
    "flat.toml": (flat(b"models = [[]", b",[]", b"]", 16_000_000), "holds more than"),
    "tables.toml": (flat(b"", b"[[a]]\n", b"", 16_000_000), "holds more than"),
    "dots.toml": (flat(b"a", b".a", b" = 1\n", 16_000_000), "a key of more than 64 parts"),
    "few.toml": (flat(b"", b"[[a]]\n", b"", 700_000), "has no list"),
    "deep.toml": (deep(b"a = ", b"[", 100_000), "TOML"),
    "line.jsonl": (flat(b'{"labels": [[]', b",[]", b"]}\n", 4_000_000), "holds more than 250,000 values"),
    "keys.jsonl": (flat(b'{"a": 1', b',"b": 1', b"}\n", 4_000_000), "holds more than 250,000 values"),
    "deep.jsonl": (deep(b"", b'{"a":', 400_000), "nested too deep"),
    "endless.jsonl": (flat(b"", b"x" * 1000, b"", 100_000_000), "is longer than 4 MiB"),
    "labels.jsonl": (labels, "has 10,000 of them, more than 64"),
    "schemas.jsonl": (schemas, ""),
    "base64.jsonl": (base64_schema, "too large"),
    "metadata.jsonl": (base64_metadata, "too large"),
    "schema-file.jsonl": (schema_file, "too large"),
    "header.csv": (flat(b"name", b",a", b"\n", 4_000_000), "columns, more than 1,000"),
    "cells.csv": (flat(b"name,path\n", b"aa,", b"\n", 4_000_000), "cells, the header has 2"),
    "cell.csv": (flat(b'name,path,labels\na,model.onnx,"[[]', b",[]", b']"\n', 4_000_000), "more than 250,000 values"),
    "quote.csv": (flat(b'name,path\n"', b"x\n", b"", 100_000_000), "a cell is longer than 4 MiB"),
}
# These take no second.
QUICK = ("texts.parquet", "nothing.arrow", "laughs.yaml", "dots.toml", "line.jsonl", "base64.jsonl")


def bombs() -> Iterator[str]:
    """The names of all."""
    return iter(BOMBS)


def attack(path: Path) -> tuple[int, str, float]:
    """Exit code, what is said, and the most memory in MiB."""
    return run_with_memory("plan", path, "--offline", "--sandbox")
