"""The command line: words into settings, results into words and exit codes. No logic."""

import os
from collections.abc import Sequence
from importlib import import_module

import click

from bulkload import __version__
from bulkload.cli.signals import interrupted_by
from bulkload.cli.streams import ended_with, standard_sinks
from bulkload.cli.telling import Telling
from bulkload.core.model.errors import BulkloadError, ExitCode, OutputLost, ReaderGone, UsageError, leaf_of
from bulkload.report.sink import standard_output, tell
from bulkload.system.process_limits import raise_descriptor_limit
from bulkload.system.signals import Signals

# Command -> (module below bulkload.cli, its line in --help). Modules are imported when their command is used.
COMMANDS = {
    "run": ("run", "Publish a manifest; run again to resume."),
    "plan": ("plan", "What run would do; nothing is uploaded."),
    "status": ("status", "Counts and progress of a ledger, also of a live run."),
    "wait": ("wait", "Only poll what is uploaded."),
    "results": ("results", "One row per entry: table, csv, jsonl, json or parquet."),
    "manifest": ("manifest", "Manifests: schema, convert."),
    "models": ("models", "Models of a registry: list, versions, show, config, logs."),
    "workspaces": ("workspaces", "Workspaces of a registry: list, create."),
    "verify": ("verify", "Compare ledger and registry."),
    "doctor": ("doctor", "Can I publish from here, and what to do if not."),
    "login": ("login", "Log in by a browser; further commands use it."),
    "logout": ("logout", "Forget the login to a registry."),
    "whoami": ("whoami", "Who the registry takes you for, and by what."),
    "sandbox": ("sandbox", "A local registry with the same API."),
    "demo": ("demo", "Publish sample models to a sandbox."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"bulkload.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of a misspelt one say which may be meant, also without importing any."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="bulkload", message="bulkload %(version)s")
@click.option(
    "--config",
    metavar="PATH",
    envvar="BULKLOAD_CONFIG",
    help="Flags as keys, TOML [default: $XDG_CONFIG_HOME/bulkload/bulkload.toml, then ./bulkload.toml].",
)
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Publish many ML models to a Wallaroo model registry: fast, safe, resumable.

    \b
    Try it:     bulkload demo
    Publish:    bulkload run models.csv --endpoint https://registry.example.com
    Resume:     the same command again

    Exit codes: 0 all published or already there, 2 usage, 3 some failed, 4 manifest invalid, 5 not authorised,
    6 registry unreachable, 7 too many failures, 10 --max-duration is over, 11 ledger in use, 12 some are still uploaded
    (converting on the registry) or in_doubt, 130/143 interrupted, 141 nobody reads the output any more, 1 internal
    error.
    """
    from bulkload.cli.settings_files import take_settings

    telling = ctx.find_object(Telling)
    if telling is not None:
        telling.root = ctx
    take_settings(ctx, config, {name: module for name, (module, _) in COMMANDS.items()})


def run_command_line(words: Sequence[str], signals: Signals | None = None) -> int:
    """Run one command and return its exit code; errors become one clear message on standard error.

    ``signals``: those of the process, where this is all that it does.
    """
    raise_descriptor_limit()
    with standard_sinks() as output:
        code = _run(words, signals or Signals())
        try:
            output.flush()
        except OutputLost as lost:
            if not isinstance(lost, ReaderGone):
                tell(f"bulkload: {lost}")
            return ended_with(code, lost)
    return code


def _run(words: Sequence[str], signals: Signals) -> int:
    code: object = None
    telling = Telling(signals, quiet=not {"-q", "--quiet"}.isdisjoint(words))
    try:
        code = cli.main(args=list(words), prog_name="bulkload", standalone_mode=False, obj=telling)
    except click.ClickException as error:
        error.show()
        _give_reason(words, telling, UsageError(error.format_message()))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        interrupted = interrupted_by(signals)
        _give_reason(words, telling, interrupted)
        return show_error(interrupted)
    except Exception as error:  # noqa: BLE001 - never a traceback
        code = show_error(error, telling)
        _give_reason(words, telling, error)
        return code
    return code if isinstance(code, int) else ExitCode.OK


def _give_reason(words: Sequence[str], telling: Telling, error: Exception) -> None:
    """For programs: also a command that did not begin says why, where its summary is asked for."""
    if telling.root is not None and not isinstance(error, OutputLost):
        from bulkload.cli.summaries import give_early

        give_early(words, telling, error)


def show_error(error: Exception, telling: Telling | None = None) -> int:
    """Say what is wrong, whose fault it is and what to do; return the exit code."""
    from bulkload.core.model.errors import ManifestError
    from bulkload.core.verdicts import want_behind

    more = ""
    context = click.get_current_context(silent=True)
    if telling is None and context is not None:
        telling = context.find_object(Telling)
    if isinstance(error, ManifestError):
        from bulkload.report.problems import problem_lines

        lines, is_cut = problem_lines(error.problems, each=telling is not None and telling.all_problems)
        for line in lines:
            tell(*_indented(line))
        more = "; --all-problems shows each" if is_cut and telling is not None else ""
    if isinstance(error, BulkloadError):
        if isinstance(error, ReaderGone) or error is standard_output().lost:
            return error.exit_code  # said at the end, or never
        tell(*_indented(f"bulkload: {error}{more}"))
        return error.exit_code
    leaf = leaf_of(error)
    if isinstance(leaf, BulkloadError):
        return show_error(leaf, telling)
    if (want := want_behind(leaf)) is not None:
        return show_error(want)
    if os.environ.get("BULKLOAD_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    tell(
        *_indented(
            f"bulkload: internal error, please report it: {type(leaf).__name__}: {leaf}"
            " (BULKLOAD_TRACEBACK=1 shows where); the ledger is sound, run again to resume"
        )
    )
    return ExitCode.INTERNAL


def _indented(text: str) -> list[str]:
    """A message's lines; further ones, which may quote others, cannot be taken for lines of ours."""
    first, *more = text.splitlines() or [""]
    return [first, *(f"  {line}" for line in more)]
