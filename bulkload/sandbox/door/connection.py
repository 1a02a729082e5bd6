"""aiohttp's server, with the registry's own answer to what is no HTTP, instead of a page and a traceback."""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from bulkload.sandbox.door.exchange import error_reply


class Connection(RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's signature
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """The answer to a request that could not be read; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun: there can be no other one")
        reply = error_reply(status, "Bad request: this is no HTTP" if status < 500 else "Internal Server Error")
        response = web.Response(status=status, body=reply.body, content_type=reply.content_type)
        response.force_close()
        return response


class Server(web.Server):
    """Makes connections."""

    def __call__(self) -> RequestHandler:
        """One for a client that has just come."""
        return Connection(self, loop=self._loop, **self._kwargs)
