"""A relay in front of a registry that writes down what goes through it: who asks what, and what is answered."""

import http.client
import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `path` is without query."""

    method: str
    path: str
    asked: bytes
    asked_type: str
    status: int
    answered: bytes
    answered_type: str

    @property
    def metadata(self) -> dict[str, Any]:
        """The `metadata` part of an upload's form."""
        boundary = re.search(r"boundary=(\S+)", self.asked_type)
        assert boundary is not None, self.asked_type
        for part in self.asked.split(b"--" + boundary[1].encode()):
            head, _, body = part.partition(b"\r\n\r\n")
            if b'name="metadata"' in head:
                found: dict[str, Any] = json.loads(body.removesuffix(b"\r\n"))
                return found
        raise AssertionError("no metadata in the form")


class Relay:
    """`with Relay(registry) as relay`: `relay.endpoint` is the same registry, `relay.exchanges` what went through."""

    def __init__(self, registry: str) -> None:
        self.exchanges: list[Exchange] = []
        self._registry = urlsplit(registry)
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay.pass_on(self)

            do_POST = do_PUT = do_GET  # noqa: N815 - names of http.server

            def log_message(self, *_: Any) -> None:
                """Nothing on standard error."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that closed its connection is none."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def endpoint(self) -> str:
        """Where the relay is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        """Send one request on, and its answer back. A body comes with its length: nobody here sends in chunks."""
        asked = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(self._registry.hostname or "", self._registry.port or 80, timeout=90)
        try:
            connection.request(request.command, request.path, asked, headers)
            response = connection.getresponse()
            answered = response.read()
        finally:
            connection.close()
        self.exchanges.append(
            Exchange(
                method=request.command,
                path=urlsplit(request.path).path,
                asked=asked,
                asked_type=request.headers.get("Content-Type", ""),
                status=response.status,
                answered=answered,
                answered_type=response.headers.get_content_type(),
            )
        )
        request.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                request.send_header(name, value)
        if response.status != 204:
            request.send_header("Content-Length", str(len(answered)))
        request.end_headers()
        request.wfile.write(answered)
