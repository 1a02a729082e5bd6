"""Thousands of hostile requests: none is a failure of the sandbox, none is accepted, nothing is written elsewhere.

A small part by default; all by `make attack`.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkload.sandbox.door.gateway import routing_table
from bulkload.sandbox.door.paths import DOCS_FILES, TOKEN, WITHOUT_TOKEN
from tests.memory import most_mebibytes, needs_proc
from tests.sandbox import hostile

pytestmark = pytest.mark.anyio


def parts(*counts: int) -> list[Any]:
    """A small count by default; the others, each with a seed of its own, by `make attack`."""
    small, *large = counts
    return [(small, 0), *(pytest.param(count, seed, marks=pytest.mark.attack) for seed, count in enumerate(large, 1))]


class Attacker:
    """One connection, used again as long as the sandbox lets it."""

    def __init__(self, endpoint: str, token: bytes) -> None:
        self._port = int(endpoint.rpartition(":")[2])
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: bytes | str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        given: dict[str, bytes | str] = {
            "Host": "localhost",
            "Authorization": self._token,
            "Content-Length": str(len(body)),
        }
        lines = [f"{method} {path} HTTP/1.1".encode()]
        for name, value in (given | headers).items():
            lines.append(
                name.replace("_", "-").encode() + b": " + (value if isinstance(value, bytes) else value.encode())
            )
        request = b"\r\n".join(lines) + b"\r\n\r\n" + body
        for _ in range(2):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
            reader, writer = self._streams
            try:
                writer.write(request)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.close()  # it had been closed before
                continue
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            answer = await reader.readexactly(length)
            if b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0"):
                await self.close()
            return int(head.split()[1]), answer
        raise AssertionError(f"no answer to {request[:300]!r}")

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()  # what the sandbox would not read need not be sent
            with contextlib.suppress(ConnectionError):
                await self._streams[1].wait_closed()
        self._streams = None


def tree(folder: Path) -> dict[str, int]:
    """Every file of a folder with its size, but for what the sandbox itself goes on writing."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(("requests.jsonl", "registry.db")):
            found[str(path.relative_to(folder))] = path.stat().st_size
    return found


@pytest.mark.parametrize(("count", "seed"), parts(6, 100, 100))
async def test_no_bad_token_lets_anybody_in(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int, seed: int
) -> None:
    """With each of them every endpoint says 401, whatever the method, and nothing happens."""
    async with start() as caller:
        before = tree(tmp_path)
        guarded = {
            (method, path.format(user_id=caller.sandbox.account.user_id))
            for method, path in routing_table(caller.sandbox._registry)
            if path not in WITHOUT_TOKEN | DOCS_FILES
        }
        assert len(guarded) > 25
        attacker = Attacker(caller.sandbox.endpoint, b"")
        sent = 0
        tokens = [*hostile.bad_tokens(count, seed, caller.sandbox.token)]
        for token in tokens if seed else [*tokens, f"Bearer {hostile.signed({}, 'x')}".encode()]:
            for method, path in sorted(guarded):
                status, answer = await attacker.ask(method, path, b'{"value": "x"}', Authorization=token)
                assert status in {401, 400}, (method, path, token, status, answer)
                assert status == 401 or b"this is no HTTP" in answer, (token, answer)
                sent += 1
        await attacker.close()
        assert tree(tmp_path) == before
        assert caller.sandbox.versions() == []
        assert [name for name in caller.sandbox.requests() if name.status == 500] == []
        assert caplog.records == []
        assert (await caller.ask("models/list"))[0] == 200
    assert sent >= count * 25


@pytest.mark.parametrize(("count", "seed"), parts(400, 1000, 1000, 1000, 1000))
async def test_no_bad_body_is_a_failure_of_the_sandbox(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int, seed: int
) -> None:
    """What certainly is none is 400 in the registry's form; what may pass never is a 5xx. Afterwards all is well."""
    async with start(duplicate_workspace_status=400) as caller:
        before, outside = tree(tmp_path), sorted(Path.cwd().iterdir())
        attacker = Attacker(caller.sandbox.endpoint, f"Bearer {caller.sandbox.token}".encode())
        stored = 0
        for bad in hostile.bad_bodies(count, seed):
            status, answer = await attacker.ask("POST", bad.path, bad.content, Content_Type=bad.content_type)
            assert status < 500, (bad, status, answer)
            if "upload" in bad.path:
                stored += status < 300
            elif bad.refused:
                assert status == 400, (bad, status, answer)
            if status >= 400:
                assert json.loads(answer)["code"] == status, (bad, answer)
        await attacker.close()
        assert len(caller.sandbox.versions()) == stored
        assert all(version.path.is_file() for version in caller.sandbox.versions())
        assert list((caller.sandbox.data / "incoming").iterdir()) == []
        new = set(tree(tmp_path)) - set(before)
        assert all(name.startswith("data/files/") for name in new)
        assert len(new) == stored
        assert sorted(Path.cwd().iterdir()) == outside
        assert caplog.records == []
        assert (await caller.ask("models/list"))[0] == 200
    async with start() as caller:
        assert len(caller.sandbox.requests()) == count + 1


def bombs() -> dict[str, tuple[str, bytes, str]]:
    """Requests that would cost many times their size."""
    json_type, form_type = "application/json", "multipart/form-data; boundary=x"
    metadata = json.dumps(hostile.METADATA).encode()
    config = b'"framework_config": %s'
    filled = {
        "brackets": b"[" * 3_900_000,
        "lists": b"[" + b"[]," * 1_200_000 + b"1]",
        "objects": b"[" + b"{}," * 1_200_000 + b"1]",
        "as many values as may be": b'{"framework": "onnx", "x": [' + b"{}," * 66_000 + b"1]}",
        "a long text": b'{"framework": "onnx", "x": "' + b"x" * 3_900_000 + b'"}',
        "a long number": b"1" * 3_900_000,
    }
    forms = {name: metadata.replace(config % b"null", config % text) for name, text in filled.items()}
    query = b'{"query": "{ %s }"}'
    fields = b" ".join(b"a%d: workspace { id }" % number for number in range(5000))
    schema = b"__schema { types { fields " + b"{ type { fields " * 8 + b"{ name }" + b" } }" * 8 + b" } }"
    api = {
        "models/list": {"nested": b"[" * 4_000_000, "nested objects": b'{"":' * 1_000_000},
        "models/delete_model_versions": {"ids": b'{"model_versions": [' + b'"",' * 1_300_000 + b'""]}'},
    }
    waste = {
        "a preamble": b"." * 50_000_000,
        "headers": b"--x\r\n" + b"X: y\r\n" * 5_000_000,
        "a part": b'--x\r\nContent-Disposition: form-data; name="y"\r\n\r\n' + b"." * 50_000_000,
        **{name: hostile.form_of(text, b"x") for name, text in forms.items()},
    }
    return {
        **{name: ("/v1/api/models/upload", body, form_type) for name, body in waste.items()},
        **{name: (f"/v1/api/{path}", body, json_type) for path, kinds in api.items() for name, body in kinds.items()},
        **{name: ("/v1/graphql", query % text, json_type) for name, text in (("aliases", fields), ("schema", schema))},
        "a login": (TOKEN, b"a&" * 20_000_000, "application/x-www-form-urlencoded"),
    }


@needs_proc
@pytest.mark.parametrize("rounds", [1, pytest.param(8, marks=pytest.mark.attack)])
async def test_bombs_cost_neither_memory_nor_time(start_sandbox: Any, rounds: int) -> None:
    """The whole process stays below 200 MiB, however often they come, and answers soon."""
    sandbox = start_sandbox("--time-scale", "0")
    attacker = Attacker(sandbox.endpoint, f"Bearer {sandbox.token}".encode())
    for _ in range(rounds):
        for name, (path, body, content_type) in bombs().items():
            begun = time.monotonic()
            status, _answer = await attacker.ask("POST", path, body, Content_Type=content_type)
            assert status in {200, 400, 401}, (name, status)
            assert time.monotonic() - begun < 20, name
            await attacker.close()
    assert (await attacker.ask("POST", "/v1/api/models/list", b"{}"))[0] == 200
    await attacker.close()
    assert most_mebibytes(sandbox.process.pid) < 200


@pytest.fixture
def small_disk_sandbox(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a sandbox says of itself that keeps its data on a disk of 32 MiB, in a mount namespace of its own."""
    unshare = [shutil.which("unshare") or "unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    disk = tmp_path / "disk"
    disk.mkdir()
    sandbox = [
        sys.executable,
        "-m",
        "bulkload",
        "sandbox",
        "--json",
        "--until-stdin-closes",
        "--data",
        str(disk / "data"),
    ]
    command = [*unshare, "sh", "-c", f'mount -t tmpfs -o size=32m tmpfs "{disk}" && exec "$@"', "sh", *sandbox]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate(timeout=60)


async def test_a_body_without_an_end_leaves_room_on_the_disk(small_disk_sandbox: dict[str, str]) -> None:
    """507 before it is full, nothing of it stays, and the next model finds its place."""
    sandbox = small_disk_sandbox
    path = f"{sandbox['endpoint']}/v1/api/models/upload_stream"
    query = {"name": "m", "filename": "f", "workspace_id": "108"}

    async def body() -> Any:
        while True:
            yield bytes(1 << 20)

    headers = {"Authorization": f"Bearer {sandbox['token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(path, params=query, data=body()) as answer:
            assert (answer.status, (await answer.json())["code"]) == (507, 507)
        async with session.post(path, params=query, data=bytes(900_000)) as answer:
            assert answer.status == 200
