"""Processes of ``bulkload`` that begin at once, for tests that start hundreds of them.

A parent imports what bulkload imports, once, and forks a child for every command: a process of its own, with its own
streams, folder, environment and signals, which then runs ``python -m bulkload`` from its first line on. Only the half
second of imports is spared, and that of the private sandbox which such a command starts (``warm_python``). Tests of the
start itself, and those whose environment changes Python (``PYTHON...``, ``LC_...``), start a real interpreter.
"""

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import random
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any, Self

LARGEST_REQUEST = 1 << 18
# By bulkload or by what it imports, once it has begun.
IMPORTED_WHEN_NEEDED = (
    "anyio._backends._asyncio", "click._textwrap", "encodings.idna", "ijson", "importlib.readers", "pyarrow.parquet",
    "rich.console", "rich.table", "structlog", "tomli_w", "uvloop", "yaml",
)  # fmt: skip
STAND_IN = Path(__file__).with_name("warm_python.py")


class WarmProcess:
    """A running command. What there is behaves as in ``subprocess.Popen``."""

    def __init__(self, pid: int, relay: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin, self.stdout = stdin, stdout
        self._returncode: int | None = None
        # Tells the exit status, once.
        self._relay = relay

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, below zero for a signal. Raises ``subprocess.TimeoutExpired``."""
        if self._returncode is None:
            self._relay.settimeout(timeout)
            try:
                told = self._relay.recv(16)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None
            self._relay.close()
            self._returncode = os.waitstatus_to_exitcode(int(told))
        return self._returncode

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``, unless it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        if self._returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class WarmStart:
    """The parent of the commands of this test process: ``with WarmStart() as warm: warm.run(...)``."""

    def __enter__(self) -> Self:
        """Start it; the first command waits for its imports."""
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno()), self._folder.name]
            self._parent = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._calls.close()
        self._parent.wait(timeout=60)
        self._folder.cleanup()

    def run(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``bulkload WORDS`` to its end. Raises ``subprocess.TimeoutExpired``, when it has been killed."""
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            read.write(stdin.encode())
            read.seek(0)
            pid, relay = self._fork(words, [read.fileno(), out.fileno(), err.fileno()], cwd, env)
            process = WarmProcess(pid, relay, read, out)
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                process.wait()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(["bulkload", *words], code, out.read().decode(), err.read().decode())

    def begin(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], streams: tuple[IO[bytes], IO[bytes], int]
    ) -> WarmProcess:
        """Start ``bulkload WORDS`` with these standard streams, the last one by its descriptor."""
        stdin, stdout, stderr = streams
        pid, relay = self._fork(words, [stdin.fileno(), stdout.fileno(), stderr], cwd, env)
        return WarmProcess(pid, relay, stdin, stdout)

    def start(self, words: Sequence[str]) -> WarmProcess:
        """Start ``bulkload WORDS`` here, with pipes for standard input and output; errors go where ours go."""
        (their_input, stdin), (stdout, their_output) = os.pipe(), os.pipe()
        pid, relay = self._fork(words, [their_input, their_output, 2], Path.cwd(), os.environ)
        os.close(their_input)
        os.close(their_output)
        return WarmProcess(pid, relay, os.fdopen(stdin, "wb", buffering=0), os.fdopen(stdout, "rb"))

    def _fork(
        self, words: Sequence[str], streams: list[int], cwd: Path, env: Mapping[str, str]
    ) -> tuple[int, socket.socket]:
        # Its two messages, pid and status, stay two, however late they are read.
        relay, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"words": list(words), "cwd": str(cwd), "env": dict(env)}
        with theirs:
            socket.send_fds(self._calls, [json.dumps(request).encode()], [*streams, theirs.fileno()])
        pid = relay.recv(16)
        assert pid, "the parent of the commands has died"
        return int(pid), relay


# In the parent.


def import_everything() -> None:
    """All modules of bulkload, and so what they import at their tops; and what they import when it is needed."""
    import bulkload

    for module in pkgutil.walk_packages(bulkload.__path__, "bulkload."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in IMPORTED_WHEN_NEEDED:
        importlib.import_module(name)


def listening(folder: Path) -> socket.socket:
    """Where the commands' own stand-in for an interpreter asks for processes; it is written here, too."""
    address, stand_in = folder / "calls", folder / "python"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(address))
    listener.listen()
    words = shlex.join([sys.executable, "-IS", str(STAND_IN), str(address)])
    stand_in.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    stand_in.chmod(0o700)
    # Once it is known to all children, it is what they start.
    sys.executable = str(stand_in)
    return listener


def serve(calls: socket.socket, listener: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a child for each request, and tell how each ended. Returns a request in its child, None at the end."""
    told, bell = socket.socketpair()
    for end in (told, bell):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno())
    relays: dict[int, socket.socket] = {}
    selector = DefaultSelector()
    for heard in (calls, listener, told):
        selector.register(heard, EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        # One at a time: no child has the descriptors of another one.
        if calls in ready or listener in ready:
            request = _request(calls) if calls in ready else _request_to(listener)
            if not request[0] and calls in ready:
                return None
            if request[0] and _fork_for(request[1], relays):
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                for end in (calls, listener, told, bell, *relays.values()):
                    end.close()
                return json.loads(request[0]), request[1]
        if told in ready:
            told.recv(4096)
            for pid, status in _ended():
                with relays.pop(pid) as relay_of_child, suppress(OSError):
                    relay_of_child.send(str(status).encode())


def _request(call: socket.socket) -> tuple[bytes, list[int]]:
    """A request and its descriptors: three streams, and what tells the pid and the end. Nothing at the end."""
    data, descriptors, *_ = socket.recv_fds(call, LARGEST_REQUEST, 4)
    return data, descriptors


def _request_to(listener: socket.socket) -> tuple[bytes, list[int]]:
    with listener.accept()[0] as call:
        return _request(call)


def _fork_for(descriptors: list[int], relays: dict[int, socket.socket]) -> bool:
    """Whether this is the child. The parent keeps what tells of its end."""
    pid = os.fork()
    if not pid:
        return True
    *streams, relay = descriptors
    for stream in streams:
        os.close(stream)
    relays[pid] = socket.socket(fileno=relay)
    with suppress(OSError):
        relays[pid].send(str(pid).encode())
    return False


def _ended() -> list[tuple[int, int]]:
    found = []
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            found.append(child)
    return found


def become(words: list[str], cwd: str, env: dict[str, str], descriptors: list[int], *, apart: bool = False) -> int:
    """Be a fresh interpreter that was called as ``python -m bulkload WORDS``. Returns its exit code.

    ``apart``: in a session of its own.
    """
    if apart:
        os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    random.seed()
    for number, (name, mode, errors) in enumerate(
        (("stdin", "r", "strict"), ("stdout", "w", "strict"), ("stderr", "w", "backslashreplace"))
    ):
        stream = io.TextIOWrapper(open(number, f"{mode}b", closefd=False), errors=errors)  # noqa: SIM115 - to the end
        stream.reconfigure(line_buffering=name == "stderr" or stream.isatty())
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = ["bulkload", *words]
    try:
        runpy.run_module("bulkload", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def end(code: int) -> None:
    """End as an interpreter does, but for taking every module apart, which costs more than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    import_everything()
    # What is never looked at again by a child is never copied for it.
    gc.collect()
    gc.freeze()
    request = serve(socket.socket(fileno=int(sys.argv[1])), listening(Path(sys.argv[2])))
    if request is not None:
        end(become(**request[0], descriptors=request[1]))
