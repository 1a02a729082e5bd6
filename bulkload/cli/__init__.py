"""The command line: words into settings, results into words and exit codes. No logic."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from bulkload import __version__
from bulkload.cli.signals import early_signals, interrupted_by
from bulkload.cli.streams import lasting_streams, leave_stream
from bulkload.core.errors import BulkloadError, ExitCode

# Command -> (module below bulkload.cli, its line in --help). Modules are imported when their command is used.
COMMANDS = {
    "run": ("run", "Publish a manifest; run again to resume."),
    "plan": ("plan", "What run would do; nothing is uploaded."),
    "status": ("status", "Counts and progress of a ledger, also of a live run."),
    "wait": ("wait", "Only poll what is uploaded."),
    "results": ("results", "One row per entry: table, csv, jsonl or parquet."),
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
    help="Flags as keys, TOML [default: bulkload.toml in this folder, where there is one].",
)
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Publish many ML models to a Wallaroo model registry: fast, safe, resumable.

    \b
    Try it:     bulkload demo
    Publish:    bulkload run models.csv --endpoint https://registry.example.com
    Resume:     the same command again

    Exit codes: 0 all published or already there, 2 usage, 3 some failed, 4 manifest invalid, 5 not authorised,
    6 registry unreachable, 7 too many failures, 10 --max-duration is over, 11 ledger in use, 12 still converting
    or in doubt, 130/143 interrupted, 1 internal error.
    """
    from bulkload.cli.options import load_config

    ctx.default_map = load_config(config, COMMANDS)


def run_command_line(words: Sequence[str]) -> int:
    """Run one command and return its exit code; errors become one clear message on standard error."""
    with lasting_streams(), early_signals():
        return _run(words)


def _run(words: Sequence[str]) -> int:
    code: object = None
    try:
        code = cli.main(args=list(words), prog_name="bulkload", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as interrupt:
        return show_error(interrupted_by(interrupt))
    except BrokenPipeError:
        # The reader (`| head`) has had enough, which changes nothing about how a run has ended.
        leave_stream(sys.stdout)
    except BulkloadError as error:
        return show_error(error)
    except Exception as error:  # noqa: BLE001 - never a traceback
        return show_error(error)
    return code if isinstance(code, int) else ExitCode.OK


def show_error(error: Exception) -> int:
    """Say what is wrong, whose fault it is and what to do; return the exit code."""
    from bulkload.core.errors import ManifestError

    if isinstance(error, ManifestError):
        for problem in error.problems:
            click.echo(str(problem), err=True)
    if isinstance(error, BulkloadError):
        click.echo(f"bulkload: {error}", err=True)
        return error.exit_code
    leaf: BaseException = error
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    if isinstance(leaf, BulkloadError):
        return show_error(leaf)
    if os.environ.get("BULKLOAD_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    click.echo(
        f"bulkload: internal error, please report it: {type(leaf).__name__}: {leaf}"
        " (BULKLOAD_TRACEBACK=1 shows where); the ledger is sound, run again to resume",
        err=True,
    )
    return ExitCode.INTERNAL
