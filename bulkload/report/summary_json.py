"""The summary object for programs, with each problem of a manifest."""

from collections.abc import Iterable, Iterator

from bulkload.core.model.records import Problem
from bulkload.report.sink import as_json

# How an object ends whose last key is an error that names no problems.
_NO_PROBLEMS = b"[]}}"


def summary_json(summary: object, problems: Iterable[Problem] = ()) -> Iterator[bytes]:
    """One line, in pieces: of a million problems only one is in memory.

    ``summary``: an object with the key ``error`` at its end, an object or null; ``problems`` are written into it.
    """
    data = as_json(summary)
    if not data.endswith(_NO_PROBLEMS):
        yield data + b"\n"
        return
    yield data.removesuffix(b"]}}")
    before = b""
    for problem in problems:
        yield before + as_json(problem)
        before = b","
    yield b"]}}\n"
