"""How busy this machine is: a bound on a real clock that holds on a quiet one is widened by it."""

import os


def times_slower() -> float:
    """Processes that want a core, for each that there is, over the last minute; at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
