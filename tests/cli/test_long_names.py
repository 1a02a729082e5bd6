"""A manifest's name may be as long as a file system takes: its ledger and sandbox get names that fit."""

import os
from pathlib import Path

import pytest

from bulkload.cli.options import default_ledger, sandbox_folder

ENDINGS = ("", "-wal", "-shm", "-journal", ".lock", ".heartbeat")


@pytest.mark.parametrize("name", ["m" * 251 + ".csv", "ö" * 120 + ".jsonl", "模" * 80 + ".parquet", "m" * 220 + ".csv"])
def test_a_run_of_a_manifest_with_a_long_name(name, bulkload, tmp_path):
    (tmp_path / name).write_text("")
    assert len(os.fsencode(name)) > 220
    for made in (default_ledger(name), sandbox_folder(name)):
        assert max(len(os.fsencode(made.name + ending)) for ending in ENDINGS) <= 255
        assert made.name.startswith(name[:20])


def test_a_published_manifest_with_a_long_name_is_found_again(bulkload, tmp_path):
    manifest = tmp_path / ("m" * 249 + ".jsonl"[:6])
    manifest.write_text('{"name": "a", "path": "a.onnx"}\n')
    (tmp_path / "a.onnx").write_bytes((Path(__file__).parents[2] / "manifests/models/digits-mlp.onnx").read_bytes())
    result = bulkload("run", manifest, "--sandbox", "-q")
    assert result.returncode == 0, result.stderr
    assert '"ready"' in bulkload("results", manifest, "--format", "jsonl").stdout


def test_no_two_manifests_get_the_same():
    long, other = "m" * 240 + ".csv", "m" * 240 + ".tsv"
    ledgers = {default_ledger(name) for name in (long, other)}
    assert len(ledgers) == 2
    # Not even one that is called as another one's ledger begins.
    stem = default_ledger(long).name.removesuffix(".ledger.db")
    assert default_ledger(stem) not in ledgers


def test_a_short_name_is_kept_whole(tmp_path):
    assert default_ledger("sub/quickstart.csv") == Path("sub/quickstart.csv.ledger.db")
    assert sandbox_folder("sub/quickstart.csv") == Path("sub/quickstart.csv.sandbox")
    assert default_ledger("m" * 216 + ".csv").name == "m" * 216 + ".csv.ledger.db"
