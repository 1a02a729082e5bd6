"""From a request to its fate: log, limit, fault, token, handler, delivery. The one function every request passes."""

import logging
import socket
import struct
import time
import traceback
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import anyio
from aiohttp import web

from bulkload.sandbox.accounts.accounts import TokenError, check_authorization
from bulkload.sandbox.accounts.logins import Logins
from bulkload.sandbox.api.docs import docs_document, docs_file, docs_page
from bulkload.sandbox.api.graphql import GraphQL
from bulkload.sandbox.api.metadata import RefusalError
from bulkload.sandbox.api.routes import Routes
from bulkload.sandbox.api.uploads import SLOW_SECONDS, Uploads
from bulkload.sandbox.api.workspaces import Workspaces
from bulkload.sandbox.door import paths
from bulkload.sandbox.door.exchange import (
    ClientGoneError,
    Delivery,
    Exchange,
    InterruptedExchangeError,
    Reply,
    error_reply,
    json_reply,
)
from bulkload.sandbox.door.hosts import AllowedHosts
from bulkload.sandbox.door.request_log import RequestLog
from bulkload.sandbox.faults import Fault
from bulkload.sandbox.limits import RequestLimits
from bulkload.sandbox.registry import Registry

Handler = Callable[[Exchange], Awaitable[Reply]]
STALL_SECONDS = 600.0
DISCONNECTION_CHECK_SECONDS = 0.05
DEFAULT_HTML_STATUS = 502
BODY = "body:"
NO_CONTENT = 204
OPEN_PATHS = paths.WITHOUT_TOKEN | paths.DOCS_FILES
LARGE_ANSWER_BYTES = 256 * 1024
GARBAGE = b'{"insert_models":{"ret\x00\xff'
INSUFFICIENT_MEMORY = (
    "Internal Server Error: Insufficient memory available for model upload. Try again later or contact your Wallaroo "
    "administrator to provision additional memory."
)
logger = logging.getLogger(__name__)


def routing_table(registry: Registry) -> dict[tuple[str, str], tuple[str, Handler]]:
    """(method, path) -> the call that limits and faults know it by, and its handler. `{...}` leaves a part open."""
    routes, uploads, workspaces, logins = Routes(registry), Uploads(registry), Workspaces(registry), Logins(registry)
    posts: dict[str, tuple[str, Handler]] = {
        "models/upload_and_convert": ("upload", uploads.convert),
        "models/upload": ("upload", uploads.plain),
        "models/upload_stream": ("upload", uploads.raw),
        "models/get_version_by_id": ("poll", routes.version),
        "models/get_model_version_by_id": ("poll", routes.version),
        "models/list": ("list", routes.models),
        "models/list_versions": ("list", routes.versions),
        "models/list_versions_for_model": ("list", routes.versions_for_model),
        "models/get_config_by_id": ("other", routes.config),
        "models/insert_model_config": ("other", routes.insert_config),
        "models/get_upload_logs": ("other", routes.logs),
        "models/get": ("other", routes.model),
        "models/get_by_id": ("other", routes.model_with_config),
        "models/delete_model": ("other", routes.delete_model),
        "models/delete_model_versions": ("other", routes.delete_versions),
        "workspaces/list": ("other", workspaces.list),
        "workspaces/create": ("other", workspaces.create),
        "workspaces/add_user": ("other", workspaces.add_user),
        "workspaces/list_users": ("other", workspaces.list_users),
        "workspaces/remove_user": ("other", workspaces.remove_user),
        "users/query": ("other", workspaces.users),
        "users/invite": ("other", workspaces.invite),
        "features/list": ("other", routes.features),
    }
    table = {("POST", f"{paths.API}/{path}"): route for path, route in posts.items()}
    others: dict[tuple[str, str], Handler] = {
        ("GET", f"{paths.API}/config"): routes.instance_config,
        ("GET", paths.DOCS): docs_page,
        ("GET", paths.OPENAPI): docs_document,
        ("POST", paths.GRAPHQL): GraphQL(registry).answer,
        ("POST", paths.DEVICE): logins.device,
        ("POST", paths.LOGOUT): logins.log_out,
        ("GET", paths.DEVICE_PAGE): logins.device_page,
        ("POST", paths.DEVICE_PAGE): logins.decide_device,
        ("GET", paths.USERS): logins.users,
        ("GET", paths.USER): logins.user,
        ("PUT", paths.PASSWORD): logins.reset_password,
    }
    others |= {("GET", path): docs_file for path in paths.DOCS_FILES}
    table.update({place: ("other", handler) for place, handler in others.items()})
    table["POST", paths.TOKEN] = ("token", logins.token)
    return table


class Gateway:
    """Serves requests. `handle` is what aiohttp calls."""

    def __init__(self, registry: Registry, limits: RequestLimits, log: RequestLog, hosts: AllowedHosts) -> None:
        self._registry = registry
        self._hosts = hosts
        self._limits = limits
        self._log = log
        self._table = routing_table(registry)
        self._known_paths = {path for _, path in self._table}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request: exactly one line in the log, before the answer leaves."""
        arrived_at = self._registry.clock.now()
        path, path_values = paths.known_path(request.path)
        call, handler = self._table.get((request.method, path), ("other", None))
        settings = self._registry.settings
        exchange = Exchange(request, None, settings.body_seconds, settings.pause_seconds, path_values=path_values)
        foreign = self._foreign(exchange)
        wait_seconds = None if foreign is not None else self._limits.admit(call, arrived_at)
        fault = None if foreign is not None or wait_seconds is not None else self._registry.plan.next(call)
        exchange.fault = fault
        delivery, reply, fate = Delivery.ANSWER, None, "answered" if fault is None else fault.name
        try:
            if foreign is not None:
                reply = foreign
            elif wait_seconds is not None:
                fate, reply = "limited", limited_reply(wait_seconds)
            else:
                delivery, reply = await self._serve(exchange, handler)
        except InterruptedExchangeError as interrupted:
            delivery = interrupted.delivery
        except ClientGoneError:
            delivery, fate = Delivery.DROP, "aborted"
        answered = reply is not None and delivery in {Delivery.ANSWER, Delivery.HALF}
        self._log.write(
            t=arrived_at,
            method=request.method,
            path=request.path,
            status=reply.status if reply is not None and answered else None,
            size=exchange.bytes_arrived,
            version_id=exchange.version_id,
            fate=fate,
        )
        return await self._deliver(exchange, delivery, reply, arrived_at)

    def _foreign(self, exchange: Exchange) -> Reply | None:
        """403 for a request that names another host, or that a page of another host has sent."""
        named = {exchange.host}
        if "Host" in exchange.request.headers:
            named.add(exchange.request.host)  # another one in `GET http://host/path`
        if (origin := exchange.header("Origin")) is not None:
            named.add(origin.partition("://")[2])
        for host in named:
            if not self._hosts.allows(host):
                reason = f"this sandbox does not answer to host {host[:200]!r}; --allow-host NAME lets it"
                return error_reply(403, f"Forbidden: {reason}")
        return None

    async def _serve(self, exchange: Exchange, handler: Handler | None) -> tuple[Delivery, Reply | None]:
        fault = exchange.fault
        if fault is None:
            return Delivery.ANSWER, await self._answer(exchange, handler)
        if fault.name == "refuse":
            return Delivery.DROP, None
        if fault.status is not None or fault.name == "html":
            await exchange.drain()
            return Delivery.ANSWER, gateway_page(fault) if fault.name == "html" else status_reply(fault, exchange)
        reply = await self._answer(exchange, handler)
        if fault.name == "slow" and not exchange.request.path.startswith(f"{paths.API}/models/upload"):
            await self._registry.wait(fault.number(SLOW_SECONDS))  # uploads wait between the insert and its answer
        return spoiled(fault, reply)

    async def _answer(self, exchange: Exchange, handler: Handler | None) -> Reply:
        request = exchange.request
        if handler is None:
            return Reply(405 if paths.known_path(request.path)[0] in self._known_paths else 404, b"", "text/plain")
        try:
            if request.path not in OPEN_PATHS:
                now = self._registry.clock.now()
                check_authorization(exchange.header("Authorization"), self._registry.account, now)
            if (exchange.header("Content-Encoding") or "identity").lower() != "identity":
                raise RefusalError(415, "Unsupported Media Type: a body must not be compressed")
            return await handler(exchange)
        except TokenError as error:
            return Reply(401, str(error).encode(), "text/plain")
        except RefusalError as refusal:
            forget(refusal)
            return error_reply(refusal.status, refusal.message)
        except (InterruptedExchangeError, ClientGoneError):
            raise
        except Exception:
            logger.exception("the sandbox failed at %r", request.path)
            return error_reply(500, "Internal Server Error: the sandbox failed, see its output")

    async def _deliver(
        self, exchange: Exchange, delivery: Delivery, reply: Reply | None, arrived_at: float
    ) -> web.StreamResponse:
        request = exchange.request
        if delivery is Delivery.STALL:
            await self._stall(exchange)
        if reply is None or delivery not in {Delivery.ANSWER, Delivery.HALF}:
            drop(request, reset=delivery is Delivery.RESET)
            return web.Response()  # goes nowhere: aiohttp wants an answer to put on the closed connection
        milliseconds = round((self._registry.clock.now() - arrived_at) * 1000)
        response = web.Response(
            status=reply.status,
            body=reply.body,
            headers={
                **({} if reply.status == NO_CONTENT else {"Content-Type": reply.content_type}),
                "Server": "opscenter-https",
                "x-envoy-upstream-service-time": str(milliseconds),
                **reply.headers,
            },
        )
        if delivery is Delivery.HALF:
            return await send_half(request, response)
        if len(reply.body) > LARGE_ANSWER_BYTES:
            return await send_slowly(request, response, self._registry.settings.pause_seconds)
        return response

    async def _stall(self, exchange: Exchange) -> None:
        fault = exchange.fault
        seconds = fault.number(STALL_SECONDS) if fault is not None and fault.name == "stall" else STALL_SECONDS
        until = self._registry.clock.now() + seconds
        while exchange.request.transport is not None and not self._registry.stopping.is_set():
            left = until - self._registry.clock.now()
            if left <= 0:
                return
            await self._registry.wait(min(left, DISCONNECTION_CHECK_SECONDS))


def forget(error: BaseException | None) -> None:
    """Let go of what an error's frames hold: bodies, often in a circle that is found only by a rare collection."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def spoiled(fault: Fault, reply: Reply) -> tuple[Delivery, Reply | None]:
    """What becomes of the answer to a request that was served and met a fault."""
    if fault.name == "garbage":
        return Delivery.ANSWER, Reply(reply.status, GARBAGE, reply.content_type)
    if fault.name == "lost-answer" and fault.argument is not None:
        return Delivery.ANSWER, gateway_page(fault)
    # A body too short for `reset` and `stall-body` to cut was served; its connection ends as they say.
    deliveries = {
        "lost-answer": Delivery.DROP,
        "reset": Delivery.RESET,
        "stall": Delivery.STALL,
        "stall-body": Delivery.STALL,
        "half": Delivery.HALF,
    }
    return deliveries.get(fault.name, Delivery.ANSWER), reply


def limited_reply(wait_seconds: float) -> Reply:
    """429 with the whole seconds until a request may pass."""
    refused = error_reply(429, "Too many requests: the limit of this sandbox is reached")
    return Reply(429, refused.body, refused.content_type, {"Retry-After": str(max(1, -int(-wait_seconds // 1)))})


def status_reply(fault: Fault, exchange: Exchange) -> Reply:
    """A status code as a fault, with the registry's error body, also for 2xx. Nothing was done.

    The argument is a Retry-After (`date+N`: in its date form, N seconds from now), the word `memory` (the text of a
    registry without room), `body:` and the whole body (JSON where it begins like it), or for 3xx the Location.
    """
    status, argument = int(fault.name), fault.argument
    if argument is not None and argument.startswith(BODY):
        text = argument.removeprefix(BODY)
        return Reply(status, text.encode(), "application/json" if text[:1] in {"{", "["} else "text/plain")
    if status == 500 and argument == "memory":
        return error_reply(500, INSUFFICIENT_MEMORY)
    if exchange.request.path.startswith(f"{paths.REALM}/"):
        error = "invalid_grant" if status < 500 else "server_error"
        reply = json_reply({"error": error, "error_description": "a fault was asked for"}, status)
    else:
        category = "Internal Server Error" if status >= 500 else "Bad request"
        reply = error_reply(status, f"{category}: a fault was asked for")
    if 300 <= status < 400:
        return Reply(status, reply.body, reply.content_type, {"Location": argument or exchange.request.path_qs})
    if argument is None:
        return reply
    if argument.startswith("date+"):
        argument = formatdate(time.time() + float(argument.removeprefix("date+")), usegmt=True)
    return Reply(status, reply.body, reply.content_type, {"Retry-After": argument})


def gateway_page(fault: Fault) -> Reply:
    """The HTML page of a gateway that got no answer from behind it."""
    status = int(fault.number(DEFAULT_HTML_STATUS))
    page = (
        f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body>\r\n</html>"
    )
    return Reply(status, page.encode(), "text/html")


async def begin(request: web.BaseRequest, response: web.Response) -> tuple[web.StreamResponse, bytes]:
    """Send the head of an answer, which promises the whole body; give what to send it by, and the body."""
    body = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    return stream, body


async def send_slowly(request: web.BaseRequest, response: web.Response, pause_seconds: float) -> web.StreamResponse:
    """Send a large answer piece by piece; who takes nothing of it for so long is not waited for."""
    stream, body = await begin(request, response)
    try:
        for start in range(0, len(body), LARGE_ANSWER_BYTES):
            with anyio.fail_after(pause_seconds):
                await stream.write(body[start : start + LARGE_ANSWER_BYTES])
    except TimeoutError:
        drop(request, reset=True)
    return stream


async def send_half(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Send the head, which promises the whole body, and half of that body; then close the connection."""
    partial, body = await begin(request, response)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()  # not abort: what was written still leaves
    return partial


def drop(request: web.BaseRequest, *, reset: bool) -> None:
    """Close a connection at once; `reset`: with a TCP reset, which also takes back what was sent and not yet read."""
    transport = request.transport
    if transport is None:
        return
    if reset and (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
