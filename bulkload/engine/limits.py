"""The shell of core's limiter: who waits, and who is woken, on the clock of the event loop.

A permit that is there at once costs a function call: no task, no event and no lock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bulkload.core.limits import permits
from bulkload.core.limits.limiter import Change, Limiter
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pacing import timer_seconds
from bulkload.core.limits.permits import NEVER, Call, Permit, Wait
from bulkload.core.limits.retry import Retry
from bulkload.core.model.events import RequestSent
from bulkload.core.model.settings import Settings
from bulkload.core.verdicts import Failure
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events
from bulkload.engine.stop import Stop

# Work to be done before a call can be made; None where there is none.
Missing = Callable[[], Callable[[], Awaitable[object]] | None]

# What is told of each call that leaves.
_SENT = {
    Call.UPLOAD: RequestSent("upload"),
    Call.CONVERTED_UPLOAD: RequestSent("upload"),
    Call.FIRST_POLL: RequestSent("poll"),
    Call.FURTHER_POLL: RequestSent("poll"),
    Call.LIST: RequestSent("list"),
    Call.TOKEN: RequestSent("token"),
}


class Stopped(Exception):
    """The run is to take nothing new: what waited for its turn was not done."""


async def sleep_unless_stopped(clock: Clock, seconds: float, stop: Stop) -> None:
    """Wait. Raises ``Stopped`` as soon as the run stops."""
    with clock.within(seconds):
        await stop.wait()
    if stop.asked:
        raise Stopped


def nothing_missing() -> None:
    """Nothing has to be done first."""


class Limits:
    """Permits for the calls of a run, in the order of asking. Who waits for one is stopped when the run is."""

    def __init__(self, settings: Settings, stop: Stop, clock: Clock, events: Events) -> None:
        self.limiter = Limiter(settings, stop.ends_at)
        self._loop = asyncio.get_running_loop()
        self._now = clock.now
        self._clock = clock
        self._events = events
        stop.when_asked(self._close)

    async def reserve(self, call: Call, size: int = 0) -> Permit | None:
        """A permit for an upload of ``size`` bytes, or for what is as rare; None: it would not end in time.

        It is settled, or given back. Raises ``Stopped``.
        """
        answer = self.limiter.reserve(self._now(), call, size)
        if type(answer) is Permit and not self.limiter.changes:
            return answer
        return await self._await(answer, nothing_missing)

    async def depart(self, permit: Permit, missing: Missing) -> None:
        """An upload is about to leave, when nothing is ``missing`` for it. Raises ``Stopped`` when it has to wait."""
        answer = self.limiter.depart(self._now(), permit, ready=missing() is None)
        if answer is not permit:
            await self._await(answer, missing)
        self._note_request(permit.call)

    async def begin(self, call: Call, missing: Missing = nothing_missing) -> Permit:
        """A permit for a call that leaves with it, when nothing is ``missing``. Raises ``Stopped``."""
        asked = self.limiter.reserve(self._now(), call, ready=missing() is None)
        answer = asked if type(asked) is Permit else await self._await(asked, missing)
        if answer is None:
            raise AssertionError("only uploads have a window")
        self._note_request(call)
        return answer

    async def bytes(self, permit: Permit, count: int) -> None:
        """Wait until so many bytes of a body may leave; a stop does not end that."""
        answer = self.limiter.bytes(self._now(), permit, count)
        if answer is not permit:
            await self._await(answer, nothing_missing)

    def settle(self, permit: Permit, failure: Failure | None = None, seconds: float | None = None) -> None:
        """A call was answered, or failed. ``seconds``: from an upload's last byte to its answer, where that tells."""
        changes = self.limiter.settle(self._now(), permit, failure, seconds)
        if changes:
            self._tell(changes)

    def give_back(self, permit: Permit) -> None:
        """A permit is over; what it still holds is another's."""
        self.limiter.give_back(self._now(), permit)
        self._tell_changes()

    def moving(self, permit: Permit) -> None:
        """A piece of a large body is about to leave."""
        self.limiter.moving(self._now(), permit)
        self._tell_changes()

    def converting(self) -> None:
        """A version converts that has no place yet."""
        self.limiter.converting()
        self._tell_changes()

    def converted(self) -> None:
        """A place on the conversion queue is free."""
        self.limiter.converted(self._now())
        self._tell_changes()

    def hold(self, seconds: float) -> None:
        """The registry asked for a pause of everybody."""
        self.limiter.hold(self._now(), seconds)
        self._tell_changes()

    def excuse(self, call: Call) -> None:
        """What seemed to be trouble was about what was asked: the registry answers these calls."""
        self.limiter.excuse(self._now(), call)
        self._tell_changes()

    def unpaced(self, call: Call) -> Permit:
        """A call begins by another's permit; what comes of it is settled all the same."""
        return self.limiter.unpaced(self._now(), call)

    async def before_login(self) -> None:
        """A token is about to be asked for, by whichever call needs one."""
        await self.begin(Call.TOKEN)

    # Failures.

    def retry(self, call: Call, attempts: int) -> Retry:
        """What is done about a call that failed so often; spends the budget."""
        return self.limiter.retry(self._now(), call, attempts)

    def prospect(self, call: Call) -> Prospect:
        """What an outage of this kind of call means for one that failed."""
        return self.limiter.prospect(self._now(), call)

    def tell_outage(self, call: Call, failure: Failure, backoff: float) -> None:
        """Say that a call waits for the end of an outage, where there is one."""
        outage = self.limiter.outage_of(self._now(), call, failure, backoff)
        if outage is not None:
            self._events(outage)

    # Waiting.

    async def _await(self, answer: Permit | Wait | permits.Stop, missing: Missing) -> Permit | None:
        """Wait as the limiter says; None: it would not end in time. Raises ``Stopped``."""
        self._tell_changes()
        while isinstance(answer, Wait):
            permit = answer.permit
            try:
                if answer.until == NEVER:
                    permit.waiter = woken = self._loop.create_future()
                    await woken
                else:
                    await self._nap(permit, answer.until, missing)
            except BaseException:
                self.give_back(permit)
                raise
            answer = self.limiter.resume(self._now(), permit, ready=missing() is None)
            self._tell_changes()
        if answer is permits.Stop.ASKED:
            raise Stopped
        return answer if isinstance(answer, Permit) else None

    async def _nap(self, permit: Permit, until: float, missing: Missing) -> None:
        """Wait until ``until``, or until the permit is named; one that is not ready gets what it lacks."""
        seconds = until - self._now()
        if seconds > 0.0:
            permit.waiter = woken = self._loop.create_future()
            with self._clock.within(timer_seconds(seconds)):
                await woken
        elif (work := missing()) is not None:
            await work()

    def _close(self) -> None:
        self.limiter.close()
        self._tell_changes()

    # Telling.

    def _note_request(self, call: Call) -> None:
        if self._events.hears(RequestSent):
            self._events(_SENT[call])

    def _tell_changes(self) -> None:
        if self.limiter.changes:
            self._tell(self.limiter.take_changes())

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Permit):
                if isinstance(change.waiter, asyncio.Future) and not change.waiter.done():
                    change.waiter.set_result(None)
            elif self._events.hears(type(change)):
                self._events(change)
