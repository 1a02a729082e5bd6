"""Commands that run beside a test, which waits for what they do and say, never for a time."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

from tests.warm_start import WarmProcess, WarmStart

PAUSE_SECONDS = 0.02
# Far more than anything takes, on whatever machine.
LONGEST_SECONDS = 60.0


def until(happened: Callable[[], Any], why: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not happened():
        assert time.monotonic() < deadline, why()
        time.sleep(PAUSE_SECONDS)


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


class Attended:
    """A command whose words on standard output and standard error may be read at any time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self._open = ExitStack()
        self.process: WarmProcess

    def begin(
        self,
        warm: WarmStart,
        *words: object,
        cwd: Path,
        env: dict[str, str],
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> Self:
        """Start it. Standard input is empty, and standard output a file, unless they are given."""
        with self._err.open("wb") as err:
            read = stdin or self._open.enter_context(os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb"))
            out = stdout or self._open.enter_context(self._out.open("wb"))
            self.process = warm.begin([*map(str, words)], cwd=cwd, env=env, streams=(read, out, err.fileno()))
        return self

    @property
    def stdout(self) -> str:
        """What it has said so far."""
        return self._out.read_text() if self._out.exists() else ""

    @property
    def stderr(self) -> str:
        """What it has said so far, besides."""
        return self._err.read_text()

    def until(self, happened: Callable[[], Any]) -> None:
        """Wait for a condition, which has to come before the command ends."""

        def found() -> bool:
            if happened():
                return True
            assert self.process.poll() is None, f"ended with {self.process.poll()}: {self.stderr}"
            return False

        until(found, lambda: f"still running: {self.stderr}")

    def until_it_says(self, text: str) -> None:
        """Wait until a text is on standard error."""
        self.until(lambda: text in self.stderr)

    def until_it_is(self, phase: str) -> None:
        """Ask it (SIGUSR1) how it is getting on until its answer has a text."""
        self.until(lambda: handles(self.process.pid, signal.SIGUSR1))
        answered = len(self.stderr)

        def asked() -> bool:
            self.process.send_signal(signal.SIGUSR1)
            return phase in self.stderr[answered:]

        self.until(asked)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(LONGEST_SECONDS)

    def summary(self) -> dict[str, Any]:
        """The one line of ``--json``."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, (lines, self.stderr)
        found: dict[str, Any] = json.loads(lines[0])
        return found

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        self._open.close()


@contextmanager
def attending(folder: Path) -> Iterator[Callable[[], Attended]]:
    """Makes ``Attended`` commands that end with the block."""
    made: list[Attended] = []

    def make() -> Attended:
        made.append(Attended(folder, f"command-{len(made)}"))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()
