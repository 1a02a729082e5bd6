"""The sandbox: a registry of one's own, on the loopback address, for as long as a block of code."""

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import anyio
from aiohttp import web

from bulkload.sandbox.accounts.accounts import Account, open_account
from bulkload.sandbox.door.connection import Server
from bulkload.sandbox.door.gateway import Gateway
from bulkload.sandbox.door.hosts import AllowedHosts, is_loopback
from bulkload.sandbox.door.request_log import LogRecord, RequestLog, read_request_log
from bulkload.sandbox.faults import FaultPlan
from bulkload.sandbox.limits import RequestLimits
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.settings import SandboxSettings
from bulkload.sandbox.store.queries import find_users, find_workspaces, stored_versions
from bulkload.sandbox.store.records import StoredVersion
from bulkload.sandbox.store.store import OWNER, Store

THREADS = 8
READ_BUFFER_BYTES = 1024 * 1024
SHUTDOWN_SECONDS = 1.0


class Sandbox:
    """`async with Sandbox(settings) as sandbox:` listens until the block ends.

    Inside the block `endpoint` ("http://127.0.0.1:PORT"), `token`, `username`, `password` and `workspace_id` (of the
    default workspace) say how to get in. Started again on the same data folder it serves what was published before.
    Raises OSError when the port is taken, DataFolderInUseError when another sandbox runs on the folder.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.endpoint = ""
        self.workspace_id = 0
        self._registry: Registry | None = None
        self._stack: AsyncExitStack | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.settings.data

    @property
    def account(self) -> Account:
        """The one account. Raises RuntimeError before the sandbox was started."""
        if self._registry is None:
            raise RuntimeError("the sandbox was not started: use `async with Sandbox(settings) as sandbox`")
        return self._registry.account

    @property
    def token(self) -> str:
        """A bearer token that never expires and outlives restarts."""
        return self.account.token

    @property
    def username(self) -> str:
        """For the password grant."""
        return self.account.email

    @property
    def password(self) -> str:
        """For the password grant."""
        return self.account.password

    @property
    def sandbox_id(self) -> str:
        """The identity of the data folder: what GET /v1/api/config serves as `sandbox_id`."""
        return self.account.sandbox_id

    def versions(self, *, name: str | None = None, workspace_id: int | None = None) -> list[StoredVersion]:
        """What the registry holds, oldest first; see `stored_versions`, which works in other processes too."""
        return stored_versions(self.data, name=name, workspace_id=workspace_id)

    def requests(self) -> list[LogRecord]:
        """The request log so far."""
        return read_request_log(self.settings.request_log_path)

    def end_waits(self) -> None:
        """End what faults are waiting for: slow answers come, stalled connections close, late uploads land."""
        if self._registry is not None:
            self._registry.stopping.set()

    async def __aenter__(self) -> "Sandbox":
        stack = AsyncExitStack()
        try:
            await self._start(stack)
        except BaseException:
            await stack.aclose()  # as in __aexit__
            raise
        self._stack = stack
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            # The block's own exception is not shown to the task group inside: it would come out wrapped in a group.
            await stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        store = Store(settings.data)
        stack.callback(store.close)
        account = open_account(settings.data)
        log = RequestLog(settings.request_log_path)
        stack.callback(log.close)
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox"))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        registry = Registry(
            settings=settings,
            store=store,
            account=account,
            queue=store.conversion_queue(settings.converters),
            plan=FaultPlan(settings.parsed_faults(), settings.seed),
            executor=executor,
            tasks=tasks,
        )
        self._registry = registry
        self.workspace_id = self._default_workspace(registry)
        gateway = Gateway(registry, RequestLimits(settings.parsed_limits()), log, self._allowed_hosts())
        server = Server(
            gateway.handle,
            access_log=None,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
            keepalive_timeout=settings.head_seconds,
        )
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(self._stop, runner, registry)
        await web.TCPSite(runner, settings.host, settings.port).start()
        self.endpoint = f"http://{_address_to_call(settings.host)}:{runner.addresses[0][1]}"

    async def _stop(self, runner: web.ServerRunner, registry: Registry) -> None:
        registry.stopping.set()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()

    def _allowed_hosts(self) -> AllowedHosts:
        settings = self.settings
        own_names = () if is_loopback(settings.host) else (socket.gethostname(),)
        return AllowedHosts(settings.host, (*settings.allowed_hosts, *own_names))

    def _default_workspace(self, registry: Registry) -> int:
        account, now = registry.account, registry.clock.now()
        workspaces = find_workspaces(registry.store.connection)
        if not find_users(registry.store.connection):
            registry.store.add_user(account.user_id, account.email, created_at=now)
            for workspace in workspaces:  # of a data folder from before there were users
                registry.store.add_workspace_user(workspace["id"], account.user_id, OWNER)
        if workspaces:
            return int(workspaces[0]["id"])
        return registry.store.add_workspace(
            f"{account.email} - Default Workspace", created_at=now, created_by=account.email, owner_id=account.user_id
        )


def _address_to_call(host: str) -> str:
    """Where this machine finds what listens on ``host``: all addresses together are none that can be called."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"
