"""Log events with fields, for whoever asks for them with -v."""

import logging
import sys
from typing import Any

import structlog


def set_up_logs(verbosity: int) -> None:
    """Send events to standard error: none by default, what happens with -v."""
    level = logging.INFO if verbosity > 0 else logging.CRITICAL
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
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
