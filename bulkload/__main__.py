"""``python -m bulkload`` and the ``bulkload`` command."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from bulkload.cli import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
