"""How much memory a process needed at the most, read in or of the process that was attacked.

Not by ``ru_maxrss``: that begins with the memory of whoever started the process.
"""

import subprocess
import sys
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")

# Runs bulkload with its words, and says last how it ended and what it needed.
_PROGRAM = """
import sys
from pathlib import Path
from bulkload.cli import run_command_line
code = run_command_line(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(code, status.split("VmHWM:")[1].split()[0], file=sys.__stdout__)
"""


def most_mebibytes(process_id: int | str = "self") -> float:
    """The most memory that a process has had until now."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_with_memory(*words: object, cwd: Path | None = None) -> tuple[int, str, float]:
    """``bulkload WORDS``: its exit code, what it says on standard error, and the most memory in mebibytes."""
    command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, words)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    code, kibibytes = result.stdout.splitlines()[-1].split()
    return int(code), result.stderr, int(kibibytes) / 1024
