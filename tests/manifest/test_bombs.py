"""What is small on disk stays small in memory: each bomb is read by a process of its own, whose memory is measured."""

from pathlib import Path

import pytest

from tests.manifest.bombs import BOMBS, QUICK, attack
from tests.memory import needs_proc

MOST_MIB = 200

pytestmark = needs_proc


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
