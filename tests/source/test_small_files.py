"""Whoever waits for a small file is told how it ended, whatever happens."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.source import LocalSource
from bulkload.source.small_files import FILES_A_HOP, SmallFiles

pytestmark = pytest.mark.anyio

FILES = 3 * FILES_A_HOP


class Strange(ThreadPoolExecutor):
    """Does ``sane`` jobs as it should, and ends all further ones without doing them."""

    def __init__(self, ending: BaseException | None, sane: int = 0) -> None:
        super().__init__(1)
        self._ending, self._sane = ending, sane

    def submit(self, *job: Any, **keywords: Any) -> "Future[Any]":
        self._sane -= 1
        if self._sane >= 0:
            return super().submit(*job, **keywords)
        future: Future[Any] = Future()
        if self._ending is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self._ending)
        return future


async def told(files: SmallFiles[str]) -> list[object]:
    """What each of many readers gets, a result or an exception."""
    with anyio.fail_after(60):
        return await asyncio.gather(*(files.read(str(n)) for n in range(FILES)), return_exceptions=True)


@pytest.mark.parametrize("error", [OSError("gone"), MemoryError(), ValueError("odd"), RecursionError(), KeyError(1)])
async def test_one_files_exception_is_that_files(error: Exception) -> None:
    def read(path: str) -> str:
        if path == "5":
            raise error
        return path

    found = await told(SmallFiles(asyncio.get_running_loop(), read))
    assert found == [error if n == 5 else str(n) for n in range(FILES)]


async def test_an_executor_that_takes_nothing_more_is_everybodys_exception() -> None:
    dead = ThreadPoolExecutor(1)
    dead.shutdown()
    asyncio.get_running_loop().set_default_executor(dead)
    found = await told(SmallFiles(asyncio.get_running_loop(), lambda path: path))
    assert all(isinstance(one, RuntimeError) for one in found)


@pytest.mark.parametrize("ending", [RuntimeError("lost"), SystemExit(1), None])
async def test_a_hop_that_ends_in_no_way_that_was_foreseen_ends_those_that_wait(ending: BaseException | None) -> None:
    """A thread that dies, or an executor that throws its work away."""

    asyncio.get_running_loop().set_default_executor(Strange(ending))
    found = await told(SmallFiles(asyncio.get_running_loop(), lambda path: path))
    assert all(isinstance(one, RuntimeError) for one in found)


@pytest.mark.parametrize("sane", [0, 1, 2])
@pytest.mark.parametrize("ending", [RuntimeError("lost"), SystemExit(1), None])
async def test_nor_does_a_large_file_wait_for_a_thread_that_is_gone(
    ending: BaseException | None, sane: int, tmp_path: Path
) -> None:
    """At its beginning, or after some pieces."""
    model = tmp_path / "model.onnx"
    model.write_bytes(bytes(9 << 20))
    asyncio.get_running_loop().set_default_executor(Strange(ending, sane))
    with anyio.fail_after(60), pytest.raises(RuntimeError):
        await LocalSource().digest(str(model))
