"""Log events with fields, for whoever asks for them with -v."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bulkload.engine.events import log


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

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _clear_line if sys.stderr.isatty() else _as_it_is,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _as_it_is(_: Any, __: str, event: Any) -> Any:
    return event


def _clear_line(_: Any, __: str, event: Any) -> Any:
    # The progress line stands where the event is about to be written.
    sys.stderr.write("\r\x1b[2K")
    return event
