"""``kill -9`` of a run at any moment, and the same command again: every entry once, in order, and a true summary.

``make crash KILLS=1000`` runs more histories, against a registry that loses answers.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from bulkload.sandbox import stored_versions

KILLS = 10
HISTORIES = int(os.environ.get("KILLS", "100")) // KILLS
LOSSES = ("--fault", "upload:lost-answer%15", "--fault", "upload:late=0.1%5", "--fault", "upload:503%5")


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


@pytest.fixture
def live_through(bulkload, write_manifest, start_sandbox, tmp_path):
    """Kills a run of sixty entries ten times, runs it to its end, and judges by what the registry holds."""

    def live(seed: int, *sandbox_words: str) -> None:
        print(f"seed {seed}")  # noqa: T201 - shown when it fails
        chance = random.Random(seed)
        sandbox = start_sandbox("--time-scale", "0.02", "--seed", str(seed), *sandbox_words)
        rows = sixty_entries(seed)
        manifest = write_manifest(rows)
        words = ["run", str(manifest), "--workspace", "w", "--create-workspace", "--json"]
        words += ["--settle", "500ms", "--upload-rate", "10/s"]
        killed = sum(kill_after(chance.uniform(0.4, 1.0), words, sandbox.environment) for _ in range(KILLS))
        assert killed == KILLS, "the runs ended before they could be killed"
        result = bulkload(*words, env=sandbox.environment, timeout=110)
        assert result.returncode == 0, result.stderr
        summary = json.loads(result.stdout)
        versions = stored_versions(sandbox.data)
        assert len(versions) == len(rows) == summary["entries"] == summary["states"]["ready"]
        assert summary["duplicates"] == 0
        held: dict[str, list[str]] = {}
        for version in versions:
            held.setdefault(version.name, []).append(version.sha256)
        wanted: dict[str, list[str]] = {}
        for row in rows:
            wanted.setdefault(row["name"], []).append(hashlib.sha256(row["content"]).hexdigest())
        assert held == wanted
        results = bulkload("results", f"{manifest}.ledger.db", "--format", "jsonl").stdout.splitlines()
        stored = {version.id: version.sha256 for version in versions}
        for found in map(json.loads, results):
            assert stored[found["version_id"]] == found["sha256"]

    def kill_after(seconds: float, words: list[str], registry: dict[str, str]) -> bool:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BULKLOAD_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "bulkload", *words],
            cwd=tmp_path,
            env=environment | registry,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        return False

    return live


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ten_times_and_run_again_until_done(seed, live_through):
    """60 entries, ten models with two versions: the registry holds each entry once, versions in manifest order."""
    live_through(seed)


def test_killed_ten_times_while_answers_get_lost(live_through):
    """A quarter of the uploads lose their answer, land late or are refused: still each entry once, in order."""
    live_through(3, *LOSSES)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(100, 100 + HISTORIES))
def test_killed_again_and_again_while_answers_get_lost(seed, live_through):
    """The same, as often as KILLS says."""
    live_through(seed, *LOSSES)
