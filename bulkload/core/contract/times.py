"""Times as the registry writes them."""

from datetime import UTC, datetime


def registry_time(text: str | None) -> datetime | None:
    """ISO 8601 with a fraction of any width (``2026-01-09T18:38:00.86797+00:00`` occurs); None for what is no time."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
