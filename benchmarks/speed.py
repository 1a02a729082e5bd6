"""How long it takes, against peers that do the same work."""

from benchmarks.bulkload_runs import publish
from benchmarks.measuring import Bench, Client, figures, in_turn, ratios, server_note
from benchmarks.peers import running
from benchmarks.processes import Ended, Process, environment_of
from benchmarks.progress import step
from benchmarks.results import Result, Row
from benchmarks.server import DiscardingServer, write_introspection
from benchmarks.work import GIB, KIB, MIB, Models, make_models

CURL_AND_OPENSSL = "curl and openssl side by side"


def large_file(bench: Bench) -> list[Result]:
    """One file, and what memory it takes."""
    gib = bench.size(8, 1)
    models = _large_models(bench, "large-file", 1, gib * GIB)
    clients: dict[str, Client] = {
        "bulkload": lambda server: publish(models, server),
        CURL_AND_OPENSSL: lambda server: _slower_of_both(models, server, 1),
    }
    timed = in_turn(bench.size(3, 2), clients)
    peak = max(one.ended.peak_bytes for one in timed["bulkload"]) / 1e6
    row = Row("large-file", f"1 file of {gib} GiB, with its digest", CURL_AND_OPENSSL, 1.05, "x as long")
    memory = Row("large-file-memory", f"memory: 1 file of {gib} GiB", "", 150, "MB", decimals=0)
    values = ratios(timed["bulkload"], timed[CURL_AND_OPENSSL])
    return [Result(row, values, figures(timed), server_note(timed)), Result(memory, [peak])]


def large_files(bench: Bench) -> list[Result]:
    """Several at a time."""
    mib = bench.size(1024, 128)
    models = _large_models(bench, "large-files", 8, mib * MIB)
    clients: dict[str, Client] = {
        "bulkload": lambda server: publish(models, server, "--concurrency", "4"),
        CURL_AND_OPENSSL: lambda server: _slower_of_both(models, server, 4),
    }
    timed = in_turn(bench.size(3, 2), clients)
    row = Row("large-files", f"8 files of {mib} MiB, 4 at a time", CURL_AND_OPENSSL, 1.05, "x as long")
    values = ratios(timed["bulkload"], timed[CURL_AND_OPENSSL])
    return [Result(row, values, figures(timed), server_note(timed))]


def small_files(bench: Bench) -> list[Result]:
    """Uploaded, polled to ready, every step durable; curl and requests keep no ledger."""
    count = bench.size(5000, 1000)
    models = _models(bench, "small-files", count, 2 * KIB)
    clients: dict[str, Client] = {
        "bulkload": lambda server: publish(models, server, "--concurrency", "32"),
        "curl": lambda server: running.curl(models, server, 32),
    }
    # requests takes its time: fewer rounds with it, and more without.
    with_requests = in_turn(2, {**clients, "requests": lambda server: running.with_requests(models, server)})
    more = in_turn(bench.size(3, 1), clients)
    timed = {name: with_requests[name] + more[name] for name in clients}
    work = f"{count:,} files of 2 KiB, 32 at a time"
    against_curl = Row("small-files", work, "curl --parallel", 2.0, "x as long")
    against_requests = Row(
        "small-files-requests", work, "requests, 32 threads", 8, "x as fast", at_least=True, decimals=1
    )
    return [
        Result(against_curl, ratios(timed["bulkload"], timed["curl"]), figures(timed), server_note(timed)),
        Result(
            against_requests,
            ratios(with_requests["requests"], with_requests["bulkload"]),
            figures({"requests": with_requests["requests"]}),
        ),
    ]


def slow_server(bench: Bench) -> list[Result]:
    """A server that takes 50 ms an answer; the vendor's SDK knows no concurrency."""
    count = bench.size(500, 60)
    models = _models(bench, "slow-server", count, 2 * KIB)
    schema = bench.folder / "introspection.json"
    write_introspection(schema)
    clients: dict[str, Client] = {
        "bulkload": lambda server: publish(models, server, "--concurrency", "64"),
        "SDK": lambda server: running.with_sdk(models, server),
    }
    timed = in_turn(bench.size(2, 1), clients, "--delay-ms", "50", "--introspection", str(schema))
    work = f"{count} files of 2 KiB, 50 ms an answer, 64 at a time"
    row = Row("slow-server", work, "the vendor's SDK, one by one", 40, "x as fast", at_least=True, decimals=1)
    return [Result(row, ratios(timed["SDK"], timed["bulkload"]), figures(timed), server_note(timed))]


def medium_files(bench: Bench) -> list[Result]:
    """Neither small nor large."""
    count = bench.size(400, 100)
    models = _large_models(bench, "medium-files", count, 5_000_000)
    clients: dict[str, Client] = {
        "bulkload": lambda server: publish(models, server, "--concurrency", "16"),
        "curl": lambda server: running.curl(models, server, 16),
    }
    timed = in_turn(bench.size(5, 3), clients)
    row = Row("medium-files", f"{count} files of 5 MB, 16 at a time", "curl --parallel", 1.1, "x as long")
    return [Result(row, ratios(timed["bulkload"], timed["curl"]), figures(timed), server_note(timed))]


def _models(bench: Bench, name: str, count: int, file_bytes: int) -> Models:
    with step(f"making {count} files"):
        return make_models(bench.folder / name, count, file_bytes)


def _large_models(bench: Bench, name: str, count: int, file_bytes: int) -> Models:
    """Read once already: the first of two clients is not to fill the page cache for the second."""
    models = _models(bench, name, count, file_bytes)
    with (
        step("reading them once"),
        Process(["sh", "-c", "cat *.onnx > /dev/null"], bench.folder / name, environment_of(bench.folder)) as process,
    ):
        process.succeed()
    return models


def _slower_of_both(models: Models, server: DiscardingServer, at_a_time: int) -> Ended:
    return running.curl_and_digests(models, server, at_a_time, "openssl", "dgst", "-sha256")
