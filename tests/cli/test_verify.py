"""``bulkload verify``: the ledger's word against the registry's."""

import json
import sqlite3
from contextlib import closing

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
    assert totals == {"versions": 4, "differing": 4}
    said = {item["version"]["line"]: " ".join(item["differences"]) for item in found}
    assert "sha256" in said[1]
    assert "status is ready, not error" in said[2]
    assert "name is m2" in said[3]
    assert "no version 999999" in said[4]


def test_a_ledger_of_nothing_is_no_ledger(bulkload):
    """One message, nothing made."""
    result = bulkload("verify", "none.db", "--endpoint", "http://127.0.0.1:9", env={"BULKLOAD_TOKEN": "t"})
    assert result.returncode != 0
    assert "there is no such ledger" in result.stderr
