"""Files that are protocol buffers, walked field by field: ONNX models and TensorFlow SavedModels.

What is looked for are the fields that a model must have, nothing else. Fields that nobody knows are skipped, as every
protobuf parser does: a real ONNX model begins with the eight characters `00000001`, which are just that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; the others are groups, which no model has
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10
MAX_FIELDS = 1_000_000

# Fields of onnx.ModelProto, onnx.GraphProto and tensorflow.SavedModel.
IR_VERSION, GRAPH, OPSET_IMPORT = 1, 7, 8
GRAPH_OUTPUT = 12
META_GRAPHS = 2
META_GRAPH_FIELDS = 20  # MetaGraphDef has far fewer


class WireError(ValueError):
    """The bytes are no protocol buffer."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its wire type, and where its content is."""

    number: int
    kind: int
    start: int
    end: int


def walk(stream: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields between two places of a stream, contents skipped. Raises WireError at the first that cannot be."""
    position = start
    for _ in range(MAX_FIELDS):
        if position == end:
            return
        stream.seek(position)
        tag = _varint(stream)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("a field without a number")
        content = stream.tell()
        if kind == VARINT:
            _varint(stream)
            position = stream.tell()
        elif kind == LENGTH:
            length = _varint(stream)
            content = stream.tell()
            position = content + length
        elif kind in FIXED_BYTES:
            position = content + FIXED_BYTES[kind]
        else:
            raise WireError(f"wire type {kind}")
        if position > end:
            raise WireError("it is truncated")
        yield Field(number, kind, content, position)
    raise WireError(f"more than {MAX_FIELDS} fields")


def onnx_fault(path: Path) -> str | None:
    """What is wrong with an ONNX model, None when nothing is. INFERENCE: no refusal was ever seen, nor its words."""
    with path.open("rb") as file:
        try:
            model = _last(file, 0, file.seek(0, SEEK_END), {IR_VERSION: VARINT, GRAPH: LENGTH, OPSET_IMPORT: LENGTH})
            for number, missing in ((IR_VERSION, "ir_version"), (GRAPH, "graph"), (OPSET_IMPORT, "opset_import")):
                if number not in model:
                    return f"The model file is not an ONNX model: it has no {missing}."
            graph = model[GRAPH]
            if not _last(file, graph.start, graph.end, {GRAPH_OUTPUT: LENGTH}):
                return "The model file is not an ONNX model: its graph has no output."
        except WireError as error:
            return f"The model file is not an ONNX model: {error}."
    return None


def is_saved_model(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` can be a saved_model.pb: it holds a graph."""
    stream = BytesIO(head)
    try:
        for field in walk(stream, 0, size):
            if field.number == META_GRAPHS and field.kind == LENGTH:
                first = next(walk(stream, field.start, field.end))
                return first.kind == LENGTH and first.number <= META_GRAPH_FIELDS
    except (WireError, StopIteration):
        return False
    return False


def _last(stream: BinaryIO, start: int, end: int, wanted: Mapping[int, int]) -> dict[int, Field]:
    """The last field of each wanted number. With another wire type than the wanted one it is a field nobody knows."""
    return {field.number: field for field in walk(stream, start, end) if wanted.get(field.number) == field.kind}


def _varint(stream: BinaryIO) -> int:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        byte = stream.read(1)
        if not byte:
            raise WireError("it is truncated")
        value |= (byte[0] & 0x7F) << (7 * index)
        if byte[0] < 0x80:
            return value
    raise WireError("a number that does not end")
