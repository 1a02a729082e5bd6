"""``bulkload run``: publish a manifest, or go on with it."""

import shlex
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bulkload.cli.access import refuse_registry_with_sandbox, registry_access
from bulkload.cli.flags import Whole
from bulkload.cli.options import (
    SANDBOX_LEDGER,
    connection_options,
    default_ledger,
    option,
    output_options,
    parsed,
    program,
    sandbox_folder,
)
from bulkload.cli.telling import manner_of, problems_option
from bulkload.core.limits.run_limits import parse_failure_limit
from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import OnExisting, Route, Settings
from bulkload.core.model.units import parse_bandwidth, parse_duration, parse_duration_range, parse_rate
from bulkload.core.polls.schedule import PollInterval


def manifest_options(function: Any) -> Any:
    """What is published, to where, and where the ledger is: ``run`` and ``plan`` share it."""
    decorators = (
        click.argument("manifest", metavar="MANIFEST"),
        *_TARGET_OPTIONS,
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return connection_options(problems_option(function))


_TARGET_OPTIONS = (
    option("--sandbox", is_flag=True, help="Publish to a private sandbox, kept in MANIFEST.sandbox/."),
    option("--workspace", metavar="ID|NAME", help="For entries that name none: all digits an id, else a name."),
    option("--create-workspace", is_flag=True, help="Make workspaces that do not exist."),
    option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="For entries that do not say FIELD."),
    option(
        "--root",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Read nothing outside this folder for the manifest, links resolved.",
    ),
    option(
        "--ledger",
        type=click.Path(dir_okay=False, path_type=Path),
        help="What became of every entry [default: MANIFEST.ledger.db].",
    ),
    option(
        "--on-existing",
        type=click.Choice([choice.value for choice in OnExisting]),
        default=OnExisting.SKIP.value,
        help="What an equal version already in the registry means.",
    ),
    option("--retry-failed", is_flag=True, help="Take entries in error, or with wrong bytes, again as new versions."),
)

_poll_rate_option = option(
    "--poll-rate",
    callback=parsed(lambda words: None if words == "auto" else parse_rate(words)),
    default="auto",
    metavar="RATE",
    help="Polls; auto: first polls keep pace with the uploads, all others together 20/s.",
)

_PACE_OPTIONS = (
    option("--concurrency", type=Whole(1, 1024), default=16, metavar="N", help="Most uploads at a time."),
    option(
        "--upload-rate",
        callback=parsed(parse_rate),
        metavar="RATE",
        help="Uploads, such as 10/s or 600/m, evenly paced.",
    ),
    _poll_rate_option,
    option("--list-rate", callback=parsed(parse_rate), metavar="RATE", help="Listings."),
    option("--token-rate", callback=parsed(parse_rate), metavar="RATE", help="Requests for tokens."),
    option(
        "--max-converting",
        type=Whole(min=1),
        metavar="N",
        help="Versions that may be converting on the registry at once; those that are ready at once do not count.",
    ),
    option(
        "--max-failures",
        callback=parsed(parse_failure_limit),
        metavar="N|P%",
        help="Stop when more than N entries, or more than P% of at least 20 finished ones, failed.",
    ),
    option(
        "--max-duration",
        callback=parsed(parse_duration),
        metavar="TIME",
        help="Begin nothing that would not end within this time from the start of the command, such as 2h; exit 10.",
    ),
    option(
        "--bandwidth", callback=parsed(parse_bandwidth), metavar="RATE", help="All uploads together, such as 50MB/s."
    ),
)

_WAIT_OPTIONS = (
    option(
        "--poll-interval",
        callback=parsed(lambda words: PollInterval(*parse_duration_range(words))),
        default="1s..30s",
        metavar="FIRST..LONGEST",
        help="Shortest and longest wait between two polls of one version; in between, when it is likely to be done.",
    ),
    option(
        "--wait-timeout",
        callback=parsed(parse_duration),
        default="30m",
        metavar="TIME",
        help="Longest wait for one version.",
    ),
    option(
        "--patience",
        callback=parsed(parse_duration),
        default="10m",
        metavar="TIME",
        help="Longest wait for a registry that takes nothing any more; exit 6.",
    ),
)

route_option = option(
    "--route",
    type=click.Choice([choice.value for choice in Route]),
    default=Route.AUTO.value,
    help="auto: onnx and tensorflow by models/upload, others by upload_and_convert; convert: all by the latter.",
)

_SEND_OPTIONS = (
    option("--resend-in-doubt", is_flag=True, help="Send again what cannot be decided, at the risk of a double."),
    option("--wait/--no-wait", default=True, help="--no-wait ends after the uploads."),
    option(
        "--answer-timeout",
        callback=parsed(parse_duration),
        default="20m",
        metavar="TIME",
        help="Longest wait for an upload's answer after its last byte.",
    ),
    option(
        "--settle",
        callback=parsed(parse_duration),
        default="30s",
        metavar="TIME",
        help="How long a lost upload may still land.",
    ),
    route_option,
)


def all_of(decorators: tuple[Any, ...], function: Any) -> Any:
    """Put flags on a command, in their order."""
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def poll_options(function: Any) -> Any:
    """How often to ask, and for how long."""
    return all_of((_poll_rate_option, *_WAIT_OPTIONS), function)


@click.command(short_help="Publish a manifest; run again to resume.")
@manifest_options
@lambda function: all_of((*_PACE_OPTIONS, *_WAIT_OPTIONS, *_SEND_OPTIONS), function)
@output_options
@click.pass_context
def command(ctx: click.Context, /, **flags: Any) -> int:
    """Publish the models of MANIFEST (csv, jsonl, yaml, ...; - for JSON lines on standard input).

    Run the same command again to resume: what is published stays published, once.
    """
    from bulkload.cli.running import run_job
    from bulkload.cli.summaries import summary_places
    from bulkload.engine.publish import publish

    with ExitStack() as stack:
        settings = settings_from(ctx, flags, stack)
        places = summary_places(flags, settings.ledger, settings.manifest)
        places.refuse_unwritable()
        return run_job(
            publish,
            settings,
            places=places,
            manner=manner_of(flags),
            command=resume_command(flags),
            catch_up=wait_command(ctx, settings.ledger),
        )


def wait_command(ctx: click.Context, ledger: Path) -> str:
    """The command that sees through what is converting: the ways in that this command line named come along."""
    from bulkload.cli.wait import command as wait

    words = [program(), "wait", str(ledger)]
    config = ctx.find_root().params.get("config")
    if config is not None and ctx.find_root().get_parameter_source("config") is ParameterSource.COMMANDLINE:
        words[1:1] = ["--config", config]
    known = {option.name for option in wait.params if isinstance(option, click.Option)}
    for given in ctx.command.params:
        name, value = given.name or "", ctx.params.get(given.name or "")
        if name not in known or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(value, str | Path):
            words += [given.opts[0], str(value)]
        elif value is True:
            words.append(given.opts[0])
    return f"{words[0]} {shlex.join(words[1:])}"


def resume_command(flags: dict[str, Any]) -> str:
    """The command that goes on, without secrets: flags hold none."""
    import sys

    words = sys.argv[1:] or ["run", flags["manifest"]]
    return f"{program()} {shlex.join(words)}"


def settings_from(ctx: click.Context, flags: dict[str, Any], stack: ExitStack) -> Settings:
    """The flags of ``run`` and ``plan`` as settings; starts the private sandbox that they ask for."""
    from bulkload.manifest import parse_overrides

    manifest = flags["manifest"]
    settings = Settings(
        manifest=manifest,
        endpoint=flags["endpoint"] or "",
        ledger=flags["ledger"] or default_ledger(manifest),
        workspace=flags["workspace"],
        root=flags["root"],
        create_workspace=flags["create_workspace"],
        overrides=parse_overrides(flags["overrides"]),
        on_existing=OnExisting(flags["on_existing"]),
        retry_failed=flags["retry_failed"],
        **_engine_flags(flags),
    )
    if manifest == "-" and flags["ledger"] is None:
        raise UsageError("a manifest on standard input has no place of its own; name the ledger with --ledger PATH")
    sandbox = None
    if flags["sandbox"]:
        refuse_registry_with_sandbox(ctx)
        sandbox = sandbox_folder(manifest if flags["ledger"] is None else str(flags["ledger"]))
        settings = replace(
            settings,
            ledger=flags["ledger"] or sandbox / SANDBOX_LEDGER,
            create_workspace=True,
            default_workspace=settings.workspace is None,
        )
    access = stack.enter_context(registry_access(flags, sandbox=sandbox))
    return replace(settings, endpoint=access.endpoint, credentials=access.credentials, connection=access.connection)


def _engine_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags of ``run``, some of which ``plan`` has not, under the names of the settings."""
    names = (
        "concurrency", "upload_rate", "poll_rate", "list_rate", "token_rate", "bandwidth", "max_converting",
        "max_failures", "max_duration", "patience",
        "poll_interval", "wait_timeout", "wait", "answer_timeout", "settle", "resend_in_doubt",
    )  # fmt: skip
    found = {name: flags[name] for name in names if name in flags}
    if "route" in flags:
        found["route"] = Route(flags["route"])
    return found
