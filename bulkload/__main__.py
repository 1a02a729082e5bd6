"""``python -m bulkload`` and the ``bulkload`` command."""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    _forget_current_folder()
    from bulkload.cli import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))


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


if __name__ == "__main__":
    main()
