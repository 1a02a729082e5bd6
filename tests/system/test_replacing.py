"""A file is replaced whole or stays as it was."""

import stat
from pathlib import Path

import pytest

from bulkload.system.replacing import replaced


def test_what_the_block_wrote_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old")
    with replaced(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replaced(path) as draft:
        draft.with_name("nothing").rename(draft)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_of_the_old_one_stays(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old")
    path.chmod(0o640)
    with replaced(path) as draft:
        draft.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_private_one_is_private_before_anything_is_in_it(tmp_path):
    with replaced(tmp_path / "secret", private=True) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_text("old")
    with replaced(tmp_path / "link") as draft:
        draft.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_device_is_written_as_it_is():
    with replaced(Path("/dev/null")) as draft:
        assert draft == Path("/dev/null")


def test_a_name_of_the_greatest_length_can_be_replaced(tmp_path):
    path = tmp_path / ("n" * 255)
    with replaced(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
