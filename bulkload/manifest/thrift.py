"""Thrift's compact protocol, as much of it as Parquet's descriptions need (thrift-compact-protocol.md)."""

from typing import Any

# Field id -> int, bytes, what is wanted of a struct, or that in a list.
Wanted = dict[int, Any]
_UNWANTED = object()
# What is wanted -> the kinds that it is written as.
_KINDS: dict[Any, tuple[int, ...]] = {int: (4, 5, 6), bytes: (8,), dict: (12,), list: (9,)}


class Cut(ValueError):
    """The bytes end within a value."""


class Thrift:
    """Thrift's compact protocol: structs as ``{field id: value}``, of the fields that are wanted."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def struct(self, wanted: "Wanted", depth: int = 0) -> dict[int, Any]:
        """The struct that begins here. See ``Wanted``."""
        if depth > 16:
            raise ValueError("it is nested too deep")
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else _signed(self._varint())
            inner = wanted.get(field, _UNWANTED)
            if kind not in _KINDS.get(type(inner) if isinstance(inner, dict | list) else inner, ()):
                inner = _UNWANTED  # another kind than it is written down for: whoever reads it passes over it, too
            value = self._value(kind, inner[0] if isinstance(inner, list) else inner, depth)
            if inner is not _UNWANTED:
                found[field] = value
        return found

    def _value(self, kind: int, wanted: Any, depth: int) -> Any:  # noqa: PLR0911 - a table of kinds
        if kind in (4, 5, 6):
            return _signed(self._varint())
        if kind == 8:
            return self._bytes(self._varint())
        if kind == 12:
            return self.struct(wanted if isinstance(wanted, dict) else {}, depth + 1)
        if kind in (9, 10):
            return self._list(wanted, depth)
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind == 7:
            return self._bytes(8)
        if kind == 11:
            return self._map(depth)
        raise ValueError(f"a value is of no known kind ({kind})")

    def _list(self, wanted: Any, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        kind = head & 15
        if count > len(self.data):
            raise ValueError("a list is longer than all")
        found = []
        for _ in range(count):
            # Truth values in lists are bytes.
            value = self._byte() if kind in (1, 2) else self._value(kind, wanted, depth)
            if wanted is not _UNWANTED and kind == 12:
                found.append(value)
        return found

    def _map(self, depth: int) -> None:
        count = self._varint()
        if count > len(self.data):
            raise ValueError("a map is longer than all")
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._value(kinds >> 4, _UNWANTED, depth)
            self._value(kinds & 15, _UNWANTED, depth)

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise Cut("it is cut off")
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            raise Cut("it is cut off")
        return self.data[self.at - count : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number has no end")


def _signed(zigzag: int) -> int:
    return (zigzag >> 1) ^ -(zigzag & 1)
