"""What commands leave on the disk is their user's alone, whatever the umask, and never lies where a link leads."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import clean_environment, homes
from tests.variants import each_once, every

ROWS = [{"name": "m", "content": b"model"}]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def with_umask(tmp_path: Path) -> Run:
    """Runs a command under a umask."""

    def run(umask: int, *words: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-P", "-m", "bulkload", *map(str, words)],
            cwd=tmp_path, env=clean_environment() | homes(tmp_path) | (env or {}), umask=umask, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def readable_by_others(*places: Path) -> dict[str, str]:
    """Everything below some places that others may use, with its mode."""
    found = [each for place in places for each in (place, *place.rglob("*"))]
    modes = {str(each): stat.S_IMODE(each.lstat().st_mode) for each in found if not each.is_symlink()}
    return {name: f"{mode:o}" for name, mode in modes.items() if mode & 0o077}


@pytest.mark.parametrize("umask", every(2, [0o000, 0o022]))
def test_a_run_and_its_sandbox_leave_nothing_to_others(umask, with_umask, write_manifest, tmp_path):
    """Ledger, lock, models, logs, accounts, and the folders they are in."""
    result = with_umask(umask, "run", write_manifest(ROWS), "--sandbox", "--quiet")
    assert result.returncode == 0, result.stderr
    assert readable_by_others(tmp_path / "models.jsonl.sandbox") == {}
    assert len(list((tmp_path / "models.jsonl.sandbox").rglob("*"))) > 5


def test_the_demo_and_a_login_leave_nothing_to_others(with_umask, start_sandbox, tmp_path):
    result = with_umask(0, "demo")
    assert result.returncode == 0, result.stderr
    assert readable_by_others(tmp_path / "bulkload-demo") == {}
    sandbox = start_sandbox("--approve-device-after", "0s", "--device-interval", "0s")
    result = with_umask(0, "login", "--endpoint", sandbox.endpoint)
    assert result.returncode == 0, result.stderr
    assert readable_by_others(tmp_path / "state") == {}
    assert (tmp_path / "state" / "bulkload" / "logins.json").is_file()


def test_a_ledger_that_others_could_read_becomes_private(bulkload, write_manifest, start_sandbox, tmp_path):
    """As version 0.1.0 left it; with what lies beside it."""
    sandbox = start_sandbox("--time-scale", "0")
    words = ("run", write_manifest(ROWS), "--workspace", "108")
    assert bulkload(*words, env=sandbox.environment).returncode == 0
    left = [tmp_path / f"models.jsonl.ledger.db{suffix}" for suffix in ("", ".lock")]
    for file in left:
        file.chmod(0o644)
    assert bulkload(*words, env=sandbox.environment).returncode == 0
    assert readable_by_others(*left) == {}


@pytest.mark.parametrize("how", every(2, ["link", "hard link"]))
def test_a_link_in_the_place_of_the_lock_is_not_followed(how, bulkload, write_manifest, tmp_path):
    """The file that it leads to keeps what it holds."""
    manifest = write_manifest(ROWS)
    (tmp_path / "precious").write_text("kept")
    lock = tmp_path / "models.jsonl.ledger.db.lock"
    if how == "link":
        lock.symlink_to(tmp_path / "precious")
    else:
        lock.hardlink_to(tmp_path / "precious")
    result = bulkload("run", manifest, "--workspace", "108", "--sandbox", "--ledger", "models.jsonl.ledger.db")
    assert result.returncode == 2, result.stderr
    assert "models.jsonl.ledger.db.lock: cannot be written" in result.stderr
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize(("how", "content"), each_once(["link", "name"], [b"kept", b"SQLite format 3\0" + b"x" * 100]))
def test_a_file_that_is_no_ledger_keeps_its_mode(how, content, bulkload, write_manifest, tmp_path):
    """Wherever a name leads: neither what it holds nor who may read it is changed."""
    manifest = write_manifest(ROWS)
    precious = tmp_path / ("precious" if how == "link" else "ledger.db")
    precious.write_bytes(content)
    precious.chmod(0o644)
    if how == "link":
        (tmp_path / "ledger.db").symlink_to(precious)
    result = bulkload("run", manifest, "--sandbox", "--ledger", "ledger.db")
    assert result.returncode == 1
    assert "ledger.db: " in result.stderr
    assert precious.read_bytes() == content
    assert stat.S_IMODE(precious.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("suffix", every(4, ["", "-wal", "-shm", ".lock"]))
def test_the_file_of_another_user_is_not_used(suffix, bulkload, write_manifest, tmp_path):
    """Who owns it can read it and change it."""
    manifest = write_manifest(ROWS)
    words = ("run", manifest, "--sandbox", "--ledger", "ledger.db")
    if suffix in ("-wal", "-shm"):
        assert bulkload(*words).returncode == 0
    (tmp_path / f"ledger.db{suffix}").touch()
    os.chown(tmp_path / f"ledger.db{suffix}", 12345, 12345)
    result = bulkload(*words)
    assert result.returncode in (1, 2)
    assert "belongs to another user" in result.stderr
    assert (tmp_path / f"ledger.db{suffix}").stat().st_uid == 12345
