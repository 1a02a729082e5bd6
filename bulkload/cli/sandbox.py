"""``bulkload sandbox``: a local registry with the same API."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import click

from bulkload.cli.flags import Whole
from bulkload.cli.options import option, parsed
from bulkload.core.model.errors import SandboxInUse, UsageError
from bulkload.core.model.units import parse_duration
from bulkload.report.sink import give_json, say, standard_output
from bulkload.system.file_names import recorded_path

duration = parsed(parse_duration)


@click.command(short_help="A local registry with the same API.")
@option("--port", type=Whole(0, 65535), default=0, help="0 takes any free one.")
@option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    personal=True,
    help="Other than this one: others reach it too, and nothing is encrypted.",
)
@option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    personal=True,
    help="A name that others call it by; addresses and localhost need none.",
)
@option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where models are kept [default: ./bulkload-sandbox].",
)
@option("--time-scale", type=click.FloatRange(min=0), default=1.0, metavar="X", help="Factor on all conversion times.")
@option("--converters", type=Whole(min=1), default=2, metavar="N", help="Conversions at a time.")
@option("--limit", "limits", multiple=True, metavar="CALL=RATE", help="429 above it, such as upload=20/s.")
@option(
    "--fault", "faults", multiple=True, metavar="SPEC", help="CALL:FAULT[=ARG] and @N, *N or %P, such as upload:503@3."
)
@option(
    "--strict/--no-strict",
    default=True,
    help="--no-strict lets pass what older releases did: a custom archive without requirements.txt.",
)
@option(
    "--stuck-native-via-convert",
    is_flag=True,
    help="onnx and tensorflow sent to upload_and_convert never become ready, as on one real registry.",
)
@option(
    "--token-life",
    "token_seconds",
    callback=duration,
    default="1h",
    metavar="TIME",
    help="Of access tokens that the token endpoint gives out.",
)
@option(
    "--refresh-token-life",
    "refresh_token_seconds",
    callback=duration,
    default="30m",
    metavar="TIME",
    help="Of refresh tokens.",
)
@option("--refresh-once", is_flag=True, help="A refresh token serves once.")
@option(
    "--device-life",
    "device_code_seconds",
    callback=duration,
    default="10m",
    metavar="TIME",
    help="Of device login codes.",
)
@option(
    "--device-interval",
    "device_interval_seconds",
    callback=duration,
    default="5s",
    metavar="TIME",
    help="slow_down when a device login is asked about sooner.",
)
@option(
    "--approve-device-after",
    "device_approval_seconds",
    callback=duration,
    metavar="TIME",
    personal=True,
    help="Device logins approve themselves [default: their page asks for the password].",
)
@option("--seed", type=int, default=0, help="Of the faults' chances.")
@option(
    "--request-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="[default: requests.jsonl in the data folder]",
)
@option("--json", "as_json", is_flag=True, help="Say where it is and how to get in as one JSON line.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="End with the process that started this one.")
def command(data: Path | None, as_json: bool, until_stdin_closes: bool, **flags: Any) -> None:
    """Serve a registry of your own until interrupted, on the loopback address. Models are kept on disk."""
    from functools import partial

    from bulkload.cli.running import run_loop
    from bulkload.sandbox import SandboxSettings

    try:
        settings = SandboxSettings(data=data or Path("bulkload-sandbox"), **flags)
    except ValueError as error:
        raise UsageError(str(error)) from None
    run_loop(partial(_serve, settings, as_json=as_json, until_stdin_closes=until_stdin_closes))


async def _serve(settings: Any, *, as_json: bool, until_stdin_closes: bool) -> None:
    import signal

    import anyio

    from bulkload.cli.signals import OVERTIME_SECONDS, LastResort, current_signals, listening
    from bulkload.sandbox import DataFolderInUseError, Sandbox

    ended = anyio.Event()

    def listener(number: int) -> None:
        if number == signal.SIGUSR1:
            signals.say("serving")
        else:
            ended.set()

    signals, last_resort = current_signals(), LastResort()
    try:
        async with Sandbox(settings) as sandbox, anyio.create_task_group() as waiting:
            if until_stdin_closes:
                waiting.start_soon(_end_with_stdin, waiting)
            with listening(signals, listener):
                _announce(sandbox, as_json=as_json)
                await ended.wait()
                waiting.cancel_scope.cancel()
            signals.listen(lambda _: last_resort.end_after(OVERTIME_SECONDS, signals.exit_code))
    except DataFolderInUseError as error:
        raise SandboxInUse(f"the sandbox cannot start: {error}") from None
    except OSError as error:
        raise UsageError(f"the sandbox cannot start: {_reason(error, settings)}") from None


def _reason(error: OSError, settings: Any) -> str:
    """What is wrong with the address or the folder, and what to do."""
    if error.filename is not None:
        return f"{recorded_path(error.filename)}: {error.strerror}; name another place with --data or --request-log"
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} of {settings.host} is in use; choose another --port, or 0 for any free one"
    if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES):
        words = os.strerror(error.errno)
        return f"port {settings.port} of {settings.host}: {words}; choose another --host or --port"
    return str(error)


async def _end_with_stdin(waiting: Any) -> None:
    import anyio

    await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
    waiting.cancel_scope.cancel()


def _announce(sandbox: Any, *, as_json: bool) -> None:
    facts = {
        name: recorded_path(str(getattr(sandbox, name)))
        for name in ("endpoint", "token", "username", "password", "data")
    }
    if as_json:
        give_json(facts)
    else:
        for name, value in facts.items():
            say(f"{name:<9} {value}")
        say("", f"export BULKLOAD_ENDPOINT={facts['endpoint']} BULKLOAD_TOKEN={facts['token']}")
        say("Ctrl-C ends it; the models stay.")
    standard_output().flush()
