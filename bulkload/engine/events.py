"""What happens in a run, as log events with fields."""

import structlog

log = structlog.get_logger("bulkload")
