"""What it takes of memory and processor, and how long a million entries keep it busy."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count as count_from
from pathlib import Path

from benchmarks.bulkload_runs import BULKLOAD, expect_ready, forget_ledger, ledger_of, start_run
from benchmarks.measuring import Bench
from benchmarks.processes import BenchmarkFailed, Ended, Process, environment_of
from benchmarks.progress import dot, pause, step
from benchmarks.results import Result, Row
from benchmarks.server import DiscardingServer
from benchmarks.work import GIB, KIB, make_models, write_manifest

INTERRUPTED = 130
# A version of a framework that the ledger knows nothing of is first asked about ten seconds after its upload.
FIRST_POLLS_SECONDS = 12
MARK_PUBLISHED = Path(__file__).parent / "mark_published.py"


def many_large_files(bench: Bench) -> list[Result]:
    """64 uploads of 2 GiB under way at once, for a while: their end would show nothing more."""
    seconds = bench.size(15, 5)
    with step("making 64 files"):
        models = make_models(bench.folder / "many-large-files", 64, 2 * GIB)
    with (
        step("64 at a time, then Ctrl-C"),
        DiscardingServer() as server,
        start_run(models.manifest, server, "--concurrency", "64") as process,
    ):
        _wait_for(lambda: server.counts["uploads_begun"] == 64, process)
        pause(seconds)
        ended = _interrupted(process, twice=True)
    row = Row("many-large-files", "memory: 64 files of 2 GiB, all at a time", "", 300, "MB", decimals=0)
    note = f"ended by SIGINT when all 64 had been under way for {seconds} s"
    return [Result(row, [ended.peak_bytes / 1e6], measured={"CPU seconds": [ended.cpu_seconds]}, note=note)]


def _wait_for(happened: Callable[[], bool], process: Process) -> None:
    """Look ten times a second. Raises ``BenchmarkFailed`` where the process ends before it happens."""
    for turn in count_from(1):
        if happened():
            return
        if not process.is_running:
            raise BenchmarkFailed(f"bulkload ended early: {process.wait().errors[-2000:]}")
        time.sleep(0.1)
        if turn % 15 == 0:
            dot()


def _interrupted(process: Process, *, twice: bool = False) -> Ended:
    """The end after Ctrl-C. ``twice``: what is under way is not waited for."""
    process.interrupt()
    if twice:
        time.sleep(0.2)
        process.interrupt()
    ended = process.wait()
    # Or it was done just before.
    if ended.exit_code not in (0, INTERRUPTED):
        raise BenchmarkFailed(f"bulkload was to end by SIGINT: exit code {ended.exit_code}\n{ended.errors[-2000:]}")
    return ended


@dataclass(frozen=True)
class Entries:
    """Many entries in a manifest. Their names are distinct; their files are few, as these are not what is measured."""

    count: int
    manifest: Path


def million(bench: Bench) -> list[Result]:
    """A manifest of a million entries: its first run, and one that finds all of them published."""
    few, many = bench.size(10_000, 2_000), bench.size(1_000_000, 20_000)
    with DiscardingServer() as server:
        sets = {count: _make_entries(bench, count) for count in (few, many)}
        first = {count: _first_run(entries, server, bench.size(8, 2)) for count, entries in sets.items()}
        uploads = server.uploads
        before, again, after = (_run_again(sets[count], server) for count in (few, many, few))
        if server.uploads != uploads:
            raise BenchmarkFailed("a run that had nothing to do uploaded something")
    cost = again.seconds / many
    costs_of_few = [ended.seconds / few for ended in (before, after)]
    peaks = [ended.peak_bytes / 1e6 for ended in (first[many], again)]
    work, note = f"{many:,} entries", "the first run was ended by SIGINT in mid-work"
    memory = Row("million-memory", f"memory: {work}", "", 300, "MB", decimals=0)
    published = Row("million", f"{work}, all published already", "", 60, "s", decimals=1)
    each = Row("million-cost", f"{work}: cost of each", f"that at {few:,}", 1.2, "x as much")
    return [
        Result(memory, [max(peaks)], measured={"MB, first and second run": peaks}, note=note),
        Result(published, [again.seconds], measured={"CPU seconds": [again.cpu_seconds]}),
        Result(each, [cost / other for other in costs_of_few], measured={f"seconds of each at {few:,}": costs_of_few}),
    ]


def _make_entries(bench: Bench, count: int) -> Entries:
    folder = bench.folder / f"entries-{count}"
    with step(f"making a manifest of {count:,} entries"):
        files = make_models(folder, 8, 2 * KIB).files
        manifest = folder / "entries.jsonl"
        write_manifest(manifest, ((f"model-{n}", files[n % len(files)].name) for n in range(count)))
    return Entries(count, manifest)


def _first_run(entries: Entries, server: DiscardingServer, seconds: int) -> Ended:
    """Check, plan, publish for some seconds; then interrupt, and have the ledger say that all of it is published."""
    before = server.uploads
    with step(f"{entries.count:,} entries, first run, then Ctrl-C"):
        forget_ledger(entries.manifest)
        with start_run(entries.manifest, server, "--concurrency", "32") as process:
            _wait_for(lambda: server.uploads > before, process)
            pause(seconds)
            ended = _interrupted(process)
    with step("marking them as published"):
        _mark_published(entries)
    return ended


def _mark_published(entries: Entries) -> None:
    command = [sys.executable, str(MARK_PUBLISHED), str(ledger_of(entries.manifest))]
    folder = entries.manifest.parent
    with Process(command, folder, environment_of(folder)) as process:
        marked = int(process.succeed().output)
    if marked != entries.count:
        raise BenchmarkFailed(f"the ledger has {marked} entries, the manifest {entries.count}")


def _run_again(entries: Entries, server: DiscardingServer) -> Ended:
    with step(f"{entries.count:,} entries, all published"), start_run(entries.manifest, server) as process:
        ended = process.succeed()
        expect_ready(ended, entries.count)
    return ended


def long_wait(bench: Bench) -> list[Result]:
    """Many versions converting, and polled at a limited rate: what that keeps the processor busy with."""
    count, seconds = bench.size(10_000, 1_000), bench.size(45, 8)
    with step(f"making {count:,} files"):
        models = make_models(bench.folder / "long-wait", count, 2 * KIB)
    flags = ("--route", "convert", "--poll-rate", "20/s", "--concurrency", "32")
    with DiscardingServer("--converting") as server, start_run(models.manifest, server, *flags) as process:
        with step("uploading them"):
            _wait_for(lambda: server.uploads == count, process)
            pause(FIRST_POLLS_SECONDS)
        with step("waiting for them"):
            began, cpu, polls = time.monotonic(), process.cpu_seconds(), server.polls
            pause(seconds)
            cpu, polls, seconds_waited = process.cpu_seconds() - cpu, server.polls - polls, time.monotonic() - began
        with step("Ctrl-C"):
            _interrupted(process)
    if not 0.8 < polls / (20 * seconds_waited) < 1.1:
        raise BenchmarkFailed(f"{polls} polls in {seconds_waited:.1f} s are not 20/s")
    row = Row("long-wait", f"CPU of a long wait: {count:,} converting, 20 polls/s", "", 2, "% of a core")
    note = f"over {seconds_waited:.0f} s in which {polls} polls were sent"
    return [Result(row, [100 * cpu / seconds_waited], measured={"CPU seconds": [cpu]}, note=note)]


def help_page(bench: Bench) -> list[Result]:
    """What it takes to say anything at all."""
    rounds = bench.size(15, 5)
    commands = {"bulkload --help": [str(BULKLOAD), "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    with step(f"{rounds} rounds of bulkload --help and python -c pass"):
        # The first one may compile what the others only read.
        for number in range(-1, rounds):
            for name, command in commands.items():
                with Process(command, bench.folder, environment_of(bench.folder)) as process:
                    ended = process.succeed()
                if number >= 0:
                    cpu[name].append(ended.cpu_seconds)
    more = [one - other for one, other in zip(*cpu.values(), strict=True)]
    row = Row("help", "bulkload --help: more CPU", "python -c pass", 0.25, "s")
    return [Result(row, more, measured={f"{name}: CPU seconds": values for name, values in cpu.items()})]
