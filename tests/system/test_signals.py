"""A signal that comes where nothing can be raised is remembered, without a word of Python's."""

import subprocess
import sys

PROGRAM = """
import os, signal
from bulkload.system.signals import Signals

signals = Signals()
signals.take_over()

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): pass

Dropped()
print(signals.first, signals.exit_code)
"""


def test_a_signal_where_nothing_can_be_raised_is_remembered():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout == "15 143\n"
    assert result.stderr == ""
