"""``bulkload logout``: forget a login, here and at Keycloak."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.access import client, connection, logins_path, registry_endpoint
from bulkload.cli.options import address_options, option
from bulkload.core.model.errors import BulkloadError, UsageError
from bulkload.report.sink import tell

if TYPE_CHECKING:
    from bulkload.core.model.events import OnEvent
    from bulkload.engine.stop import Stop
    from bulkload.registry.auth.login_store import Login


@click.command(short_help="Forget the login to a registry.")
@address_options
@option("--username", metavar="NAME", personal=True, help="Whose, where several users are logged in.")
def command(username: str | None, **flags: Any) -> None:
    """Forget the stored login to a registry and end its session at Keycloak."""
    from bulkload.cli.running import attended_loop
    from bulkload.registry.auth.login_store import LoginStore

    endpoint, store = registry_endpoint(flags), LoginStore(logins_path())

    async def forget(_: "OnEvent", stop: "Stop") -> tuple["Login", str | None]:
        async with store.locked():
            login = store.find(endpoint, username)
            if login is None:
                who = username or "nobody"
                raise UsageError(f"{who} is {'not ' if username else ''}logged in to {endpoint}")
            store.remove(login)
        return login, await stop.or_end(_end_session(login, flags))

    login, trouble = attended_loop(forget)
    tell(f"logged out of {login.endpoint}, {login.username}")
    if trouble is not None:
        tell(f"Keycloak did not confirm it ({trouble}); its tokens run out by themselves")


async def _end_session(login: "Login", flags: dict[str, Any]) -> str | None:
    """End it at Keycloak; why not, where that fails: the tokens are forgotten all the same."""
    from bulkload.core.verdicts import CallFailed
    from bulkload.registry import Registry
    from bulkload.registry.auth.keycloak import GrantRefused

    if login.refresh_token is None:
        return None
    credentials = replace(client(flags), client_id=login.client_id, auth_url=login.realm)
    try:
        async with Registry(login.endpoint, credentials, connection(flags)) as registry:
            await registry.keycloak.log_out(login.refresh_token)
    except (GrantRefused, CallFailed, BulkloadError) as error:
        return str(error)
    return None
