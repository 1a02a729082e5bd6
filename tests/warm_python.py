"""Stands in for the interpreter of a command that was started warm, so that what it starts is warm, too.

``warm_python.py ADDRESS -P -m bulkload WORDS`` asks the parent at ADDRESS (``warm_start``) for a process with these
streams, folder and variables, waits for it, hands on the signals that end it, and ends as it ends.
"""

import json
import os
import signal
import socket
import sys


def main(address: str, interpreter: list[str]) -> int:
    """The exit status of the process, as ``os.wait`` has it."""
    words = interpreter[interpreter.index("bulkload") + 1 :]
    assert interpreter[: -len(words)] == ["-P", "-m", "bulkload"], "only this is known to be the same when it is warm"
    request = {"words": words, "cwd": os.getcwd(), "env": dict(os.environ), "apart": True}  # noqa: PTH109 - pathlib costs more than all else here
    relay, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as call:
        call.connect(address)
        socket.send_fds(call, [json.dumps(request).encode()], [0, 1, 2, theirs.fileno()])
    pid = int(relay.recv(16))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    # Whoever waits for the end of these waits for the process alone.
    for descriptor in (0, 1):
        os.close(descriptor)
    return int(relay.recv(16))


if __name__ == "__main__":
    code = os.waitstatus_to_exitcode(main(sys.argv[1], sys.argv[2:]))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
