"""Programs under measurement: each a process of its own, from its start to its end."""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks.progress import wait_readable

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkFailed(Exception):
    """Something did not do the work that was to be measured; a number would be worth nothing."""


@dataclass(frozen=True)
class Ended:
    """A process that came to its end."""

    exit_code: int
    seconds: float
    # User and system, of the process and of the children that it waited for.
    cpu_seconds: float
    # The largest resident set of the process itself; it begins as a copy of this one, so this one stays small.
    peak_bytes: int
    output: str
    errors: str


def environment_of(folder: Path) -> dict[str, str]:
    """For every client: none of the user's own settings or proxies; temporary files on the same disk as the ledger."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "BULKLOAD_TOKEN": "a-token",
    }


class Process:
    """`with Process([...], folder, environment) as process: ended = process.wait()`; it never outlives its block."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], *, words: str = "") -> None:
        """``words`` is its standard input."""
        self._command = command
        # Files, not pipes: nobody needs to read along.
        self._output, self._errors = tempfile.TemporaryFile(dir=folder), tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        with tempfile.TemporaryFile(dir=folder) as given:
            given.write(words.encode())
            given.seek(0)
            self._began = time.monotonic()
            # A group of its own: what it starts in turn can be ended with it.
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=given,
                stdout=self._output,
                stderr=self._errors,
                process_group=0,
            )
        self._descriptor = os.pidfd_open(self._popen.pid)

    def __enter__(self) -> Self:
        """Runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, if it did not end by itself."""
        if self._popen.returncode is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        os.close(self._descriptor)
        self._output.close()
        self._errors.close()

    def wait(self) -> Ended:
        """Wait for its end."""
        wait_readable(self._descriptor)
        seconds = time.monotonic() - self._began
        _, status, used = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return Ended(
            exit_code=self._popen.returncode,
            seconds=seconds,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_bytes=used.ru_maxrss * 1024,
            output=self._text(self._output),
            errors=self._text(self._errors),
        )

    def succeed(self) -> Ended:
        """Wait for its end. Raises ``BenchmarkFailed`` unless that is a success."""
        ended = self.wait()
        if ended.exit_code != 0:
            words = " ".join(self._command)[:200]
            raise BenchmarkFailed(f"{words}: exit code {ended.exit_code}\n{ended.errors[-2000:]}{ended.output[-2000:]}")
        return ended

    def interrupt(self) -> None:
        """As Ctrl-C does; nothing where it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGINT)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def cpu_seconds(self) -> float:
        """What it used so far."""
        fields = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    @staticmethod
    def _text(file: IO[bytes]) -> str:
        file.seek(0)
        return file.read().decode(errors="replace")
