"""Protocol buffers, walked field by field and never decoded: ONNX models, TensorFlow SavedModels and graphs.

What is looked for are the fields that a model must have, or must not. Fields that nobody knows are skipped, as every
protobuf parser does: a real ONNX model begins with the eight characters `00000001`, which are just that.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

# Bytes from a place on, fewer where they end: what is read comes in as an argument.
ReadAt = Callable[[int, int], bytes]

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; the others are groups, which no model has
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10
MAX_FIELDS = 1_000_000
# Of a field the tag and the length are read; small ones come with their neighbours.
WINDOW_BYTES = 512

# Fields of onnx.ModelProto, onnx.GraphProto, onnx.TensorProto, tensorflow.SavedModel and tensorflow.NodeDef.
IR_VERSION, GRAPH, OPSET_IMPORT = 1, 7, 8
GRAPH_INITIALIZER, GRAPH_OUTPUT = 5, 12
# ONNX is at 13. A graph begins with nodes, or its name, or other lists; and no file is larger than this.
LATEST_IR_VERSION, GRAPH_BEGINNINGS, LARGEST_MODEL_BYTES = 50, b"\x0a\x12\x2a\x52\x5a\x62\x6a", 1 << 40
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION, EXTERNAL = 13, 14, 1
ENTRY_KEY, ENTRY_VALUE = 1, 2
META_GRAPHS = 2
META_GRAPH_FIELDS = 20  # MetaGraphDef has far fewer
LOCATION = b"location"
LONGEST_LOCATION_BYTES = 200


class WireError(ValueError):
    """The bytes are no protocol buffer."""


class Truncated(WireError):
    """A field says that it is longer than what holds it."""

    def __init__(self, number: int, content: int, missing: int) -> None:
        super().__init__("it is truncated")
        self.number = number
        # Where its content begins, and how much of that is not there.
        self.content = content
        self.missing = missing


class TooManyFields(WireError):
    """More fields than are looked at: nothing is known of the rest."""


class Field(NamedTuple):
    """One field: its number, its wire type, where its content is, and a number's value."""

    number: int
    kind: int
    start: int
    end: int
    value: int = 0


class Message:
    """Bytes that may be a protocol buffer, of a file or in memory. The fields of all walks together are bounded."""

    def __init__(self, read_at: ReadAt, size: int, *, most_fields: int = MAX_FIELDS, head: bytes = b"") -> None:
        """``head``: its beginning, where that is known already."""
        self.size = size
        self._read_at = read_at
        self._most_fields = self._left = most_fields
        self._window, self._window_start = head, 0

    def bytes_at(self, start: int, end: int) -> bytes:
        """What lies between two places."""
        return self._at(start, end - start)[: end - start]

    def walk(self, start: int = 0, end: int | None = None) -> Iterator[Field]:
        """The fields between two places, contents skipped. Raises WireError at the first that cannot be."""
        position, end = start, self.size if end is None else end
        while position != end:
            self._left -= 1
            if self._left < 0:
                raise TooManyFields(f"more than {self._most_fields} fields")
            tag, content = self._varint(position)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise WireError("a field without a number")
            value = 0
            if kind == VARINT:
                value, position = self._varint(content)
            elif kind == LENGTH:
                length, content = self._varint(content)
                position = content + length
            elif kind in FIXED_BYTES:
                position = content + FIXED_BYTES[kind]
            else:
                raise WireError(f"wire type {kind}")
            if position > end:
                raise Truncated(number, content, position - end)
            yield Field(number, kind, content, position, value)

    def last(self, start: int, end: int, wanted: Mapping[int, int]) -> dict[int, Field]:
        """The last field of each wanted number. With another wire type than the wanted one nobody knows it."""
        return {field.number: field for field in self.walk(start, end) if wanted.get(field.number) == field.kind}

    def _varint(self, position: int) -> tuple[int, int]:
        """A number and where it ends."""
        offset = position - self._window_start
        if 0 <= offset < len(self._window) and (byte := self._window[offset]) < 0x80:
            return byte, position + 1  # nearly all are such
        value = 0
        found = self._at(position, MAX_VARINT_BYTES)
        for index in range(MAX_VARINT_BYTES):
            if index >= len(found):
                raise WireError("it is truncated")
            byte = found[index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value, position + index + 1
        raise WireError("a number that does not end")

    def _at(self, position: int, size: int) -> bytes:
        """At least ``size`` bytes, unless the bytes end before."""
        offset = position - self._window_start
        if offset < 0 or offset + min(size, self.size - position) > len(self._window):
            self._window_start, offset = position, 0
            self._window = self._read_at(position, max(size, WINDOW_BYTES)) if position < self.size else b""
        return self._window[offset : offset + max(size, MAX_VARINT_BYTES)]


def onnx_fault(message: Message) -> str | None:
    """Why this is no ONNX model, None when it can be one."""
    try:
        model = message.last(0, message.size, {IR_VERSION: VARINT, GRAPH: LENGTH, OPSET_IMPORT: LENGTH})
        for number, missing in ((IR_VERSION, "ir_version"), (GRAPH, "graph"), (OPSET_IMPORT, "opset_import")):
            if number not in model:
                return f"it has no {missing}"
        graph = model[GRAPH]
        if not message.last(graph.start, graph.end, {GRAPH_OUTPUT: LENGTH}):
            return "its graph has no output"
    except WireError as error:
        return str(error)
    return None


def missing_bytes(message: Message) -> int:
    """How many bytes of an ONNX model's graph are not there; 0 where none are missing, or it may be something else."""
    version = 0
    try:
        for field in message.walk():
            if field.number == IR_VERSION and field.kind == VARINT:
                version = field.value
    except Truncated as cut:
        # Random bytes may look like a field that is too long: so much of an ONNX model's beginning they are not.
        begins = message.bytes_at(cut.content, cut.content + 1)
        is_model = 0 < version <= LATEST_IR_VERSION and begins != b"" and begins in GRAPH_BEGINNINGS
        return cut.missing if cut.number == GRAPH and is_model and cut.missing < LARGEST_MODEL_BYTES else 0
    except WireError:
        return 0
    return 0


def external_data(message: Message) -> str | None:
    """The file beside an ONNX model that holds a part of its weights; None where it names none, or is none."""
    try:
        for field in message.walk():
            if field.number == GRAPH and field.kind == LENGTH:
                for inner in message.walk(field.start, field.end):
                    if inner.number == GRAPH_INITIALIZER and inner.kind == LENGTH:
                        location = _location(message, inner)
                        if location is not None:
                            return location
    except WireError:
        return None
    return None


def _location(message: Message, tensor: Field) -> str | None:
    location, is_external = "", False
    for field in message.walk(tensor.start, tensor.end):
        if field.number == TENSOR_DATA_LOCATION and field.kind == VARINT:
            is_external = field.value == EXTERNAL
        elif field.number == TENSOR_EXTERNAL_DATA and field.kind == LENGTH:
            entry = message.last(field.start, field.end, {ENTRY_KEY: LENGTH, ENTRY_VALUE: LENGTH})
            key, value = entry.get(ENTRY_KEY), entry.get(ENTRY_VALUE)
            if key is None or value is None or key.end - key.start != len(LOCATION):
                continue
            if message.bytes_at(key.start, key.end) == LOCATION:
                end = min(value.end, value.start + LONGEST_LOCATION_BYTES)
                location = message.bytes_at(value.start, end).decode("utf-8", "replace")
    return location if is_external else None


def is_saved_model(message: Message) -> bool:
    """Whether it can be a saved_model.pb: it holds a graph."""
    try:
        for field in message.walk():
            if field.number == META_GRAPHS and field.kind == LENGTH:
                first = next(message.walk(field.start, field.end))
                return first.kind == LENGTH and first.number <= META_GRAPH_FIELDS
    except (WireError, StopIteration):
        return False
    return False


def is_graph(message: Message) -> bool:
    """Whether it is a tensorflow.GraphDef, such as a frozen graph: nodes first, each with its name and operation."""
    try:
        node = next(message.walk())
        if node.number != 1 or node.kind != LENGTH:
            return False
        fields = message.walk(node.start, node.end)
        name, operation = next(fields), next(fields)
        words = [message.bytes_at(field.start, min(field.end, field.start + 100)) for field in (name, operation)]
        numbers = [(field.number, field.kind) for field in (name, operation)]
        return numbers == [(1, LENGTH), (2, LENGTH)] and all(word.isascii() and word for word in words)
    except (WireError, StopIteration):
        return False
