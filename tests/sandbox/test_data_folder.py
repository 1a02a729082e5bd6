"""The folder that a sandbox keeps its data in: it empties and fills what is its own, and nothing else."""

import contextlib

import pytest

from bulkload.sandbox.store.store import Store


@pytest.mark.parametrize("name", ["incoming", "files"])
def test_a_link_in_the_place_of_a_folder_is_refused(name, tmp_path):
    """What it leads to is neither emptied nor written to."""
    precious = tmp_path / "home" / "00000000-0000-4000-8000-000000000000"
    precious.parent.mkdir()
    precious.write_text("kept")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).symlink_to(precious.parent)
    with pytest.raises(OSError, match="is a link"):
        Store(tmp_path / "data")
    assert [path.read_text() for path in precious.parent.iterdir()] == ["kept"]


def test_a_file_of_somebody_else_in_the_data_folder_is_kept(tmp_path):
    """A folder may have had an "incoming" before it was given to a sandbox; what a killed one left is removed."""
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "letter.txt").write_text("kept")
    (incoming / "00000000-0000-4000-8000-000000000000").touch()
    with contextlib.closing(Store(tmp_path)):
        assert [path.name for path in incoming.iterdir()] == ["letter.txt"]
