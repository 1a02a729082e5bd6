"""A private sandbox: a child process that ends with its parent, however that ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bulkload.core.model.errors import ExitCode, SandboxInUse, UsageError
from bulkload.system.private import make_private_folder

# Conversions that take the real registry a minute take a private sandbox a second.
PRIVATE_TIME_SCALE = 0.02


class SandboxAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The line that ``bulkload sandbox --json`` prints when it is ready."""

    endpoint: str
    token: str
    username: str
    password: str
    data: str


@contextmanager
def private_sandbox(data: Path, time_scale: float = PRIVATE_TIME_SCALE) -> Iterator[SandboxAddress]:
    """A sandbox on ``data`` for as long as the block.

    Raises ``UsageError`` where it cannot start, ``SandboxInUse`` where another command has it.
    """
    # -P: without it, what lies in the current folder is imported, such as a click.py beside the manifest.
    command = [sys.executable, "-P", "-m", "bulkload", "sandbox", "--json", "--data", str(data)]
    command += ["--time-scale", str(time_scale), "--until-stdin-closes"]
    try:
        make_private_folder(data)
    except OSError as error:
        raise UsageError(
            f"{data}: cannot be made ({error.strerror}); with --ledger PATH the sandbox is kept beside that ledger"
        ) from None
    # Flags of the parent are not the child's; a session of its own, so that Ctrl-C reaches the parent alone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BULKLOAD_")}
    # An entry that is empty or relative means the current folder, too.
    imported_from = [each for each in environment.pop("PYTHONPATH", "").split(os.pathsep) if Path(each).is_absolute()]
    if imported_from:
        environment["PYTHONPATH"] = os.pathsep.join(imported_from)
    with subprocess.Popen(  # noqa: S603 - this very program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("both are pipes")
        try:
            line = child.stdout.readline()
            if not line:
                in_use = child.wait() == ExitCode.LEDGER_IN_USE
                ending = SandboxInUse if in_use else UsageError
                raise ending(f"{data}: the sandbox could not start; see the message above")
            yield msgspec.json.decode(line, type=SandboxAddress)
        finally:
            child.stdin.close()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
