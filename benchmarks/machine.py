"""What the numbers were measured on, and with."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, str]:
    """The machine and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("bulkload", "aiohttp", "uvloop")},
        "curl": _first_words("curl", "--version"),
        "openssl": _first_words("openssl", "version"),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_words(*command: str) -> str:
    """ "curl 8.5.0 ..." -> "8.5.0"."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]
