"""A manifest of any size is checked a row at a time: nothing that grows with it stays in memory."""

import itertools
import tracemalloc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bulkload.core.model.records import Entry, Problem
from bulkload.manifest import check


def lines(count: int) -> Iterator[str]:
    return (f'{{"name": "m{number}", "path": "model.onnx", "version": "{number}"}}\n' for number in range(count))


def checking(path: Path) -> Generator[Entry | Problem, None, None]:
    found = check(str(path), overrides={}, workspace=None, workspace_needed=False)
    assert isinstance(found, Generator)
    return found


def peak_bytes(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in check(str(path), overrides={}, workspace="w", workspace_needed=True):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(folder):
    short, long = folder / "short.jsonl", folder / "long.jsonl"
    short.write_text("".join(lines(300)))
    long.write_text("".join(lines(6_000)))
    peak_bytes(short)  # what is made once is made before
    assert peak_bytes(long) < peak_bytes(short) + 200_000


@pytest.mark.parametrize("extension", [".csv", ".jsonl"])
def test_the_first_entry_comes_before_the_last_row_is_read(folder, extension):
    """From a pipe whose writer goes on writing, say."""
    path = folder / f"manifest{extension}"
    head = "name,path\n" if extension == ".csv" else ""
    row = "a,model.onnx\n" if extension == ".csv" else '{"name": "a", "path": "model.onnx"}\n'
    path.write_text(head + row + "broken {\n" * 50_000)
    found = checking(path)
    (first,) = itertools.islice(found, 1)
    assert isinstance(first, Entry)
    found.close()


def test_a_check_that_is_given_up_leaves_nothing_open(folder):
    """A reader that stops at the first problem closes the manifest; a warning would be an error here."""
    path = folder / "manifest.jsonl"
    path.write_text("".join(lines(10)))
    found = checking(path)
    next(found)
    found.close()
