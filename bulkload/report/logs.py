"""Log events with fields, for whoever asks for them with -v."""

from collections.abc import Iterator
from contextlib import contextmanager

from bulkload.engine.events import log
from bulkload.report.sink import Sink, standard_error


@contextmanager
def logs(*, verbose: bool) -> Iterator[None]:
    """Send events to standard error, or nowhere, for as long as the block."""
    log.silent = not verbose
    try:
        if verbose:
            with _by_structlog():
                yield
        else:
            yield
    finally:
        log.silent = False


@contextmanager
def _by_structlog() -> Iterator[None]:
    import structlog

    sink = standard_error()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=lambda *_: _Lines(sink),
    )
    try:
        yield
    finally:
        structlog.reset_defaults()


class _Lines:
    """What structlog writes to: each event is one line, in the place of the progress line where there is one."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, event: str) -> None:
        self._sink.renew_line("")
        self._sink.say(event)

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = msg
