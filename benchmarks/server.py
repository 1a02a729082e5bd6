"""The discarding registry (server.c) as a process that ends with its block."""

import json
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from graphql import build_schema, introspection_from_schema

from benchmarks.certificate import Certificate
from benchmarks.processes import BenchmarkFailed
from bulkload.sandbox.api.graphql import SCHEMA

PROGRAM = Path(__file__).parent / "build" / "server"
UPLOADS = ("/v1/api/models/upload", "/v1/api/models/upload_and_convert")
POLL = "/v1/api/models/get_version_by_id"


class DiscardingServer:
    """`with DiscardingServer() as server`: listens at ``server.endpoint``; its version ids are 1, 2, 3 ..."""

    def __init__(self, *options: str, certificate: Certificate | None = None) -> None:
        """``options`` are those of server.c. ``certificate``: it speaks https."""
        self.certificate = certificate
        tls = () if certificate is None else ("--tls", str(certificate.certificate), str(certificate.key))
        command = [PROGRAM, *options, *tls]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = f"{'http' if certificate is None else 'https'}://127.0.0.1:{self._line().strip()}"

    def __enter__(self) -> Self:
        """Listens already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The end of its standard input ends it."""
        self._process.communicate()

    @property
    def counts(self) -> dict[str, Any]:
        """``{"uploads_begun", "upload_bytes", "cpu_seconds", "requests": {path: n}}``, so far."""
        self._process.send_signal(signal.SIGUSR1)
        found: dict[str, Any] = json.loads(self._line())
        return found

    @property
    def uploads(self) -> int:
        """Uploads that were answered."""
        return sum(self.counts["requests"][path] for path in UPLOADS)

    @property
    def polls(self) -> int:
        """Polls that were answered."""
        return int(self.counts["requests"][POLL])

    def expect(self, *, uploads: int, file_bytes: int, polls: int) -> None:
        """Raises ``BenchmarkFailed`` unless a client did all of its work: so many uploads with all bytes, and polls."""
        counts = self.counts
        if self.uploads != uploads or counts["upload_bytes"] < file_bytes or self.polls < polls:
            raise BenchmarkFailed(
                f"{uploads} uploads of together {file_bytes} bytes and {polls} polls were to come, these came: {counts}"
            )

    def _line(self) -> str:
        return self._process.stdout.readline() if self._process.stdout is not None else ""


def write_introspection(path: Path) -> None:
    """What the vendor's SDK asks first: the GraphQL schema, that of the sandbox."""
    schema = introspection_from_schema(build_schema(SCHEMA), descriptions=False)
    path.write_text(json.dumps({"data": schema}, separators=(",", ":")))
