"""``bulkload demo``: the main job on an embedded registry, with sample models."""

import shutil
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from bulkload.cli.options import option, program
from bulkload.cli.telling import Manner
from bulkload.core.model.errors import ExitCode, UsageError
from bulkload.report.sink import say, standard_output
from bulkload.system.private import make_private_folder, new_private

MANIFEST = "quickstart.yaml"


@click.command(short_help="Publish sample models to a sandbox.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("bulkload-demo"))
@option("--verbose", "-v", is_flag=True, help="Log what happens.")
def command(folder: Path, verbose: bool) -> int:
    """Publish the sample models to a private sandbox in FOLDER. Run it again: nothing is sent twice."""
    from bulkload.cli.options import REGISTRY_FOLDER, SANDBOX_LEDGER, sandbox_folder
    from bulkload.cli.running import run_job
    from bulkload.cli.sandboxes import private_sandbox
    from bulkload.core.model.settings import Credentials, Settings
    from bulkload.engine.publish import publish
    from bulkload.ledger import LedgerReader
    from bulkload.report.results import TABLE_COLUMNS, print_table

    manifest = copy_samples(folder) / MANIFEST
    home = sandbox_folder(str(manifest))
    ledger = home / SANDBOX_LEDGER
    say(f"Publishing the sample models of {manifest} to a private sandbox.", "")
    with ExitStack() as stack:
        sandbox = stack.enter_context(private_sandbox(home / REGISTRY_FOLDER))
        settings = Settings(
            manifest=str(manifest),
            endpoint=sandbox.endpoint,
            ledger=ledger,
            credentials=Credentials(token=sandbox.token),
            default_workspace=True,
        )
        code = run_job(publish, settings, manner=Manner(verbose=verbose), command=f"{program()} demo {folder}")
    if code not in (ExitCode.OK, ExitCode.SOME_FAILED):
        return code
    with LedgerReader(ledger) as reader:
        rows = list(reader.results())
        say("")
        print_table(lambda: reader.results(TABLE_COLUMNS), standard_output())
    unexpected = [row for row in rows if not _as_announced(row)]
    say(*_look_further(manifest, announced=sum("error" in _expected(row) for row in rows)))
    return ExitCode.SOME_FAILED if unexpected else ExitCode.OK


def copy_samples(folder: Path) -> Path:
    """The samples in ``folder``, copied there unless they are there. Raises ``UsageError`` where it cannot be."""
    source = _samples()
    try:
        make_private_folder(folder)
        for name in (MANIFEST, "quickstart.csv", "models"):
            _copy(source / name, folder / name)
    except OSError as error:
        raise UsageError(
            f"{folder}: the samples cannot be copied there ({error.strerror}); name another folder"
        ) from None
    return folder


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        make_private_folder(target)
        for each in source.iterdir():
            _copy(each, target / each.name)
    elif not target.exists():
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as original, open(target, "xb", opener=new_private) as copy:
        shutil.copyfileobj(original, copy)


def _samples() -> Path:
    """In an installed package they lie inside it; in a checkout beside it."""
    package = Path(str(files("bulkload")))
    for place in (package / "samples", package.parent / "manifests"):
        if (place / MANIFEST).is_file():
            return place
    raise UsageError("the sample models are missing from this installation; install bulkload again")


def _expected(row: tuple[Any, ...]) -> str:
    import msgspec

    from bulkload.ledger.reader import RESULT_COLUMNS

    labels = msgspec.json.decode(row[RESULT_COLUMNS.index("labels")])
    return str(labels.get("expect", "ready"))


def _as_announced(row: tuple[Any, ...]) -> bool:
    from bulkload.ledger.reader import RESULT_COLUMNS

    state = row[RESULT_COLUMNS.index("state")]
    return _expected(row) == ("ready" if state == "skipped" else state)


def _look_further(manifest: Path, announced: int) -> list[str]:
    return [
        *(["", "The one in error is broken on purpose, as its name says."] if announced else []),
        "",
        "Look further:",
        f"  {program()} results {manifest} --format jsonl",
        f"  {program()} status {manifest}",
        "Again (nothing is sent twice):",
        f"  {program()} run {manifest} --sandbox",
        f"The manifest explains itself: {manifest}",
    ]
