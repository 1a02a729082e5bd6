"""The shell of the limiter, on virtual time: who waits is woken, and what all lack is fetched once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.limits.permits import Call, Permit
from bulkload.core.model.errors import Interrupted
from bulkload.core.model.settings import Settings
from bulkload.engine.clock import LoopClock
from bulkload.engine.events import Events
from bulkload.engine.limits import Limits, Stopped
from bulkload.engine.stop import Stop
from tests.guarantees.virtual_time import VirtualLoop


def run(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On a loop whose time passes at once."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())


def limits_of(stop: Stop | None = None, **changes: Any) -> Limits:
    settings = Settings(manifest="", endpoint="", ledger=Path(), **changes)
    return Limits(settings, stop or Stop(), LoopClock(), Events())


def now() -> float:
    return asyncio.get_running_loop().time()


class Token:
    """Absent at first; getting it takes two seconds."""

    def __init__(self, failures: int = 0) -> None:
        self.requests = 0
        self._failures = failures
        self._is_there = False

    def missing(self) -> Callable[[], Awaitable[None]] | None:
        return None if self._is_there else self._get

    async def _get(self) -> None:
        self.requests += 1
        await asyncio.sleep(2.0)
        if self.requests <= self._failures:
            raise ConnectionError
        self._is_there = True


@pytest.mark.parametrize("call", [Call.LIST, Call.FIRST_POLL, Call.FURTHER_POLL])
def test_a_token_is_got_once_by_the_next_to_leave_and_those_behind_it_leave_evenly(call: Call) -> None:
    async def play() -> None:
        limits, token, left = limits_of(poll_rate=10.0, list_rate=10.0), Token(), []

        async def ask() -> None:
            await limits.begin(call, token.missing)
            left.append(now())

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(ask())
        assert token.requests == 1
        assert left == pytest.approx([2.0, 2.1, 2.2, 2.3, 2.4], abs=0.01)

    run(play)


def test_where_a_token_cannot_be_got_the_next_one_tries_for_itself() -> None:
    async def play() -> None:
        limits, token = limits_of(), Token(failures=1)
        asked = [limits.begin(Call.LIST, token.missing) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionError, Permit, Permit]
        assert token.requests == 2

    run(play)


def test_uploads_that_lost_time_after_their_permits_do_not_leave_in_a_bunch() -> None:
    """A commit that took a second, of all of them."""

    async def play() -> None:
        limits, left = limits_of(upload_rate=10.0), []

        async def upload() -> None:
            permit = await limits.reserve(Call.UPLOAD)
            assert permit is not None
            await asyncio.sleep(1.0 - now())
            await limits.depart(permit, lambda: None)
            left.append(now())

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(upload())
        assert left == pytest.approx([1.0, 1.1, 1.2, 1.3], abs=0.01)

    run(play)


def test_a_stop_wakes_all_who_wait_and_ends_no_body() -> None:
    async def play() -> None:
        stop = Stop()
        limits = limits_of(stop, concurrency=1, list_rate=0.001, max_converting=1, bandwidth=10.0)
        sending = await limits.reserve(Call.CONVERTED_UPLOAD)
        assert sending is not None
        await limits.depart(sending, lambda: None)
        await limits.begin(Call.LIST)
        await limits.bytes(sending, 100)
        body = asyncio.create_task(limits.bytes(sending, 100))
        waiting = [
            asyncio.create_task(work)
            for work in (
                limits.reserve(Call.UPLOAD),
                limits.reserve(Call.CONVERTED_UPLOAD),
                limits.reserve(Call.CONVERTED_UPLOAD),
                limits.begin(Call.LIST),
            )
        ]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in waiting)
        stop.ask(Interrupted(2))
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Stopped] * 4
        assert now() == 0.5
        await body
        assert now() == pytest.approx(10.0, abs=0.1)

    run(play)


def test_one_that_was_asked_to_stop_before_gives_no_more_permits() -> None:
    async def play() -> None:
        stop = Stop()
        stop.ask(Interrupted(2))
        with pytest.raises(Stopped):
            await limits_of(stop).reserve(Call.UPLOAD)

    run(play)


def test_who_is_cancelled_while_it_waits_is_in_nobodys_way() -> None:
    """Also in the very moment in which it was given what it waited for."""

    async def play() -> None:
        limits = limits_of(concurrency=1)
        first = await limits.reserve(Call.UPLOAD)
        assert first is not None
        second, third, last = (asyncio.create_task(limits.reserve(Call.UPLOAD)) for _ in range(3))
        await asyncio.sleep(1.0)
        second.cancel()
        await asyncio.sleep(1.0)
        limits.give_back(first)
        # It has the slot, and does not know yet.
        third.cancel()
        assert isinstance(await last, Permit)

    run(play)


def test_a_permit_that_is_there_needs_no_turn_of_the_loop() -> None:
    """A function call: the coroutine ends with its first step."""

    async def play() -> None:
        limits = limits_of()
        for asked in (limits.reserve(Call.UPLOAD), limits.begin(Call.FIRST_POLL), limits.begin(Call.FURTHER_POLL)):
            with pytest.raises(StopIteration) as ended:
                asked.send(None)
            assert isinstance(ended.value.value, Permit)

    run(play)
