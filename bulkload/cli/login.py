"""``bulkload login``: get in by a browser, and stay in."""

from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.access import client_access, logins_path
from bulkload.cli.options import address_options
from bulkload.report.sink import tell

if TYPE_CHECKING:
    from bulkload.core.model.events import OnEvent
    from bulkload.engine.stop import Stop
    from bulkload.registry.auth.keycloak import DeviceCode
    from bulkload.registry.auth.login_store import Login


@click.command(short_help="Log in by a browser; further commands use it.")
@address_options
def command(**flags: Any) -> None:
    """Log in to a registry by a browser, on this machine or another one.

    The address and the code are shown, the tokens kept for you alone in $XDG_STATE_HOME/bulkload (by default
    ~/.local/state/bulkload), one login a registry and user. Commands that find no other token use it, and renew it.
    """
    from bulkload.cli.running import attended_loop
    from bulkload.core.model.events import PhaseBegan
    from bulkload.engine.inspect.login import log_in
    from bulkload.registry import Registry
    from bulkload.registry.auth.login_store import LoginStore

    access = client_access(flags)
    store = LoginStore(logins_path())

    async def work(on_event: "OnEvent", stop: "Stop") -> "Login":
        on_event(PhaseBegan("waiting for the browser"))

        async def logged_in() -> "Login":
            async with Registry(access.endpoint, access.credentials, access.connection) as registry:
                found = await log_in(registry, access.credentials.client_id, _show)
                async with store.locked():
                    store.put(found)
                return found

        return await stop.or_end(logged_in())

    login = attended_loop(work)
    tell(f"logged in to {login.endpoint} as {login.username}")


def _show(code: "DeviceCode") -> None:
    from bulkload.report.display import clear_progress

    clear_progress()
    if code.verification_uri_complete is not None:
        tell(f"Open {code.verification_uri_complete}", f"and confirm the code {code.user_code}")
    else:
        tell(f"Open {code.verification_uri}", f"and give the code {code.user_code}")
