"""Keycloak's endpoints: forms in, its answers out. Refusals have its own form, not the registry's."""

from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bulkload.core.bounds import LARGEST_FORM_BYTES
from bulkload.sandbox.accounts.keycloak import GrantError
from bulkload.sandbox.api.answers import user_answer
from bulkload.sandbox.api.pages import page
from bulkload.sandbox.door import paths
from bulkload.sandbox.door.decoding import Text
from bulkload.sandbox.door.exchange import Exchange, Reply, json_reply
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.store import queries

Asked = Callable[[dict[str, str], str | None, str], dict[str, Any] | None]


class NewPassword(msgspec.Struct, frozen=True):
    value: Text


class Logins:
    """Handlers of the realm's paths."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def token(self, exchange: Exchange) -> Reply:
        """POST token: the grants password, refresh_token, device code and client_credentials."""
        keycloak, now = self._registry.keycloak, self._registry.clock.now()
        return await _ask(exchange, lambda form, basic, issuer: keycloak.grant(form, basic, issuer=issuer, now=now))

    async def device(self, exchange: Exchange) -> Reply:
        """POST auth/device: a code for a person to confirm."""
        keycloak, now = self._registry.keycloak, self._registry.clock.now()
        return await _ask(
            exchange, lambda form, basic, issuer: keycloak.start_device(form, basic, issuer=issuer, now=now)
        )

    async def log_out(self, exchange: Exchange) -> Reply:
        """POST logout: ends the session of a refresh token."""
        keycloak, now = self._registry.keycloak, self._registry.clock.now()
        return await _ask(exchange, lambda form, basic, _: keycloak.end_session(form, basic, now=now))

    async def device_page(self, exchange: Exchange) -> Reply:
        """GET device: the page that asks for a code and the password; `user_code` fills in the code."""
        return _device_form(exchange.request.query.get("user_code", ""))

    async def decide_device(self, exchange: Exchange) -> Reply:
        """POST device: the decision about `user_code`, with the account's password; `deny` says no."""
        form = await _form(exchange)
        code, keycloak = form.get("user_code", ""), self._registry.keycloak
        if not keycloak.is_password(form.get("password", "")):
            return _device_form(code, "Wrong password: it is in the lines that `bulkload sandbox` printed.", 401)
        approved = "deny" not in form
        if not keycloak.decide_device(code, self._registry.clock.now(), approved=approved):
            return _device_form("", f"{code} is no code, or no longer.", 400)
        title = f"Device login {'successful' if approved else 'denied'}"
        return page(title, f"<h1>{title}</h1><p>You can close this.</p>")

    async def users(self, exchange: Exchange) -> Reply:
        """GET users of the admin API, of one `email` where given."""
        email = exchange.request.query.get("email")
        rows = queries.find_users(self._registry.store.connection)
        return json_reply([user_answer(row) for row in rows if email in {None, row["email"]}])

    async def user(self, exchange: Exchange) -> Reply:
        """GET users/{user_id} of the admin API."""
        user_id = exchange.path_values["user_id"]
        found = [row for row in queries.find_users(self._registry.store.connection) if row["id"] == user_id]
        return json_reply(user_answer(found[0])) if found else json_reply({"error": "User not found"}, 404)

    async def reset_password(self, exchange: Exchange) -> Reply:
        """PUT users/{user_id}/reset-password of the admin API: the account's password from now on."""
        query = await exchange.json(NewPassword)
        if exchange.path_values["user_id"] != self._registry.account.user_id:
            return json_reply({"error": "User not found"}, 404)
        if not query.value:
            return json_reply({"error": "invalidPasswordMinLengthMessage"}, 400)
        self._registry.change_password(query.value)
        return Reply(204, b"")


async def _ask(exchange: Exchange, ask: Asked) -> Reply:
    form = await _form(exchange)
    issuer = f"{exchange.request.scheme}://{exchange.host}{paths.REALM}"
    try:
        answer = ask(form, exchange.header("Authorization"), issuer)
    except GrantError as error:
        return json_reply({"error": error.error, "error_description": error.description}, error.status)
    return Reply(204, b"") if answer is None else json_reply(answer)


async def _form(exchange: Exchange) -> dict[str, str]:
    body = await exchange.body(LARGEST_FORM_BYTES)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _device_form(code: str, reason: str = "", status: int = 200) -> Reply:
    lines = (
        "<h1>Device login</h1>",
        f"<p>{escape(reason)}</p>" if reason else "",
        "<p>Whoever asked for this code will act as the account of this sandbox.</p><form method=post>",
        f'<p><label>Code <input name=user_code required value="{escape(code)}"></label>',
        "<p><label>Password <input name=password type=password required autofocus></label>",
        "<p><button>Approve</button> <button name=deny value=1>Deny</button></form>",
    )
    return page("Device login", "".join(lines), status=status)
