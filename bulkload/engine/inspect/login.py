"""Logging in by a person: a code to be confirmed in a browser, waited for here (RFC 8628)."""

import random
from collections.abc import Callable

import anyio

from bulkload.core.limits.retry import RetryBudget
from bulkload.core.model.errors import NotAuthorised
from bulkload.core.verdicts import CallFailed
from bulkload.engine.calls import repeat
from bulkload.registry import Registry
from bulkload.registry.auth.keycloak import DeviceCode, Grant, GrantRefused
from bulkload.registry.auth.login_store import Login
from bulkload.registry.auth.tokens import login_of

# RFC 8628, section 3.5: what slow_down adds to the interval.
SLOWER_SECONDS = 5.0
# Whatever the answer says.
SHORTEST_SECONDS = 1.0
_ENDINGS = {
    "access_denied": "it was refused in the browser",
    "expired_token": "the code has run out",
}


async def log_in(registry: Registry, client_id: str, show: Callable[[DeviceCode], None]) -> Login:
    """Get tokens for whoever confirms the code that ``show`` is given.

    Raises ``NotAuthorised`` where nobody does, ``RegistryUnavailable``.
    """
    keycloak = registry.keycloak
    try:
        code = await repeat(keycloak.start_device, RetryBudget(), random.random)
    except GrantRefused as refused:
        raise NotAuthorised(
            f"{keycloak.realm} starts no login by a browser: {refused}; check --client-id and its secret, or get in"
            " with BULKLOAD_USERNAME and BULKLOAD_PASSWORD"
        ) from None
    show(code)
    grant = await _confirmed(registry, code)
    return login_of(grant, registry.endpoint, keycloak.realm, client_id)


async def _confirmed(registry: Registry, code: DeviceCode) -> Grant:
    interval, end = max(code.interval, SHORTEST_SECONDS), anyio.current_time() + code.expires_in
    while anyio.current_time() + interval < end:
        await anyio.sleep(interval)
        try:
            return await registry.keycloak.finish_device(code.device_code)
        except GrantRefused as refused:
            if refused.error == "slow_down":
                interval += SLOWER_SECONDS
            elif refused.error != "authorization_pending":
                reason = _ENDINGS.get(refused.error, str(refused))
                raise NotAuthorised(f"not logged in: {reason}; run `bulkload login` again") from None
        except CallFailed:
            # It passes, or the code runs out meanwhile.
            interval += SLOWER_SECONDS
    raise NotAuthorised("not logged in: nobody confirmed the code in time; run `bulkload login` again")
