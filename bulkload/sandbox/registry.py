"""What all handlers of one running sandbox share."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from bulkload.sandbox.accounts import Account
from bulkload.sandbox.conversion import ConversionQueue
from bulkload.sandbox.faults import FaultPlan
from bulkload.sandbox.request_log import SteadyClock
from bulkload.sandbox.settings import SandboxSettings
from bulkload.sandbox.store import Store


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
