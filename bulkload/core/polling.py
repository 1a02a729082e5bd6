"""When to ask again whether a version is done."""

from dataclasses import dataclass

GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class PollInterval:
    """First and longest wait between two polls of one version, in seconds."""

    first: float = 1.0
    longest: float = 30.0

    def wait_seconds(self, polls_done: int, chance: float) -> float:
        """The wait after the ``polls_done``-th poll: growing, with up to a tenth of jitter; ``chance`` is in [0, 1)."""
        grown = min(self.longest, self.first * GROWTH ** min(polls_done, 64))
        return grown * (1.0 - 0.1 * chance)


# `--poll-rate auto`: every poll but a version's first, all together, a second.
AUTO_POLL_RATE = 20.0
