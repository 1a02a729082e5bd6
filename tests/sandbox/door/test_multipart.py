"""The multipart parser: the same events however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.sandbox.door.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
    parse_part_headers,
)

Parts = list[tuple[PartBegin, bytes]]


def body_of(parts: list[tuple[str, str | None, bytes]], boundary: str = "xyz") -> bytes:
    pieces = []
    for name, file_name, data in parts:
        file = "" if file_name is None else f'; filename="{file_name}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nX-Other: 1\r\n\r\n'
        pieces.append(head.encode() + data + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def parse(body: bytes, cuts: list[int], boundary: str = "xyz") -> tuple[Parts, bool]:
    parser = MultipartParser(boundary)
    parts: list[tuple[PartBegin, bytearray]] = []
    ended = 0
    edges = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    for start, end in pairwise(edges):
        for event in parser.feed(body[start:end]):
            if isinstance(event, PartBegin):
                parts.append((event, bytearray()))
            elif isinstance(event, PartData):
                parts[-1][1].extend(event.data)
            else:
                assert isinstance(event, PartEnd)
                ended += 1
    assert ended <= len(parts)
    return [(begin, bytes(data)) for begin, data in parts], parser.complete


# Bytes that look like the beginning of a boundary are the hard ones.
HARD = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--xy", b"\r\n--xy", b"a", b"\r\n", b"\0"]), max_size=30).map(
    b"".join
)


@given(
    HARD.filter(lambda data: b"\r\n--xyz" not in b"\r\n" + data),
    HARD.filter(lambda data: b"\r\n--xyz" not in b"\r\n" + data),
    st.lists(st.integers(0, 400), max_size=40),
)
def test_any_cut_gives_the_same_parts(first: bytes, second: bytes, cuts: list[int]) -> None:
    """Pieces may end anywhere: within a boundary, within the headers."""
    body = body_of([("metadata", None, first), ("file", "a.zip", second)])
    expected = [(PartBegin("metadata", None), first), (PartBegin("file", "a.zip"), second)]
    assert parse(body, cuts) == (expected, True)
    assert parse(body, list(range(len(body)))) == (expected, True)


@given(st.integers(0, 200))
def test_a_cut_body_is_not_complete(length: int) -> None:
    """However much is missing."""
    body = body_of([("metadata", None, b"{}"), ("file", "a.zip", b"bytes")]).removesuffix(b"--\r\n")
    assert parse(body[:length], [])[1] is False


def test_preamble_and_epilogue_are_ignored() -> None:
    """As RFC 2046 allows."""
    body = b"preamble\r\n" + body_of([("file", "a", b"1")]) + b"epilogue"
    assert parse(body, []) == ([(PartBegin("file", "a"), b"1")], True)


@pytest.mark.parametrize(
    ("header", "file_name"),
    [
        ('form-data; name="file"; filename="/home/me/x.zip"', "/home/me/x.zip"),
        ('form-data; name="file"; filename="a \\"b\\" c.zip"', 'a "b" c.zip'),
        ("form-data; name=file; filename=plain.zip", "plain.zip"),
        ('form-data; name="file"; filename="ü.zip"', "ü.zip"),
        ('form-data; name="file"; filename="a%20b.zip"', "a%20b.zip"),
        ("form-data; name=\"file\"; filename*=utf-8''%C3%BC.zip", "ü.zip"),
        ('form-data; name="file"', None),
    ],
)
def test_the_file_name_is_what_was_sent(header: str, file_name: str | None) -> None:
    """Directories included: the registry stores them too."""
    assert parse_part_headers(f"\r\nContent-Disposition: {header}".encode()) == PartBegin("file", file_name)


def test_a_part_without_a_name_is_an_error() -> None:
    """Nothing could be done with it."""
    with pytest.raises(MultipartError, match="name"):
        parse_part_headers(b"\r\nContent-Type: text/plain")


def test_endless_headers_are_an_error() -> None:
    """They are not kept in memory for ever."""
    parser = MultipartParser("xyz")
    with pytest.raises(MultipartError, match="too long"):
        parser.feed(b"--xyz\r\n" + b"a" * 100_000)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""])
def test_another_content_type_is_an_error(content_type: str) -> None:
    """multipart/form-data with a boundary, nothing else."""
    with pytest.raises(MultipartError):
        boundary_of(content_type)


def test_the_boundary_may_be_quoted() -> None:
    """Clients do both."""
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
    assert boundary_of("multipart/form-data; charset=utf-8; boundary=ab") == "ab"
