"""How long a run pauses, where nobody says how long."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """Seconds. What the registry asks for (``Retry-After``) is no pause of ours."""

    # Doubled with every failed try of a call: at most half a second after the first, ...
    backoff_unit: float = 0.25
    # ... and never more than this.
    backoff_longest: float = 20.0
    # The registry writes error_summary a moment after the status.
    error_summary: float = 1.0

    def backoff(self, attempt: int, chance: float) -> float:
        """How long to wait after the ``attempt``-th failed try (from 1), with full jitter: ``chance`` is in [0, 1)."""
        # The exponent is capped so that a huge attempt cannot overflow.
        return chance * min(self.backoff_longest, self.backoff_unit * 2.0 ** min(attempt, 30))
