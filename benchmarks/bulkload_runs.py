"""bulkload as its user starts it: the console script, a manifest, a ledger; and its word held against the server's."""

import json
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchmarkFailed, Ended, Process, environment_of
from benchmarks.server import DiscardingServer
from benchmarks.work import Models

BULKLOAD = Path(sysconfig.get_path("scripts")) / "bulkload"
# What `make older` puts there: another bulkload to be measured beside this one.
OLDER_NAME = "bulkload 0.1.0"
OLDER = Path(__file__).parents[1] / "build" / "bulkload-0.1.0" / ".venv" / "bin" / "bulkload"


def start_run(manifest: Path, server: DiscardingServer, *flags: str, program: Path = BULKLOAD) -> Process:
    """``bulkload run``, started. Its ledger lies beside the manifest."""
    folder, certificate = manifest.parent, server.certificate
    trusted = () if certificate is None else ("--ca-file", str(certificate.certificate))
    words = ["run", manifest.name, "--endpoint", server.endpoint, "--workspace", "1", "--json", *trusted, *flags]
    return Process([str(program), *words], folder, environment_of(folder))


def ledger_of(manifest: Path) -> Path:
    """Where that ledger is."""
    return Path(f"{manifest}.ledger.db")


def forget_ledger(manifest: Path) -> None:
    """The next run knows nothing of the last one."""
    for file in manifest.parent.glob(f"{ledger_of(manifest).name}*"):
        file.unlink()


def publish(models: Models, server: DiscardingServer, *flags: str, program: Path = BULKLOAD) -> Ended:
    """A whole first run: every model uploaded, polled to ``ready``, and every step of it in a fresh ledger."""
    forget_ledger(models.manifest)
    with start_run(models.manifest, server, *flags, program=program) as process:
        ended = process.succeed()
    expect_ready(ended, models.count)
    server.expect(uploads=models.count, file_bytes=models.total_bytes, polls=models.count)
    return ended


def expect_ready(ended: Ended, entries: int) -> dict[str, Any]:
    """The run's summary. Raises ``BenchmarkFailed`` unless it says that everything is ready."""
    summary: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    if (ended.exit_code, summary["entries"], summary["states"]["ready"]) != (0, entries, entries):
        raise BenchmarkFailed(f"{entries} entries were to be ready, but: {summary}\n{ended.errors[-2000:]}")
    return summary
