"""What happens in a run, as log events with fields."""

from typing import Any


class EventLog:
    """structlog's logger, which is imported (a twentieth of a second) when the first event may be read by somebody."""

    def __init__(self) -> None:
        # Nobody reads along.
        self.silent = False
        self._log: Any = None

    def info(self, event: str, **fields: Any) -> None:
        """Something that goes as it should."""
        if not self.silent:
            self._structlog().info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that somebody may have to look at."""
        if not self.silent:
            self._structlog().warning(event, **fields)

    def _structlog(self) -> Any:
        if self._log is None:
            import structlog

            self._log = structlog.get_logger("bulkload")
        return self._log


log = EventLog()
