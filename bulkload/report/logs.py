"""Log events with fields, for whoever asks for them with -v."""

from collections.abc import Iterator
from contextlib import contextmanager

from bulkload.engine.events import log
from bulkload.report.sink import Sink, standard_error


@contextmanager
def logs(*, verbose: bool) -> Iterator[None]:
    """Send events to standard error, or nowhere."""
    if verbose:
        _set_up()
    log.silent = not verbose
    try:
        yield
    finally:
        log.silent = False


def _set_up() -> None:
    import structlog

    sink = standard_error()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=lambda *_: _Lines(sink),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """What structlog writes to: each event is one line, in the place of the progress line where there is one."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, event: str) -> None:
        self._sink.renew_line("")
        self._sink.say(event)

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = msg
