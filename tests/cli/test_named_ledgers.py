"""Which ledger is meant, and what is said where there is none: every command that takes one."""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkload.cli import run_command_line
from bulkload.ledger.sqlite.writes import Store

COMMANDS = ["results", "status", "verify", "wait"]
Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """The exit code of a command and its words, in the test's folder; that nothing was made there is looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKLOAD_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("BULKLOAD_TOKEN", "t")

    def files() -> list[Path]:
        # A reader's index of the write-ahead log is SQLite's.
        return sorted(path for path in tmp_path.rglob("*") if not path.name.endswith(("-shm", "-wal")))

    def run(*words: str) -> tuple[int, str]:
        before = files()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command_line(words)
        assert out.getvalue() == "" or code == 0
        assert files() == before
        return code, err.getvalue()

    return run


def make_ledger(path: Path) -> None:
    store = Store(path)
    store.begin_run("run-1", "2026-01-06T16:34:30Z")
    store.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_manifest_without_a_ledger_says_what_makes_one(command, said, tmp_path):
    """Before the first run."""
    (tmp_path / "my models.csv").write_text("name,path\na,a.onnx\n")
    code, words = said(command, "my models.csv")
    assert code == 2
    assert "my models.csv: has no ledger yet: `" in words
    assert "run 'my models.csv'` makes my models.csv.ledger.db" in words


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modles.csv.ledger.db", "did you mean models.csv.ledger.db?"),
        ("modles.csv", "did you mean models.csv?"),
        ("else", "ledgers in .: models.csv.ledger.db"),
        ("none/x.db", "run MANIFEST` makes one"),
    ],
)
def test_a_name_that_leads_nowhere_is_exit_2(command, name, hint, said, tmp_path):
    """With what is there instead."""
    make_ledger(tmp_path / "models.csv.ledger.db")
    code, words = said(command, name)
    assert code == 2
    assert f"{name}: there is no such ledger" in words
    assert hint in words


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_exit_2(command, said, tmp_path):
    """A folder, a named pipe (which is not waited for), a dangling link, a device."""
    make_ledger(tmp_path / "models.csv.ledger.db")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("gone.db")
    assert said(command, ".") == (2, "bulkload: .: is a folder, not a ledger; ledgers in .: models.csv.ledger.db\n")
    for name in ("pipe", "link", "/dev/null"):
        assert said(command, name) == (2, f"bulkload: {name}: is no file; a ledger is one\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_file_is_no_ledger_yet(command, said, tmp_path):
    """As it is left by `touch`."""
    (tmp_path / "models.csv.ledger.db").touch()
    code, words = said(command, "models.csv")
    assert (code, "models.csv.ledger.db: is empty: no run has begun with this ledger" in words) == (2, True)


@pytest.mark.parametrize("name", ["a" * 250 + ".csv", "a" * 5000, "x/" * 10 + "y"])
def test_any_name_is_exit_2(name, said):
    """Also one that no file can have."""
    for command in COMMANDS:
        code, words = said(command, name)
        assert code == 2, words
        assert "internal error" not in words


def test_a_ledger_is_found_by_any_of_its_names(said, tmp_path):
    """The manifest (also when it is gone), the ledger itself, whatever its name, and that of a private sandbox."""
    make_ledger(tmp_path / "models.csv.ledger.db")
    make_ledger(tmp_path / "state.sqlite")
    (tmp_path / "other.csv.sandbox").mkdir()
    make_ledger(tmp_path / "other.csv.sandbox" / "ledger.db")
    for name in ("models.csv", "models.csv.ledger.db", "state.sqlite", "other.csv"):
        assert said("status", name) == (0, "")
