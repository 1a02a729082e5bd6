"""The summary object of a command: on standard output for ``--json``, in the file of ``--summary-file``.

Whatever ends the command, also before it has begun, the object says why.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bulkload.cli.ledgers import files_of
from bulkload.cli.outputs import refuse_no_folder, refuse_what_is_read, written_file
from bulkload.cli.telling import Telling
from bulkload.core.model.errors import BulkloadError, ManifestError, OutputLost, UsageError, leaf_of
from bulkload.core.model.records import Problem
from bulkload.core.model.states import State
from bulkload.core.model.summary import RequestCounts, RunSummary, run_error
from bulkload.core.verdicts import want_behind
from bulkload.report.sink import standard_output, tell
from bulkload.report.summary_json import summary_json
from bulkload.system.file_names import recorded_path

FLAG = "--summary-file"


@dataclass(frozen=True, slots=True)
class SummaryPlaces:
    """Where a command's summary goes."""

    as_json: bool = False
    file: Path | None = None
    # What is read or written meanwhile, and must not be replaced.
    beside: tuple[Path, ...] = ()

    def refuse_unwritable(self) -> None:
        """Before hours of work. Raises ``UsageError``."""
        if self.file is not None:
            refuse_what_is_read(self.file, self.beside, FLAG)
            refuse_no_folder(self.file, FLAG)

    def give(self, summary: object, problems: Sequence[Problem] = ()) -> OutputLost | None:
        """Write it; what is in the way of the file is said, and given back."""
        if self.as_json:
            output = standard_output()
            with suppress(OutputLost):  # said at the end, and what it means for the exit code
                for piece in summary_json(summary, problems):
                    output.give(piece)
                output.flush()
        if self.file is None:
            return None
        try:
            with written_file(self.file, beside=self.beside, flag=FLAG) as sink:
                for piece in summary_json(summary, problems):
                    sink.give(piece)
        except (UsageError, OutputLost) as error:
            tell(f"bulkload: {error}")
            return error if isinstance(error, OutputLost) else OutputLost(str(error))
        return None


NOWHERE = SummaryPlaces()


def summary_places(flags: dict[str, Any], ledger: Path, manifest: str) -> SummaryPlaces:
    """What the flags say."""
    beside = (*files_of(ledger), Path(manifest)) if flags["summary_file"] is not None else ()
    return SummaryPlaces(flags["as_json"], flags["summary_file"], beside)


def problems_of(error: BaseException | None) -> Sequence[Problem]:
    """Each problem of a manifest that is wrong."""
    return error.problems if isinstance(error, ManifestError) else ()


def early_summary(manifest: str, endpoint: str, ledger: Path, error: Exception) -> RunSummary:
    """The summary of a run that ended before its ledger knew of it: what the ledger says, where there is one."""
    from bulkload.ledger import LedgerReader

    states = {state.value: 0 for state in State}
    with suppress(BulkloadError), LedgerReader(ledger) as reader:
        states = reader.counts()
    reason = run_error(states, 0, error)
    return RunSummary(
        run_id="",
        endpoint=endpoint,
        manifest=recorded_path(manifest),
        ledger=recorded_path(str(ledger)),
        exit_code=reason.exit_code if reason is not None else 0,
        entries=sum(states.values()),
        states=states,
        bytes_sent=0,
        requests=RequestCounts(),
        retries=0,
        adopted=0,
        duplicates=0,
        elapsed_seconds=0.0,
        error=reason,
    )


def understood(error: Exception) -> Exception:
    """One error out of its groups; what this machine lacked, where that is behind it."""
    leaf = leaf_of(error)
    found = want_behind(leaf) or leaf
    return found if isinstance(found, Exception) else error


def give_early(words: Sequence[str], telling: Telling, error: Exception) -> None:
    """Of a command that ended before it had what it needs to begin: wrong flags, no registry, a wrong manifest."""
    root = telling.root
    name = root.invoked_subcommand if root is not None else None
    if root is None or name not in ("run", "wait", "plan") or name not in words:
        return
    command = root.command.get_command(root, name) if isinstance(root.command, click.Group) else None
    if command is None:
        return
    rest = words[words.index(name) + 1 :]
    # What can be understood of them: something cannot.
    flags = command.make_context(name, list(rest), parent=root, resilient_parsing=True).params
    as_json = bool(flags.get("as_json")) or "--json" in rest
    file = flags.get("summary_file") or _following(FLAG, rest)
    if not as_json and file is None:
        return
    error = understood(error)
    summary, ledger, manifest = _early_object(name, flags, error)
    beside = (*files_of(ledger), Path(manifest)) if file is not None else ()
    SummaryPlaces(as_json, file, beside).give(summary, problems_of(error))


def _early_object(name: str, flags: dict[str, Any], error: Exception) -> tuple[object, Path, str]:
    from bulkload.cli.options import default_ledger

    manifest = str(flags.get("manifest") or "")
    ledger = flags.get("ledger") or default_ledger(manifest)
    if name == "plan":
        from bulkload.report.plan import failed_plan_object

        return failed_plan_object(recorded_path(manifest), error), ledger, manifest
    return early_summary(manifest, flags.get("endpoint") or "", ledger, error), ledger, manifest


def _following(flag: str, words: Sequence[str]) -> Path | None:
    for position, word in enumerate(words):
        before, _, value = word.partition("=")
        if before == flag:
            found = value or "".join(words[position + 1 : position + 2])
            return Path(found) if found else None
    return None
