"""``kill -9`` of a run at any moment, and the same command again: every entry once, in order, and a true summary."""

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from bulkload.sandbox import stored_versions

KILLS = 10


def sixty_entries(seed: int) -> list[dict[str, Any]]:
    """40 models with one version and 10 with two, interleaved; some take a while to convert, some are larger."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for round_, models in (("1", 50), ("2", 10)):
        for number in range(models):
            # A whole pickle, and then what is not looked at.
            content = b"N." + f"model {number} version {round_} ".encode() * chance.choice([1, 50, 100_000])
            row: dict[str, Any] = {"name": f"model-{number}", "version": round_, "content": content}
            if number % 7 == 0:
                schema = {"x": "float32"}
                row |= {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
            rows.append(row)
    return rows


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ten_times_and_run_again_until_done(seed, bulkload, write_manifest, start_sandbox, tmp_path):
    """60 entries, ten models with two versions: the registry holds each entry once, versions in manifest order."""
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    sandbox = start_sandbox("--time-scale", "0.02")
    rows = sixty_entries(seed)
    manifest = write_manifest(rows)
    words = [
        str(manifest),
        "--workspace",
        "w",
        "--create-workspace",
        "--settle",
        "300ms",
        "--json",
        "--upload-rate",
        "10/s",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BULKLOAD_")}
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "bulkload", "run", *words],
            cwd=tmp_path,
            env=environment | sandbox.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=chance.uniform(0.4, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    assert killed == KILLS, "the runs ended before they could be killed"
    result = bulkload("run", *words, env=sandbox.environment, timeout=100)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    versions = stored_versions(sandbox.data)
    assert len(versions) == len(rows) == summary["entries"] == summary["states"]["ready"]
    held: dict[str, list[int]] = {}
    for version in versions:
        held.setdefault(version.name, []).append(version.size)
    wanted: dict[str, list[int]] = {}
    for row in rows:
        wanted.setdefault(row["name"], []).append(len(row["content"]))
    assert held == wanted
    results = bulkload("results", f"{manifest}.ledger.db", "--format", "jsonl").stdout.splitlines()
    stored = {version.id: version.sha256 for version in versions}
    for found in map(json.loads, results):
        assert stored[found["version_id"]] == found["sha256"]
