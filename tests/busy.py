"""How busy this machine is: a bound on a real clock that holds on a quiet one is widened by it."""

import os
from contextlib import suppress
from pathlib import Path


def times_slower() -> float:
    """Processes that want a core, for each that there is, over the last minute or at this moment; at least 1."""
    wanting = os.getloadavg()[0]
    with suppress(OSError):  # only Linux says how many there are now
        wanting = max(wanting, float(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))
    return max(1.0, wanting / (os.cpu_count() or 1))
