"""Chromium without a window, spoken to by its own protocol: one page, its errors, and what it loads."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium")
# What every step in a page may use: waiting for something to be there, and typing as a person does.
STEPS = """
const until = async (find) => {
  for (let at = 0; at < 400; at++) {
    const found = find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it never came: ${find}`);
};
const one = (selector) => until(() => document.querySelector(selector));
const type = (field, text) => {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
"""


class Page:
    """A page that is open. `errors` are its own and the browser's about it; `loaded` every address it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.errors: list[str] = []
        self.loaded: list[str] = []

    async def listen(self) -> None:
        """Take what the browser says, until it says no more."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.loaded.append(said["params"]["request"]["url"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])

    async def say(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something; its answer."""
        self._number += 1
        answer = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, 60)
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def do(self, script: str) -> Any:
        """What a function's body returns in the page."""
        code = f"(async () => {{ {STEPS} {script} }})()"
        result = await self.say("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@asynccontextmanager
async def opened(address: str, folder: Path) -> AsyncIterator[Page]:
    """The page at that address, in a browser that can reach this machine alone."""
    assert PROGRAM is not None
    words = [
        "--headless=new",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "about:blank",
    ]
    child = await asyncio.create_subprocess_exec(
        PROGRAM, *words, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env=os.environ
    )
    assert child.stderr is not None
    try:
        port = ""
        while not port:
            line = (await asyncio.wait_for(child.stderr.readline(), 60)).decode()
            assert line, "the browser ended"
            port = found[1] if (found := re.search(r"listening on ws://[^:]+:(\d+)/", line)) else ""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [one for one in await answer.json(content_type=None) if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for part in ("Runtime", "Log", "Network", "Page"):
                    await page.say(f"{part}.enable")
                await page.say("Page.navigate", url=address)
                yield page
                listening.cancel()
    finally:
        child.terminate()
        await child.stderr.read()
        await child.wait()
