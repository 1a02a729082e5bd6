"""``bulkload verify``: the ledger's word against the registry's."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkload.sandbox import read_request_log

ROWS = [{"name": f"m{number}", "content": b"model" + bytes([number])} for number in range(4)]


def test_an_honest_ledger_verifies(bulkload, write_manifest):
    """Exit 0, and every version was compared."""
    assert bulkload("run", write_manifest(ROWS), "--sandbox").returncode == 0
    result = bulkload("verify", "models.jsonl", "--sandbox")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "4 versions compared, 0 differ\n"


def test_every_difference_is_listed_and_is_exit_3(bulkload, write_manifest, tmp_path):
    """Digest, status, name and absence: each is told with its line and version."""
    manifest = write_manifest(ROWS)
    assert bulkload("run", manifest, "--sandbox").returncode == 0
    with closing(sqlite3.connect(tmp_path / "models.jsonl.sandbox" / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE entries SET sha256 = 'other' WHERE name = 'm0'")
        ledger.execute("UPDATE entries SET status = 'error' WHERE name = 'm1'")
        ledger.execute("UPDATE entries SET name = 'elsewhere' WHERE name = 'm2'")
        ledger.execute("UPDATE entries SET version_id = 999999 WHERE name = 'm3'")
    result = bulkload("verify", "models.jsonl", "--sandbox", "--json")
    assert result.returncode == 3, result.stderr
    *found, totals = map(json.loads, result.stdout.splitlines())
    assert totals == {"versions": 4, "differing": 4, "unowned": 1, "duplicates": 1}
    *found, unowned = found
    assert (unowned["unowned"]["name"], unowned["differs"]) == ("m3", True)
    said = {item["version"]["line"]: " ".join(item["differences"]) for item in found}
    assert "sha256" in said[1]
    assert "status is ready, not error" in said[2]
    assert "name is m2" in said[3]
    assert "no version 999999" in said[4]


def set_entries(path: Path, change: str) -> None:
    """Make the ledger say something else."""
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"UPDATE entries SET {change}")


STATES = [
    (
        "state = 'failed', cause = 'version_gone' WHERE name = 'm0'",
        "the registry has it (ready), the ledger says failed (version_gone)",
    ),
    (
        "state = 'failed', cause = 'wrong_digest' WHERE name = 'm0'",
        "it has the bytes that were sent, the ledger says failed (wrong_digest)",
    ),
    ("state = 'error', status = 'error' WHERE name = 'm0'", "its status is ready, not error"),
    ("state = 'error', status = NULL WHERE name = 'm0'", "is ready, not error"),
]


@pytest.fixture
def verified(bulkload, write_manifest, start_sandbox, tmp_path):
    """What is said where the ledger of a run is changed like that, and the exit code; the next time anew."""
    sandbox = start_sandbox("--time-scale", "0")
    words = ("run", write_manifest(ROWS), "--ledger", "ledger.db", "--workspace", "w", "--create-workspace")
    assert bulkload(*words, env=sandbox.environment).returncode == 0
    ledger = tmp_path / "ledger.db"
    as_it_was = ledger.read_bytes()

    def verify(*changes: str) -> tuple[str, int]:
        ledger.write_bytes(as_it_was)
        for change in changes:
            set_entries(ledger, change)
        result = bulkload("verify", "ledger.db", env=sandbox.environment)
        return result.stdout + result.stderr, result.returncode

    return verify


def test_every_state_is_compared(verified):
    """What the ledger says is not believed: each state is held against the registry's."""
    for change, words in STATES:
        said, code = verified(change)
        assert code == 3, said
        assert words in said
        assert "4 versions compared, 1 differ" in said


def test_a_version_that_both_say_is_gone_is_no_difference(verified):
    """And one that waits for a later run may have moved on meanwhile."""
    said, _ = verified(
        "state = 'failed', cause = 'version_gone', version_id = 999999 WHERE name = 'm0'",
        "state = 'uploaded', status = 'pending_load_native' WHERE name = 'm1'",
    )
    assert "4 versions compared, 0 differ, 1 in no entry" in said


UNOWNED = [
    ("state = 'failed', cause = 'refused_403', version_id = NULL", 3, "which is failed (refused_403)"),
    ("state = 'in_doubt', version_id = NULL", 0, "which is in_doubt; `bulkload run` settles that"),
    ("fence = NULL, sha256 = NULL, version_id = NULL, state = 'planned'", 0, "in no entry of this ledger"),
]


def test_a_version_that_nobody_owns_is_listed(verified):
    """It is a difference only where the ledger says of its sender that it is done; others' versions are just told."""
    for change, code, words in UNOWNED:
        said, found = verified(f"{change} WHERE name = 'm0'")
        assert found == code, said
        assert "m0 version 1215 (ready) is in no entry of this ledger" in said
        assert words in said
        assert "3 versions compared, 0 differ, 1 in no entry" in said


def test_another_registry_is_exit_2_before_anything_is_listed(bulkload, write_manifest, start_sandbox):
    """The ledger knows whom it belongs to: two are named, and nothing else is asked."""
    assert bulkload("run", write_manifest(ROWS), "--sandbox").returncode == 0
    other = start_sandbox()
    result = bulkload("verify", "models.jsonl.sandbox/ledger.db", env=other.environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("sandbox ") >= 2
    assert [record.path for record in read_request_log(other.data / "requests.jsonl")] == ["/v1/api/config"]


def test_a_ledger_of_nothing_is_no_ledger(bulkload):
    """One message, nothing made."""
    result = bulkload("verify", "none.db", "--endpoint", "http://127.0.0.1:9", env={"BULKLOAD_TOKEN": "t"})
    assert result.returncode != 0
    assert "there is no such ledger" in result.stderr
