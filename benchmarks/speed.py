"""How long it takes, against peers that do the same work, over http and over https."""

from collections.abc import Callable

from benchmarks.bulkload_runs import OLDER, OLDER_NAME, publish
from benchmarks.measuring import Bench, Client, Timing, cpu_ratios, figures, in_turn, ratios, seconds_of, server_note
from benchmarks.peers import running
from benchmarks.processes import Ended, Process, environment_of
from benchmarks.progress import step
from benchmarks.results import Result, Row, Seconds
from benchmarks.server import DiscardingServer, write_introspection
from benchmarks.work import GIB, KIB, Models, make_models

BULKLOAD, CURL, REQUESTS, SDK = "bulkload", "curl", "requests", "vendor's SDK"
WITH_OPENSSL, WITH_SHA256SUM = "curl and openssl", "curl and sha256sum"
# The scheme, and what is to be reached over it.
Targets = dict[str, float]


def small_files(bench: Bench) -> list[Result]:
    """Uploaded, polled to ready, every step durable; the others keep no ledger."""
    count = bench.size(20_000, 1_000)
    models = _models(bench, "small-files", count, 2 * KIB)
    work = f"{count:,} files of 2 KiB, 32 at a time"
    pair = {BULKLOAD: _bulkload(models, 32), CURL: lambda server: running.curl(models, server, 32)}
    # These take their time: fewer rounds with them, and more without.
    slow: dict[str, Client] = {REQUESTS: lambda server: running.with_requests(models, server)}
    if OLDER.exists():
        slow[OLDER_NAME] = lambda server: publish(models, server, "--concurrency", "32", program=OLDER)
    with_slow = in_turn(bench.size(2, 1), {**pair, **slow})
    more = in_turn(1, pair)
    plain = {**with_slow, **{name: with_slow[name] + more[name] for name in pair}}
    tls = in_turn(bench.size(3, 2), pair, certificate=bench.certificate)
    results = [
        _against(Row("small-files", f"{work}, http", "curl --parallel", 2.6, "x as long"), work, "http", plain, CURL),
        _against(Row("small-files-https", f"{work}, https", "the same", 3.5, "x as long"), work, "https", tls, CURL),
    ]
    as_fast = Row("small-files-requests", f"{work}, http", "requests, 32 threads", 6, "x as fast", at_least=True)
    shown = Seconds(work, "http", seconds_of(plain))
    results.append(Result(as_fast, ratios(with_slow[REQUESTS], with_slow[BULKLOAD]), shown, figures(with_slow)))
    if OLDER.exists():
        row = Row("small-files-cpu", f"CPU of {work}, http", OLDER_NAME, 0.38, "x as much")
        results.append(Result(row, cpu_ratios(with_slow[BULKLOAD], with_slow[OLDER_NAME])))
    return results


def slow_server(bench: Bench) -> list[Result]:
    """A server that takes 50 ms an answer; the vendor's SDK knows no concurrency."""
    count = bench.size(500, 60)
    models = _models(bench, "slow-server", count, 2 * KIB)
    schema = bench.folder / "introspection.json"
    write_introspection(schema)
    clients: dict[str, Client] = {
        BULKLOAD: _bulkload(models, 64),
        SDK: lambda server: running.with_sdk(models, server),
    }
    timed = in_turn(bench.size(2, 1), clients, "--delay-ms", "50", "--introspection", str(schema))
    work = f"{count} files of 2 KiB, 50 ms an answer, 64 at a time"
    row = Row("slow-server", work, "the vendor's SDK, one by one", 40, "x as fast", at_least=True, decimals=1)
    shown = Seconds(work, "http", seconds_of(timed))
    return [Result(row, ratios(timed[SDK], timed[BULKLOAD]), shown, figures(timed), server_note(timed))]


def medium_files(bench: Bench) -> list[Result]:
    """Neither small nor large."""
    count = bench.size(200, 60)
    models = _large_models(bench, "medium-files", count, 5_000_000)
    clients = {
        BULKLOAD: _bulkload(models, 16),
        WITH_SHA256SUM: _curl_and(models, 16, "sha256sum"),
        # To be seen beside them: where sha256sum does not use the processor's own instructions, this does.
        WITH_OPENSSL: _curl_and(models, 16, "openssl", "dgst", "-sha256"),
    }
    work = f"{count} files of 5 MB, 16 at a time, with their digests"
    return _over_both(
        bench, "medium-files", work, clients, WITH_SHA256SUM, {"http": 1.15, "https": 1.3}, bench.size(5, 2)
    )


def large_file(bench: Bench) -> list[Result]:
    """One file, and what memory it takes."""
    gib = bench.size(8, 1)
    models = _large_models(bench, "large-file", 1, gib * GIB)
    clients = {BULKLOAD: _bulkload(models, 4), WITH_OPENSSL: _curl_and(models, 1, "openssl", "dgst", "-sha256")}
    work = f"1 file of {gib} GiB, with its digest"
    results = _over_both(
        bench, "large-file", work, clients, WITH_OPENSSL, {"http": 1.10, "https": 1.15}, bench.size(3, 2)
    )
    peaks = [peak for result in results for peak in result.measured[f"{BULKLOAD}: peak MB"]]
    memory = Row("large-file-memory", f"memory: 1 file of {gib} GiB", "", 150, "MB", decimals=0)
    return [*results, Result(memory, [max(peaks)], measured={"MB": peaks})]


def _over_both(
    bench: Bench, name: str, work: str, clients: dict[str, Client], peer: str, targets: Targets, rounds: int
) -> list[Result]:
    """Over http and over https, against one of the clients."""
    results = []
    for scheme, target in targets.items():
        timed = in_turn(rounds, clients, certificate=bench.certificate if scheme == "https" else None)
        row = Row(name if scheme == "http" else f"{name}-https", f"{work}, {scheme}", peer, target, "x as long")
        results.append(_against(row, work, scheme, timed, peer))
    return results


def _against(row: Row, work: str, scheme: str, timed: Timing, peer: str) -> Result:
    shown = Seconds(work, scheme, seconds_of(timed))
    return Result(row, ratios(timed[BULKLOAD], timed[peer]), shown, figures(timed), server_note(timed))


def _bulkload(models: Models, at_a_time: int) -> Client:
    return lambda server: publish(models, server, "--concurrency", str(at_a_time))


def _curl_and(models: Models, at_a_time: int, *digest: str) -> Callable[[DiscardingServer], Ended]:
    return lambda server: running.curl_and_digests(models, server, at_a_time, *digest)


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
