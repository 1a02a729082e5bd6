"""Running the engine from the command line: event loop, signals, progress, summary."""

import gc
import shlex
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio

from bulkload.cli import show_error
from bulkload.cli.options import program
from bulkload.cli.signals import LastResort, Obedience, current_signals, interrupted_by, listening, watch_ending
from bulkload.cli.streams import ended_with
from bulkload.cli.summaries import NOWHERE, SummaryPlaces, early_summary, problems_of
from bulkload.cli.telling import USUAL, Manner
from bulkload.core.model.errors import BulkloadError, ExitCode, Interrupted, LocalTrouble, WindowEnded, leaf_of
from bulkload.core.model.events import Event, ManifestDoubted, Noticed, OnEvent
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.verdicts import TOO_FEW_THREADS
from bulkload.engine.events import Events
from bulkload.engine.stop import Stop, lone_errors
from bulkload.ledger import Heartbeat, LedgerReader
from bulkload.report.display import clear_progress, said_in_a_line, show_progress
from bulkload.report.facts import Facts
from bulkload.report.heartbeat import keep_heartbeat
from bulkload.report.log import LogLines
from bulkload.report.problems import problem_lines
from bulkload.report.progress import Progress, Watch
from bulkload.report.sink import standard_error, tell
from bulkload.report.summary import (
    MOST_TROUBLES,
    converting_lines,
    only_converting,
    resumable,
    summary_lines,
    trouble_lines,
)
from bulkload.system.process_limits import can_start_threads

Job = Callable[..., Awaitable[RunSummary]]
T = TypeVar("T")

# Objects made until the next look for cycles: Python's own 700 are a request or two, and each look costs.
GARBAGE_THRESHOLD = 20_000
# The ledger's, one for the manifest, libuv's four, and some to read files.
THREADS_NEEDED = 8


def run_job(
    job: Job,
    settings: Settings,
    *,
    manner: Manner,
    command: str,
    places: SummaryPlaces = NOWHERE,
    catch_up: str | None = None,
) -> int:
    """Run ``job(settings, on_event=..., stop=...)`` to its end and say how it ended; the exit code.

    ``command`` is what resumes it, ``catch_up`` what helps where nothing is left but to wait for the registry;
    ``places``: where programs read the summary.
    """
    # The command began when the program did.
    settings = replace(settings, spent=time.monotonic() - current_signals().began)

    async def work(on_event: OnEvent, stop: Stop) -> tuple[RunSummary, BulkloadError | None]:
        summary = await job(settings, on_event=on_event, stop=stop)
        # A stop that came when all was done has ended nothing.
        ended_it = stop.error is not None and stop.error.exit_code == summary.exit_code
        return summary, stop.error if ended_it else None

    summary: RunSummary
    error: Exception | None = None
    try:
        with lone_errors():
            summary, error = attended_loop(work, manner, settings.ledger)
    except Exception as before_the_run:  # noqa: BLE001 - also a defect has its summary
        summary = early_summary(settings.manifest, settings.endpoint, settings.ledger, before_the_run)
        error = before_the_run
    _tell_ending(summary, error, settings, quiet=manner.quiet, as_json=places.as_json)
    if not manner.quiet:
        nothing_to_send = not settings.wait and only_converting(summary)
        onwards = catch_up if nothing_to_send and catch_up is not None else command
        early = isinstance(error, Interrupted | WindowEnded)
        _tell_next(
            summary, settings.ledger, command, onwards if early or (summary.run_id and resumable(summary)) else None
        )
    lost = places.give(summary, problems_of(error))
    return int(summary.exit_code) if lost is None else ended_with(int(summary.exit_code), lost)


def _tell_next(summary: RunSummary, ledger: Path, command: str, onwards: str | None) -> None:
    """The commands that are of use now. ``onwards``: what goes on with the rest, if there is any."""
    began = bool(summary.run_id)
    if onwards is not None:
        tell(f"go on with: {onwards}")
    elif began and summary.states[State.ERROR]:
        tell(f"publish those in {State.ERROR} again, once they are mended: {command} --retry-failed")
    elif began and summary.states[State.FAILED]:
        tell(f"try those that {State.FAILED} again, once that is mended: {command}")
    if began:
        tell(f"see each entry: {program()} results {shlex.quote(str(ledger))}")


def _tell_ending(
    summary: RunSummary, error: Exception | None, settings: Settings, *, quiet: bool, as_json: bool
) -> None:
    if isinstance(error, Interrupted):
        if not summary.run_id:
            tell(f"bulkload: {error} before anything was sent")
    elif error is not None:
        show_error(error)
    # Who wants to hear nothing when all is well hears of what is not.
    if not (quiet and summary.exit_code == ExitCode.OK) and not as_json and summary.run_id:
        for line in (*summary_lines(summary), *_troubles(summary), *(_converting(summary) if settings.wait else ())):
            tell(line)


def run_loop(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run on asyncio, with uvloop where it is; a lone exception comes out of its groups."""
    # libuv ends the process where it gets no thread.
    if not can_start_threads(THREADS_NEEDED):
        raise LocalTrouble(TOO_FEW_THREADS)
    try:
        import uvloop  # noqa: F401
    except ImportError:
        options = {}
    else:
        options = {"use_uvloop": True}
    # What is imported stays; and of a run's records few are ever part of a cycle.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        return anyio.run(main, backend="asyncio", backend_options=options)
    except BaseExceptionGroup as group:
        raise leaf_of(group) from None


def _show_notices(event: Event) -> None:
    """A consumer of events: what people are told at once, beside the progress."""
    if isinstance(event, Noticed):
        _show_notice(event.words)
    elif isinstance(event, ManifestDoubted):
        for line in problem_lines(event.problems, each=False)[0]:
            _show_notice(line)


def _show_notice(words: str) -> None:
    clear_progress()
    tell(f"warning: {words}")


def _troubles(summary: RunSummary) -> list[str]:
    total = sum(failure.count for failure in summary.failures)
    if not total:
        return []
    with LedgerReader(Path(summary.ledger)) as reader:
        return trouble_lines(reader.troubles(MOST_TROUBLES), total)


def _converting(summary: RunSummary) -> list[str]:
    if not summary.states[State.UPLOADED]:
        return []
    with LedgerReader(Path(summary.ledger)) as reader:
        return converting_lines(reader.converting(MOST_TROUBLES))


def attended_loop(
    work: Callable[[OnEvent, Stop], Awaitable[T]], manner: Manner = USUAL, ledger: Path | None = None
) -> T:
    """Run ``work(on_event, stop)`` on a loop of its own: signals obeyed, progress shown, a log where asked for.

    ``ledger``: where others may see how far it came. Raises what the work raises, and ``Interrupted`` for a
    signal that came before it began.
    """
    progress, stop = Progress(), Stop()
    notices = None if manner.quiet else _show_notices
    events = Events(progress, notices, LogLines() if manner.verbose else None)
    last_resort, signals = LastResort(), current_signals()

    async def attended() -> T:
        watch = Watch(progress, anyio.current_time())

        def look() -> Facts:
            return watch.look(anyio.current_time())

        obedience = Obedience(signals, stop, last_resort, lambda: said_in_a_line(look()))
        with listening(signals, obedience), ExitStack() as stack:
            if signals.first is not None:
                # It came before anybody listened, where nothing could be raised.
                raise interrupted_by(signals)
            async with anyio.create_task_group() as attendants:
                if manner.shows_progress:
                    attendants.start_soon(show_progress, look, standard_error(), manner.interval)
                if ledger is not None:
                    attendants.start_soon(keep_heartbeat, look, stack.enter_context(Heartbeat(ledger)))
                result = await work(events, stop)
                attendants.cancel_scope.cancel()
            return result

    try:
        result: T = run_loop(attended)
    except KeyboardInterrupt:
        raise interrupted_by(signals) from None
    finally:
        last_resort.cancel()
        watch_ending(signals)
    return result
