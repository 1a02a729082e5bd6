"""What happens in a run, as log events with fields.

A library prints nothing by itself: events go where the program sends them, to structlog or to the logger "bulkload" of
the standard library, and nowhere where it has configured neither.
"""

import logging
import sys
from typing import Any

_logger = logging.getLogger("bulkload")
# The standard library would print warnings of a program that configures no logging.
_logger.addHandler(logging.NullHandler())


class EventLog:
    """The log of this package."""

    def __init__(self) -> None:
        # Nobody reads along.
        self.silent = False

    def info(self, event: str, **fields: Any) -> None:
        """Something that goes as it should."""
        if not self.silent:
            _emit("info", logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that somebody may have to look at."""
        if not self.silent:
            _emit("warning", logging.WARNING, event, fields)


def _emit(name: str, level: int, event: str, fields: dict[str, Any]) -> None:
    # Who has configured structlog has imported it.
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        getattr(structlog.get_logger("bulkload"), name)(event, **fields)
    elif _logger.isEnabledFor(level):
        _logger.log(level, "%s", _Line(event, fields), extra={"event": event, "fields": fields})


class _Line:
    """An event in words, for handlers that print any: ``uploaded entry=churn version_id=1215``."""

    def __init__(self, event: str, fields: dict[str, Any]) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        return " ".join((self._event, *(f"{name}={value!r}" for name, value in self._fields.items())))


log = EventLog()
