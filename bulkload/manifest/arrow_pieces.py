"""Rows of Arrow a few at a time: as many as fit into memory when they are written out as Python's own values."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bulkload.core.bounds import LONGEST_LINE_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

# A value beside its text: what an object, and its place in a list, take at the least.
VALUE_BYTES = 16
MOST_ROWS = 1024


def is_plain(kind: "pa.DataType") -> bool:
    """Whether a type has values that an entry may have, and whose size can be told before they are written out."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return not types.is_nested(kind.value_type) and is_plain(kind.value_type)
    if types.is_struct(kind) or types.is_map(kind) or types.is_list(kind) or types.is_large_list(kind):
        return all(is_plain(kind.field(index).type) for index in range(kind.num_fields))
    if types.is_fixed_size_list(kind):
        return is_plain(kind.value_type)
    texts = types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    return texts or types.is_primitive(kind) or types.is_null(kind) or types.is_decimal(kind) or _is_fixed(kind)


def _is_fixed(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_fixed_size_binary(kind)


def validate(batch: "pa.RecordBatch") -> None:
    """Offsets that lead outside of a damaged file would crash the process, not raise. Raises ``ArrowInvalid``."""
    for column in batch.columns:
        _validate(column)


def _validate(column: "pa.Array[Any]") -> None:
    import pyarrow as pa

    # Text that is no UTF-8 is harmless as bytes: its row will be named.
    if pa.types.is_string(column.type):
        column.view(pa.binary()).validate(full=True)
    elif pa.types.is_large_string(column.type):
        column.view(pa.large_binary()).validate(full=True)
    elif isinstance(column, pa.DictionaryArray) and len(column) and column.indices.null_count < len(column):
        column.validate()
        column.indices.validate(full=True)
        highest, lowest = _compute().max(column.indices).as_py(), _compute().min(column.indices).as_py()
        if lowest < 0 or highest >= len(column.dictionary):
            raise pa.ArrowInvalid("an index leads outside of its dictionary")
        _validate(column.dictionary)
    else:
        column.validate(full=True)


def pieces(batch: "pa.RecordBatch") -> "Iterator[tuple[int, pa.RecordBatch | None]]":
    """The batch in pieces, each with the number of its first row; None in place of a row that is too large."""
    for start in range(0, batch.num_rows, MOST_ROWS):
        piece = batch.slice(start, MOST_ROWS)
        if sum(_size(column) for column in piece.columns) <= LONGEST_LINE_BYTES:
            yield start, piece
        else:
            for first, count in _runs(_sizes(piece)):
                yield start + first, piece.slice(first, count) if count else None


def _runs(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """First row and number of rows that are together small enough; none for a row that is not even alone."""
    first = total = 0
    for row, size in enumerate(sizes):
        if total + size > LONGEST_LINE_BYTES:
            if row > first:
                yield first, row - first
            first, total = row, 0
        if size > LONGEST_LINE_BYTES:
            yield row, 0
            first = row + 1
        else:
            total += size
    if first < len(sizes):
        yield first, len(sizes) - first


def _sizes(piece: "pa.RecordBatch") -> list[int]:
    """The size of each row."""
    sizes = [0] * piece.num_rows
    for column in piece.columns:
        lengths = _lengths(column)
        for row in range(piece.num_rows):
            sizes[row] += lengths[row] if lengths is not None else _size(column.slice(row, 1))
    return sizes


def _lengths(column: Any) -> list[int] | None:
    """The size of each text; None for what is no text."""
    import pyarrow as pa

    if isinstance(column, pa.DictionaryArray):
        if not _is_text(column.dictionary.type):
            return None
        lengths = _dictionary_lengths(column)
    elif _is_text(column.type):
        lengths = _compute().binary_length(column)
    else:
        return None
    return [VALUE_BYTES + (length or 0) for length in lengths.to_pylist()]


def _size(column: Any) -> int:
    """How many bytes the values are when each is written out."""
    import pyarrow as pa

    size = VALUE_BYTES * len(column)
    kind = column.type
    if isinstance(column, pa.DictionaryArray):
        return size + _dictionary_size(column)
    if pa.types.is_struct(kind):
        return size + sum(_size(inner) for inner in column.flatten())
    if isinstance(column, pa.MapArray):
        first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return size + sum(_size(inner.slice(first, last - first)) for inner in (column.keys, column.items))
    if pa.types.is_nested(kind):
        return size + _size(column.flatten())
    if pa.types.is_fixed_size_binary(kind):
        return size + kind.byte_width * len(column)
    return size + (_total(_compute().binary_length(column)) if _is_text(kind) else 0)


def _dictionary_size(column: Any) -> int:
    import pyarrow as pa

    kind = column.dictionary.type
    if pa.types.is_fixed_size_binary(kind):
        return kind.byte_width * len(column)
    return _total(_dictionary_lengths(column)) if _is_text(kind) and len(column.dictionary) else 0


def _dictionary_lengths(column: Any) -> Any:
    import pyarrow as pa

    return _compute().take(_compute().binary_length(column.dictionary).cast(pa.int64()), column.indices)


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _total(lengths: Any) -> int:
    return _compute().sum(lengths).as_py() or 0


def _compute() -> Any:
    """Arrow's functions; their types ask for more than is known here."""
    from pyarrow import compute

    return compute
