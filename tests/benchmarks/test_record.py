"""Results are kept whole, and refused where they are not those of the bulkload that is here."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.record import Source, StaleResults, load, refuse_stale, save, source_here
from tests.benchmarks.results_made_up import record_of

HERE = Source("1.2.3", "0123456789abcdef")


def test_what_was_saved_is_what_is_read(tmp_path: Path) -> None:
    save(record_of(), tmp_path / "latest.json")
    assert load(tmp_path / "latest.json") == record_of()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"rows": []}', b"[1", None])
def test_a_file_of_another_form_is_stale(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StaleResults, match=r"latest\.json .* run `make bench`"):
        load(path)


def test_results_of_this_bulkload_are_taken() -> None:
    refuse_stale(record_of(), HERE)


@pytest.mark.parametrize("source", [replace(HERE, version="1.2.2"), replace(HERE, digest="f" * 16)])
def test_results_of_another_bulkload_are_refused(source: Source) -> None:
    with pytest.raises(StaleResults, match="run `make bench`"):
        refuse_stale(record_of(source=source), HERE)


def test_every_module_counts_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "one.py").write_text("x = 1\n")
    seen = [source_here(tmp_path)]
    (tmp_path / "core" / "notes.txt").write_text("words")
    assert source_here(tmp_path) == seen[0]
    for change in (
        lambda: (tmp_path / "core" / "one.py").write_text("x = 2\n"),
        lambda: (tmp_path / "core" / "one.py").rename(tmp_path / "one.py"),
        lambda: (tmp_path / "two.py").write_text(""),
    ):
        change()
        seen.append(source_here(tmp_path))
    assert len(set(seen)) == 4
