"""A thread that may be left behind: its job's result is its caller's, and nobody waits for it at the end."""

import asyncio
import subprocess
import sys
import threading

import pytest

from bulkload.system.abandonable import AbandonableThread

# Its thread waits for ever, and its loop has ended.
LEFT_BEHIND = """
import asyncio, threading
from bulkload.system.abandonable import AbandonableThread

async def main():
    asyncio.get_running_loop().run_in_executor(AbandonableThread(), threading.Event().wait)

asyncio.run(main())
"""


@pytest.mark.anyio
async def test_a_job_runs_in_a_thread_of_its_own() -> None:
    loop = asyncio.get_running_loop()
    name = await loop.run_in_executor(AbandonableThread(), lambda: threading.current_thread().name)
    assert name == "bulkload-check"


@pytest.mark.anyio
async def test_what_a_job_raises_is_its_callers() -> None:
    def fail() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await asyncio.get_running_loop().run_in_executor(AbandonableThread(), fail)


def test_a_job_that_never_ends_keeps_no_process() -> None:
    """Neither its loop nor its interpreter waits."""
    subprocess.run([sys.executable, "-c", LEFT_BEHIND], check=True, timeout=60)
