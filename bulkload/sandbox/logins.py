"""Keycloak's endpoints: forms in, its answers out. Refusals have its own form, not the registry's."""

from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bulkload.sandbox import paths, queries
from bulkload.sandbox.answers import user_answer
from bulkload.sandbox.exchange import Exchange, Reply, json_reply
from bulkload.sandbox.keycloak import GrantError
from bulkload.sandbox.registry import Registry

Asked = Callable[[dict[str, str], str | None, str], dict[str, Any] | None]
CODE_FORM = '<form><label>Code <input name="user_code" autofocus required></label> <button>Approve</button></form>'


class NewPassword(msgspec.Struct, frozen=True):
    value: str


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
        """GET device?user_code=...: approves that device; with `deny=1` it denies. Without a code it asks for one.

        The real page wants the person's password before it asks; here whoever has the code has been shown it.
        """
        query = exchange.request.query
        code = query.get("user_code", "")
        if not code:
            return _page(200, "Device login", CODE_FORM)
        approved = query.get("deny") is None
        if not self._registry.keycloak.decide_device(code, self._registry.clock.now(), approved=approved):
            return _page(400, "Invalid code", f"<p>{escape(code)} is no code, or no longer.</p>{CODE_FORM}")
        return _page(
            200, "Device login successful" if approved else "Device login denied", "<p>You can close this.</p>"
        )

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
    request = exchange.request
    form = dict(parse_qsl((await exchange.body()).decode("utf-8", "replace"), keep_blank_values=True))
    issuer = f"{request.scheme}://{request.host}{paths.REALM}"
    try:
        answer = ask(form, request.headers.get("Authorization"), issuer)
    except GrantError as error:
        return json_reply({"error": error.error, "error_description": error.description}, error.status)
    return Reply(204, b"") if answer is None else json_reply(answer)


def _page(status: int, title: str, body: str) -> Reply:
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}\n"
    return Reply(status, page.encode(), "text/html")
