"""``bulkload doctor``: can models be published from here, and what to do if not."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.access import connection, credentials, is_renewable, registry_endpoint
from bulkload.cli.options import connection_options, option
from bulkload.core.model.errors import UsageError
from bulkload.report.sink import give_json

if TYPE_CHECKING:
    from bulkload.core.model.events import OnEvent
    from bulkload.engine.inspect.doctor import Check, Diagnosis
    from bulkload.engine.stop import Stop


@click.command(short_help="Can I publish from here, and what to do if not.")
@connection_options
@option("--workspace", metavar="ID|NAME", help="Look at this one: all digits an id, else a name.")
@option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bulkload.ledger.db"),
    help="Where a ledger is to be.",
)
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool, **flags: Any) -> int:
    """Look at each step on the way to a publication: address, TLS, clock, token, workspace, upload rights, ledger.

    Says of each what is wrong and what to do. The exit code is that of the first trouble, as `run` would have it. No
    model is sent and nothing is made.

    --json: one object: endpoint, exit_code, checks: a list of {step, finding, words, exit_code}, where finding is ok,
    note, failed or skipped.
    """
    from bulkload.cli.running import attended_loop
    from bulkload.core.model.events import PhaseBegan
    from bulkload.engine.inspect.doctor import Diagnosis
    from bulkload.report.doctor import diagnosis_object, show_check

    checks: list[Check] = []

    def tell(check: "Check") -> None:
        checks.append(check)
        if not as_json:
            show_check(check)

    diagnosis = Diagnosis(tell)
    endpoint: str | None = None
    try:
        endpoint = address = registry_endpoint(flags)
    except UsageError as error:
        diagnosis.no_address(error)
    else:

        async def look(on_event: "OnEvent", stop: "Stop") -> None:
            on_event(PhaseBegan("asking the registry"))
            await stop.or_end(_look(diagnosis, address, flags))

        attended_loop(look)
    diagnosis.ledger(flags["ledger"])
    if as_json:
        give_json(diagnosis_object(endpoint, diagnosis.exit_code, checks))
    return int(diagnosis.exit_code)


async def _look(diagnosis: "Diagnosis", endpoint: str, flags: dict[str, Any]) -> None:
    from bulkload.core.model.settings import Credentials
    from bulkload.registry import Registry

    missing: UsageError | None = None
    try:
        held, _ = credentials(flags, endpoint)
    except UsageError as error:
        held, missing = Credentials(), error
    async with Registry(endpoint, held, connection(flags)) as registry:
        await diagnosis.registry(
            registry, no_credentials=missing, renewable=is_renewable(held), workspace=flags["workspace"]
        )
