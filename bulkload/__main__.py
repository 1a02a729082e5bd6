"""``python -m bulkload`` and the ``bulkload`` command."""

import os
import sys


def _forget_current_folder() -> None:
    """`python -m`, and an empty entry in PYTHONPATH, import from the current folder first.

    Others may have laid a click.py there, beside a manifest.
    """
    # Without pathlib, which has not been imported yet.
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    here = ("", _current_folder())
    sys.path[:] = [folder for folder in sys.path if folder == package or folder not in here]


def _current_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


_forget_current_folder()

from typing import NoReturn  # noqa: E402

from bulkload.system.signals import Signals  # noqa: E402


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    signals = Signals()
    try:
        # Before anything is imported that takes its time.
        signals.take_over()
        from bulkload.cli import run_command_line

        code = run_command_line(sys.argv[1:], signals)
        signals.ignore()
    except KeyboardInterrupt:
        # The first signal, outside the command. A second one would have ended it here.
        signals.ignore()
        signals.say("interrupted")
        code = signals.exit_code
    _leave(code)


def _leave(code: int) -> NoReturn:
    """Exit, also where a thread still waits for a read that nobody can cancel: standard input, a disk that hangs."""
    threading = sys.modules.get("threading")
    main_thread = threading.main_thread() if threading else None
    if threading and any(thread is not main_thread and not thread.daemon for thread in threading.enumerate()):
        os._exit(code)  # what was said has left
    sys.exit(code)


if __name__ == "__main__":
    main()
