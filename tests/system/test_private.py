"""What only its owner may read is that from its first moment, whatever the umask, and never by somebody's link."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkload.system.private import make_private_folder, open_private


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing, the usual and everything is taken away from new files."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_and_those_above_it_are_private(umask, tmp_path):
    make_private_folder(tmp_path / "state" / "bulkload")
    assert mode_of(tmp_path / "state") == mode_of(tmp_path / "state" / "bulkload") == 0o700


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert mode_of(tmp_path) == 0o755


def test_a_file_in_the_way_of_a_folder_is_said(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(NotADirectoryError):
        make_private_folder(tmp_path / "state")


def test_a_new_file_is_private(umask, tmp_path):
    os.close(open_private(tmp_path / "file"))
    assert mode_of(tmp_path / "file") == 0o600


def test_a_file_that_others_may_read_becomes_private(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "file").chmod(0o666)
    os.close(open_private(tmp_path / "file"))
    assert mode_of(tmp_path / "file") == 0o600
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("target", ["there", "not-there"])
def test_a_link_is_not_followed(tmp_path, target):
    (tmp_path / "there").write_text("kept")
    (tmp_path / "file").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "file")
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "not-there").exists()


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "file")
    with pytest.raises(OSError, match="no regular file"):
        open_private(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_the_file_of_another_user_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    os.chown(tmp_path / "file", 12345, 12345)
    with pytest.raises(OSError, match="another user"):
        open_private(tmp_path / "file")
