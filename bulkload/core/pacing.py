"""Evenly paced budgets: a calculator apart from the sleeper. Time comes in as an argument, in monotonic seconds."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """Spreads units (requests, bytes) evenly: the n-th may start n / rate seconds after the first."""

    # Units a second; None: no limit.
    rate: float | None
    # When the next unit may start.
    _free_at: float = 0.0
    # Nothing starts before this moment, whatever the rate.
    _held_until: float = 0.0

    def reserve(self, now: float, units: float = 1.0) -> float:
        """Take ``units`` and return the seconds to wait before using them. An unused past is never saved up."""
        start = max(now, self._free_at, self._held_until)
        if self.rate is not None:
            self._free_at = start + units / self.rate
        return start - now

    def hold(self, now: float, seconds: float) -> None:
        """Let nothing start for ``seconds``: the registry asked everybody to wait."""
        self._held_until = max(self._held_until, now + seconds)
