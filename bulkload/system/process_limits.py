"""What this process may have open, and how much of that is left."""

import resource
import threading
from contextlib import suppress
from pathlib import Path

# Enough for a thousand uploads and their polls; beyond it, programs that this one starts may take long to close theirs.
MOST_DESCRIPTORS = 1 << 16
# Open descriptors, where the system does not list them.
_ASSUMED_OPEN = 32
_LISTS = (Path("/proc/self/fd"), Path("/dev/fd"))


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files as far as the hard one allows, for a program: a library must not do that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow less than their hard limit says.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def descriptors_left() -> int | None:
    """How many more files and sockets may be opened; None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(0, soft - _open_now())


def _open_now() -> int:
    for folder in _LISTS:
        with suppress(OSError):
            return len(list(folder.iterdir()))
    return _ASSUMED_OPEN


def can_start_threads(count: int) -> bool:
    """Whether so many more threads may run at the same time."""
    end = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        return False
    finally:
        end.set()
        for thread in started:
            thread.join()
    return True
