"""One timer for many requests. On virtual time: no machine is too busy for what is to be in between."""

import asyncio
import gc
import weakref
from typing import Any

import anyio
import pytest

from bulkload.registry.http.deadlines import Deadlines
from tests.guarantees.virtual_time import VirtualLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop whose clock moves only when nothing else is left to do."""
    return "asyncio", {"loop_factory": VirtualLoop}


class Each:
    """What has a deadline."""

    def __init__(self, over: list["Each"]) -> None:
        self._over = over

    def expire(self) -> None:
        """It is over."""
        self._over.append(self)


async def test_what_is_late_expires_in_order_and_what_has_ended_does_not() -> None:
    """None too early, each once."""
    over: list[Each] = []
    deadlines = Deadlines(0.1)
    first, ended, second, later = (Each(over) for _ in range(4))
    began = asyncio.get_running_loop().time()
    for each in (first, ended, second):
        deadlines.begin(each)
    await anyio.sleep(0.05)
    deadlines.begin(later)
    deadlines.end(ended)
    deadlines.end(ended)
    with anyio.fail_after(60):
        while len(over) < 3:  # noqa: ASYNC110 - nothing tells when a timer has run
            await anyio.sleep(0.005)
    assert over == [first, second, later]
    assert asyncio.get_running_loop().time() - began >= 0.15


async def test_who_begins_anew_has_the_whole_time() -> None:
    """And those behind are not kept waiting."""
    over: list[Each] = []
    deadlines = Deadlines(0.1)
    again, other = Each(over), Each(over)
    deadlines.begin(again)
    deadlines.begin(other)
    await anyio.sleep(0.05)
    deadlines.begin(again)
    with anyio.fail_after(60):
        while len(over) < 2:  # noqa: ASYNC110 - nothing tells when a timer has run
            await anyio.sleep(0.005)
    assert over == [other, again]


async def test_nothing_expires_after_the_end_and_nothing_is_kept() -> None:
    """A closed registry leaves no timer behind."""
    over: list[Each] = []
    deadlines = Deadlines(0.02)
    each = Each(over)
    deadlines.begin(each)
    deadlines.close()
    await anyio.sleep(0.05)
    assert over == []
    kept = weakref.ref(each)
    del each
    gc.collect()
    assert kept() is None
