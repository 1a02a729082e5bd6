"""Logging in by a person: a code to be confirmed in a browser, waited for here (RFC 8628)."""

from collections.abc import Callable

from bulkload.core.model.errors import NotAuthorised
from bulkload.core.verdicts import CallFailed
from bulkload.engine.backoff import usual_backoff
from bulkload.engine.calls import repeat
from bulkload.engine.clock import Clock
from bulkload.registry import Registry
from bulkload.registry.auth.keycloak import DeviceCode, Grant, GrantRefused, Keycloak
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


async def log_in(
    registry: Registry,
    client_id: str,
    show: Callable[[DeviceCode], None],
    *,
    shortest: float = SHORTEST_SECONDS,
    slower: float = SLOWER_SECONDS,
) -> Login:
    """Get tokens for whoever confirms the code that ``show`` is given.

    ``shortest``: seconds between two questions at the least; ``slower``: those that a busy server adds. Raises
    ``NotAuthorised`` where nobody does, ``RegistryUnavailable``.
    """
    keycloak, backoff = registry.keycloak, usual_backoff()
    try:
        code = await repeat(keycloak.start_device, backoff)
    except GrantRefused as refused:
        raise NotAuthorised(
            f"{keycloak.realm} starts no login by a browser: {refused}; check --client-id and its secret, or get in"
            " with BULKLOAD_USERNAME and BULKLOAD_PASSWORD"
        ) from None
    show(code)
    grant = await _confirmed(keycloak, code, backoff.clock, max(code.interval, shortest), slower)
    return login_of(grant, registry.endpoint, keycloak.realm, client_id)


async def _confirmed(keycloak: Keycloak, code: DeviceCode, clock: Clock, interval: float, slower: float) -> Grant:
    end = clock.now() + code.expires_in
    while clock.now() + interval < end:
        await clock.sleep(interval)
        try:
            return await keycloak.finish_device(code.device_code)
        except GrantRefused as refused:
            if refused.error == "slow_down":
                interval += slower
            elif refused.error != "authorization_pending":
                reason = _ENDINGS.get(refused.error, str(refused))
                raise NotAuthorised(f"not logged in: {reason}; run `bulkload login` again") from None
        except CallFailed:
            # It passes, or the code runs out meanwhile.
            interval += slower
    raise NotAuthorised("not logged in: nobody confirmed the code in time; run `bulkload login` again")
