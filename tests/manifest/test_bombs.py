"""What is small on disk stays small in memory: each bomb is read by a process of its own, whose memory is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifest.bombs import BOMBS, QUICK

MOST_MIB = 200

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")


# A process begins with the memory of the one that starts it, as ``ru_maxrss`` counts: so it looks for itself.
PROGRAM = """
import sys
from pathlib import Path
from bulkload.cli import run_command_line
code = run_command_line(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(code, status.split("VmHWM:")[1].split()[0], file=sys.__stdout__)
"""


def attack(path: Path) -> tuple[int, str, float]:
    """Exit code, what is said, and the most memory in MiB."""
    command = [sys.executable, "-c", PROGRAM, "plan", str(path), "--offline", "--sandbox"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    code, kibibytes = result.stdout.splitlines()[-1].split()
    return int(code), result.stderr, int(kibibytes) / 1024


def judge(name: str, folder: Path) -> None:
    write, words = BOMBS[name]
    path = folder / name
    write(path)
    code, said, most = attack(path)
    assert most < MOST_MIB
    assert words in said
    assert code == (4 if words else 0)
    assert "Traceback" not in said
    assert "internal error" not in said
    assert len(said) < 20_000


@pytest.mark.parametrize("name", QUICK)
def test_a_bomb_costs_no_memory(name, folder):
    judge(name, folder)


@pytest.mark.attack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in BOMBS if name not in QUICK])
def test_no_bomb_costs_memory(name, folder):
    judge(name, folder)
