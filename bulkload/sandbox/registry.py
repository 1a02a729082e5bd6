"""What all handlers of one running sandbox share."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import anyio
import msgspec
from anyio.abc import TaskGroup

from bulkload.sandbox.accounts.accounts import Account, save_account
from bulkload.sandbox.accounts.keycloak import Keycloak
from bulkload.sandbox.door.request_log import SteadyClock
from bulkload.sandbox.faults import FaultPlan
from bulkload.sandbox.judge.conversion import ConversionQueue
from bulkload.sandbox.settings import SandboxSettings
from bulkload.sandbox.store.store import Store


@dataclass(slots=True, kw_only=True)
class Registry:
    """The parts of a running sandbox. `tasks` lives as long as it; `stopping` ends every wait."""

    settings: SandboxSettings
    store: Store
    account: Account
    queue: ConversionQueue
    plan: FaultPlan
    executor: ThreadPoolExecutor
    tasks: TaskGroup
    clock: SteadyClock = field(default_factory=SteadyClock)
    stopping: anyio.Event = field(default_factory=anyio.Event)
    keycloak: Keycloak = field(init=False)

    def __post_init__(self) -> None:
        self.keycloak = Keycloak(lambda: self.account, self.settings.lives())

    def change_password(self, password: str) -> None:
        """From now on the account has this password, also after a restart. Tokens given out before still serve."""
        self.account = msgspec.structs.replace(self.account, password=password)
        save_account(self.store.data, self.account)

    async def wait(self, seconds: float) -> None:
        """Wait that long, or until the sandbox stops."""
        with anyio.move_on_after(seconds):
            await self.stopping.wait()

    def later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something after that time; at once when the sandbox stops before."""
        self.tasks.start_soon(self._wait_and_do, seconds, work)

    async def _wait_and_do(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        await self.wait(seconds)
        await work()
