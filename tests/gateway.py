"""A gateway before a registry, which answers in its place when it is told to."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

# Asked for each request, by the call's path below /v1/api; None: it goes on to the registry.
Decide = Callable[[str], Awaitable[web.Response | None]]
_OF_THE_CONNECTION = {"host", "connection", "content-length", "transfer-encoding", "expect", "content-encoding"}


@dataclass
class Gateway:
    """Where it is, and what passed it: the call, and whether it answered itself."""

    endpoint: str = ""
    seen: list[tuple[str, bool]] = field(default_factory=list)

    def asked(self, call: str) -> int:
        """How often a call was made."""
        return sum(name == call for name, _ in self.seen)

    def answered(self, call: str) -> int:
        """How often it was answered here."""
        return sum(name == call and by_gateway for name, by_gateway in self.seen)


@asynccontextmanager
async def gateway_before(registry: str, decide: Decide) -> AsyncIterator[Gateway]:
    """Serve on a free port of the loopback address."""
    gateway = Gateway()
    async with aiohttp.ClientSession() as session:

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            call, body = request.path.removeprefix("/v1/api/"), await request.content.read()
            answer = await decide(call)
            gateway.seen.append((call, answer is not None))
            if answer is not None:
                return answer
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            url = f"{registry}{request.path_qs}"
            async with session.request(
                request.method, url, data=io.BytesIO(body), headers=headers, allow_redirects=False
            ) as response:
                passed = {
                    name: value for name, value in response.headers.items() if name.lower() not in _OF_THE_CONNECTION
                }
                return web.Response(status=response.status, body=await response.read(), headers=passed)

        runner = web.ServerRunner(web.Server(serve))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gateway.endpoint = site.name
        try:
            yield gateway
        finally:
            await runner.cleanup()
