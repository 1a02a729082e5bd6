"""Everything that can go wrong, by whose fault it is. One root, and every message ends with what to do.

::

    BulkloadError
    ├── UsageError             2   the command, a flag or a setting is wrong
    ├── ManifestError          4   the manifest or a file it names is wrong
    ├── LedgerInUse           11   another run holds the ledger
    ├── SandboxInUse          11   another command holds the folder of the sandbox
    ├── LedgerError            1   the ledger cannot be read or written
    ├── OutputLost             1   standard output cannot be written
    │   └── ReaderGone       141   whoever read it has gone away, which needs no words
    ├── NotAuthorised          5   the registry does not accept the token, or there is none
    ├── RegistryUnavailable    6   the registry cannot be reached or refuses for now: run again
    │   └── ForeignAnswer      6   what answers is not a registry
    ├── LocalTrouble           6   this machine lacks something, or a disk does not answer, for now: run again
    ├── TooManyFailures        7   stopped by --max-failures, or by one cause again and again
    ├── WindowEnded           10   the time of --max-duration is over
    └── Interrupted      130/143   a signal came
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import islice

from bulkload.core.model.records import Problem


class ExitCode(IntEnum):
    """Exit codes of the command line, a contract with scripts."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    SOME_FAILED = 3
    MANIFEST = 4
    NOT_AUTHORISED = 5
    UNAVAILABLE = 6
    TOO_MANY_FAILURES = 7
    WINDOW_ENDED = 10
    LEDGER_IN_USE = 11
    STILL_OPEN = 12
    INTERRUPTED = 130
    # As other programs end by SIGPIPE.
    READER_GONE = 141
    TERMINATED = 143


class BulkloadError(Exception):
    """The root of all errors that bulkload raises on purpose."""

    exit_code = ExitCode.INTERNAL


class UsageError(BulkloadError):
    """The command, a flag or a setting is wrong."""

    exit_code = ExitCode.USAGE


# As notes of a ManifestError; all are in its ``problems``.
PROBLEMS_IN_A_TRACEBACK = 5


class ManifestError(BulkloadError):
    """The manifest, or a file that it names, is wrong. Nothing was sent."""

    exit_code = ExitCode.MANIFEST

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        # Each of them, in the manifest's order; many are kept on disk for as long as this error is.
        self.problems = problems
        # A program that does not catch it shows them under its traceback.
        for problem in islice(problems, PROBLEMS_IN_A_TRACEBACK):
            self.add_note(str(problem))


class LedgerError(BulkloadError):
    """The ledger cannot be read or written."""

    exit_code = ExitCode.INTERNAL


class LedgerInUse(BulkloadError):
    """Another process holds the ledger."""

    exit_code = ExitCode.LEDGER_IN_USE


class SandboxInUse(BulkloadError):
    """Another process holds the folder of a sandbox, and with it the ledger beside it."""

    exit_code = ExitCode.LEDGER_IN_USE


class OutputLost(BulkloadError):
    """Standard output cannot be written."""

    exit_code = ExitCode.INTERNAL


class ReaderGone(OutputLost):
    """Whoever read standard output has gone away, such as ``head``: it has had enough."""

    exit_code = ExitCode.READER_GONE


class NotAuthorised(BulkloadError):
    """There is no token, or the registry does not accept it."""

    exit_code = ExitCode.NOT_AUTHORISED


class RegistryUnavailable(BulkloadError):
    """The registry cannot be reached or refuses for now: run again."""

    exit_code = ExitCode.UNAVAILABLE


class LocalTrouble(BulkloadError):
    """This machine lacks something, or cannot read a file, for a cause that passes: run again."""

    exit_code = ExitCode.UNAVAILABLE


class TooManyFailures(BulkloadError):
    """More entries failed than ``--max-failures`` allows, or ten in a row for one cause: the run takes nothing new."""

    exit_code = ExitCode.TOO_MANY_FAILURES


class WindowEnded(BulkloadError):
    """The time that ``--max-duration`` gives is over."""

    exit_code = ExitCode.WINDOW_ENDED


class Interrupted(BulkloadError):
    """A signal came: SIGINT, or one that ends a program as SIGTERM does."""

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted")
        self.exit_code = ExitCode.INTERRUPTED if signal == ExitCode.INTERRUPTED - 128 else ExitCode.TERMINATED


class ForeignAnswer(RegistryUnavailable):
    """What answered does not speak the registry's API."""


# Of several reasons for an exit, the first of these that applies; what is not here applies when nothing else does.
_PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.USAGE,
    ExitCode.MANIFEST,
    ExitCode.LEDGER_IN_USE,
    ExitCode.INTERNAL,
    ExitCode.NOT_AUTHORISED,
    ExitCode.UNAVAILABLE,
    ExitCode.TOO_MANY_FAILURES,
    ExitCode.WINDOW_ENDED,
)


def outranks(error: BulkloadError, other: BulkloadError) -> bool:
    """Whether a run that both would end exits with the code of ``error``."""
    return _rank(error) < _rank(other)


def _rank(error: BulkloadError) -> int:
    return _PRECEDENCE.index(error.exit_code) if error.exit_code in _PRECEDENCE else len(_PRECEDENCE)


def leaf_of(error: BaseException) -> BaseException:
    """The first of the errors that groups were made around."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
