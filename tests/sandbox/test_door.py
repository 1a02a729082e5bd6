"""Who may ask, what may be asked, and that whatever is sent gets an answer in the registry's form: never a 500."""

import asyncio
import contextlib
import errno
import gzip
import json
import socket
from typing import Any

import pytest

from bulkload.core import bounds
from bulkload.sandbox.door.hosts import AllowedHosts

pytestmark = pytest.mark.anyio
CONFIG = "/v1/api/config"


async def raw(caller: Any, request: bytes) -> bytes:
    """All that comes back for these bytes, until the other side closes."""
    port = int(caller.sandbox.endpoint.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def ask(caller: Any, path: str, body: bytes = b"", method: str = "POST", **headers: Any) -> tuple[int, Any]:
    """Status and JSON answer of a request whose headers are sent as they are given."""
    given: dict[str, Any] = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {caller.sandbox.token}",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1")]
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        lines += [name.encode() + b": " + (one if isinstance(one, bytes) else one.encode()) for one in values]
    answer = await raw(caller, b"\r\n".join(lines) + b"\r\n\r\n" + body)
    head, _, text = answer.partition(b"\r\n\r\n")
    is_json = b"application/json" in head
    return int(head.split()[1]), json.loads(text) if is_json else text.decode()


# What a request may name.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "LOCALHOST:9",
        "localhost.",
        "[::1]:80",
        "127.8.8.8",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_may_be_named(host: str) -> None:
    """By any port: a request may have come through a tunnel."""
    assert AllowedHosts("127.0.0.1", ()).allows(host)


FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "",
    "x",
    "10.0.0.1",
    "169.254.169.254:80",
    "0.0.0.0",
    "[::]",
    "[fe80::1]",
    "2130706433",
    "127.0.0.1:80:80",
    "127.0.0.1, evil.example",
    "local host",
    "[::1",
    "\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_other_hosts_may_not(host: str) -> None:
    assert not AllowedHosts("127.0.0.1", ()).allows(host)


def test_elsewhere_addresses_may_be_named_and_names_that_were_allowed() -> None:
    """Which addresses lead here is known to others; a name can be made to lead anywhere."""
    hosts = AllowedHosts("0.0.0.0", ("Sandbox.example",))
    assert all(map(hosts.allows, ("10.0.0.1:80", "[fe80::1]", "localhost", "sandbox.EXAMPLE:8080", "sandbox.example.")))
    assert not any(map(hosts.allows, ("evil.example", "evil.sandbox.example", "sandbox.example.evil")))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:1", b"\xff\xfe", "10.0.0.1"])
@pytest.mark.parametrize(
    "path", [CONFIG, "/v1/api/models/list", "/v1/api/docs", "/auth/realms/master/device", "/nothing"]
)
async def test_a_foreign_host_gets_nothing(start: Any, host: Any, path: str) -> None:
    """Refused in the registry's form, with what to do; nothing is done, no fault is used up."""
    async with start(faults=("any:503@1",)) as caller:
        status, answer = await ask(caller, path, b"{}", Host=host)
        assert (status, answer["code"]) == (403, 403)
        assert "--allow-host" in answer["msg"]
        assert (await ask(caller, CONFIG, method="GET"))[0] == 503


async def test_a_foreign_host_in_the_request_line_gets_nothing(start: Any) -> None:
    """`GET http://host/`, the form that proxies are asked in: it counts above the header."""
    async with start() as caller:
        assert (await ask(caller, f"http://evil.example{CONFIG}", method="GET"))[0] == 403
        assert (await ask(caller, f"http://127.0.0.1{CONFIG}", method="GET"))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "https://evil.example:1", "null", "file://", b"\xff", ""])
async def test_a_page_of_another_origin_gets_nothing(start: Any, origin: Any) -> None:
    """A browser says whose page asks; and nothing is ever said that would let it read an answer."""
    async with start() as caller:
        assert (await ask(caller, CONFIG, method="GET", Origin=origin))[0] == 403
        url = caller.sandbox.endpoint + CONFIG
        async with caller.session.get(url, headers={"Origin": caller.sandbox.endpoint}) as response:
            assert response.status == 200
            assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_one_host_is_named(start: Any) -> None:
    """None in HTTP/1.1, or two, is no HTTP; HTTP/1.0 needs none."""
    async with start() as caller:
        assert (await ask(caller, CONFIG, method="GET", Host=["127.0.0.1", "evil.example"]))[0] == 400
        assert b" 400 " in await raw(caller, f"GET {CONFIG} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in await raw(caller, f"GET {CONFIG} HTTP/1.0\r\n\r\n".encode())


async def test_a_name_that_was_allowed_is_answered_to(start: Any) -> None:
    async with start(allowed_hosts=("registry.test",)) as caller:
        assert (await ask(caller, CONFIG, method="GET", Host="registry.test:80"))[0] == 200


# What may be sent.

LONE_SURROGATE = rb'"\ud800"'
BIG = b"9223372036854775808"  # one more than SQLite can hold
BAD_BODIES = {
    "half a list": b"[",
    "nested": b"[" * 20_000,
    "nested objects": b'{"a":' * 20_000,
    "nested where nothing is asked": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "just too deep": b'{"x":' + b"[" * 64 + b"]" * 64 + b"}",
    "nested in disguise": b'{"a\\"' + b"[" * 100 + b'":1,"x":' + b"[" * 100 + b"]" * 100 + b"}",
    "no text": b"\xff\xfe\x00",
    "half a character": b'{"model_id": "\xc3"}',
    "half a pair": b'{"model_id": ' + LONE_SURROGATE + b', "workspace_name": ' + LONE_SURROGATE + b"}",
    "a list": b"[]",
    "nothing": b"null",
    "a number": b"1e999",
    "many values": b'{"x": [' + b"1," * 300_000 + b"1]}",
    "too large": b'{"x": "' + b"x" * bounds.LARGEST_REQUEST_BYTES + b'"}',
    "two documents": b"{}{}",
}
ASKING = [
    "models/get_version_by_id",
    "models/list",
    "models/list_versions",
    "models/get",
    "models/delete_model_versions",
    "models/insert_model_config",
    "workspaces/create",
    "workspaces/add_user",
    "users/query",
    "users/invite",
    "features/list",
]


@pytest.mark.parametrize("kind", BAD_BODIES)
async def test_a_bad_body_is_refused_in_the_registrys_form(start: Any, kind: str) -> None:
    """By every endpoint, also by those that would not have looked at it."""
    async with start() as caller:
        for path in ASKING:
            status, answer = await ask(caller, f"/v1/api/{path}", BAD_BODIES[kind])
            assert (status, answer["code"]) == (400, 400), path
            assert answer["msg"].startswith("Bad request: "), path
        assert (await ask(caller, "/v1/graphql", BAD_BODIES[kind]))[0] == 400


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("models/get_version_by_id", "model_version_id"),
        ("models/list", "workspace_id"),
        ("models/list_versions", "models_pk_id"),
        ("models/get_config_by_id", "model_id"),
        ("models/get_by_id", "id"),
        ("models/insert_model_config", "model_version_id"),
        ("workspaces/list_users", "workspace_id"),
    ],
)
@pytest.mark.parametrize(
    "number", [b"9223372036854775808", b"-9223372036854775809", b"1" * 400, b"1" * 10_000, b"1e3000", b"NaN"]
)
async def test_an_id_that_cannot_be_is_refused(start: Any, path: str, field: str, number: bytes) -> None:
    async with start() as caller:
        body = b'{"' + field.encode() + b'": ' + number + b"}"
        assert (await ask(caller, f"/v1/api/{path}", body))[0] == 400


async def test_an_upload_may_name_any_id_and_any_bytes(start: Any) -> None:
    """In the metadata and in the query of the legacy route."""
    async with start() as caller:
        conversion = {"framework": "onnx", "requirements": []}
        metadata = {"name": "m", "visibility": "private", "workspace_id": 2**63, "conversion": conversion}
        deep = json.dumps(metadata | {"workspace_id": 1})[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}"
        for text in (json.dumps(metadata), deep, '{"name": "\\ud800"}'):
            assert (await caller.send(b"x", metadata=text))[0] == 400
        for query in (f"workspace_id={2**63}", f"workspace_id={'9' * 5000}", "workspace_id=x", "workspace_id=%ff", ""):
            status, answer = await ask(caller, f"/v1/api/models/upload_stream?name=m&filename=f&{query}", b"x")
            assert (status, answer["code"]) == (400, 400)
        assert caller.sandbox.versions() == []


FORM = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
UNENDING = b'--x\r\nContent-Disposition: form-data; name="'
BAD_FORMS = {
    "no boundary": (b"multipart/form-data", b""),
    "a boundary of no letters": ("multipart/form-data; boundary=\N{SNOWMAN}".encode(), b""),
    "a boundary of no text": (b"multipart/form-data; boundary=\xff\xfe", b""),
    "a long boundary": (b"multipart/form-data; boundary=" + b"x" * 4000, b""),
    "an open quote": (b'multipart/form-data; boundary="x', b""),
    "much before": (b"multipart/form-data; boundary=x", b"." * (1 << 20)),
    "much after": (b"multipart/form-data; boundary=x", b"--x--" + b"." * (1 << 20)),
    "many parts": (b"multipart/form-data; boundary=x", b"".join(FORM % (b"p%d" % at, b"", b"") for at in range(99))),
    "a large part": (b"multipart/form-data; boundary=x", FORM % (b"other", b"", b"." * (1 << 20))),
    "a part twice": (b"multipart/form-data; boundary=x", FORM % (b"metadata", b"", b"{}") * 2),
    "headers without an end": (b"multipart/form-data; boundary=x", b"--x\r\n" + b"X: y\r\n" * 100_000),
    "quotes without an end": (
        b"multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data" + b';a="\\"' * 10_000 + b"\r\n\r\n",
    ),
    "no name": (b"multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name\r\n\r\n"),
    "metadata of no text": (
        b"multipart/form-data; boundary=x",
        FORM % (b"metadata", b"", b"\xff") + FORM % (b"file", b'; filename="\xff\xfe"', b"x") + b"--x--",
    ),
    "much metadata": (
        b"multipart/form-data; boundary=x",
        FORM % (b"metadata", b"", b" " * (bounds.LARGEST_METADATA_BYTES + 1)),
    ),
}


@pytest.mark.parametrize("kind", BAD_FORMS)
async def test_a_bad_form_is_refused_and_leaves_nothing(start: Any, kind: str) -> None:
    """In time, too: no quote is looked for from each of its places."""
    content_type, body = BAD_FORMS[kind]
    async with start() as caller:
        begun = asyncio.get_running_loop().time()
        status, answer = await ask(caller, "/v1/api/models/upload", body, Content_Type=content_type)
        assert (status, answer["code"]) == (400, 400)
        assert asyncio.get_running_loop().time() - begun < 5
        assert caller.sandbox.versions() == []
        assert list((caller.sandbox.data / "incoming").iterdir()) == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP, gzip", "anything"])
async def test_a_compressed_body_is_refused(start: Any, encoding: str) -> None:
    """So there are no bombs: a kibibyte can hold a mebibyte."""
    async with start() as caller:
        body = gzip.compress(b"{}" + bytes(1 << 20))
        for path in ("models/list", "models/upload"):
            status, answer = await ask(caller, f"/v1/api/{path}", body, Content_Encoding=encoding)
            assert (status, answer["code"]) == (415, 415)


async def test_a_login_form_is_small(start: Any) -> None:
    """Anybody may send one."""
    async with start() as caller:
        for path in ("protocol/openid-connect/token", "protocol/openid-connect/auth/device", "device"):
            body = b"a=" + b"b" * bounds.LARGEST_FORM_BYTES
            assert (await ask(caller, f"/auth/realms/master/{path}", body, Authorization=""))[0] == 400


@pytest.mark.parametrize(
    "authorization",
    [b"Bearer \xff.\xfe.\xfd", "Bearer \N{SNOWMAN}.\N{SNOWMAN}", b"Bearer a.b.\xff", "Bearer ..", "", b"\xff"],
)
async def test_a_token_of_any_bytes_is_refused(start: Any, authorization: Any) -> None:
    async with start() as caller:
        assert (await ask(caller, "/v1/api/models/list", b"{}", Authorization=authorization))[0] == 401


NO_HTTP = {
    "another language": b"\x16\x03\x01\x02\x00\x01",
    "an odd method": b"G\xcbT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an odd path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("kind", NO_HTTP)
async def test_what_is_no_http_is_refused(start: Any, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """In the registry's form, without a traceback in the sandbox's output; the next one is served."""
    async with start() as caller:
        answer = await raw(caller, NO_HTTP[kind])
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"] == 400
        assert caplog.records == []
        assert (await ask(caller, CONFIG, method="GET"))[0] == 200


async def test_broken_chunks_are_refused(start: Any) -> None:
    """The body is malformed, not the connection gone."""
    async with start() as caller:
        head = (
            f"POST /v1/api/models/list HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.sandbox.token}\r\n"
        )
        answer = await raw(caller, head.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert b" 400 " in answer.partition(b"\r\n")[0]


# Who is slow.


async def test_a_head_that_does_not_come_to_an_end_is_not_waited_for(start: Any) -> None:
    """On a new connection and on one that has been answered to, also while bytes come."""
    async with start(head_seconds=0.2) as caller:
        port = int(caller.sandbox.endpoint.rpartition(":")[2])
        for before in (b"", f"GET {CONFIG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(before + b"GET / HTTP/1.1\r\n")

            async def drip(writer: asyncio.StreamWriter = writer) -> None:
                while True:
                    writer.write(b"X: y\r\n")
                    await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 20)
            dripping.cancel()
            writer.close()


@pytest.mark.parametrize("path", ["/v1/api/models/list", "/v1/graphql", "/auth/realms/master/device"])
async def test_a_small_body_that_does_not_come_to_an_end_is_not_waited_for(start: Any, path: str) -> None:
    """However steadily it drips: 408."""
    async with start(body_seconds=0.3) as caller:

        async def drip() -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        async with caller.session.post(caller.sandbox.endpoint + path, data=drip()) as response:
            assert (response.status, (await response.json())["code"]) == (408, 408)


async def test_an_upload_that_rests_is_not_waited_for(start: Any) -> None:
    """408, and nothing of it is left; one that goes on may take its time."""
    async with start(pause_seconds=1.5, body_seconds=0.1) as caller:

        async def body(pause: float) -> Any:
            for _ in range(10):
                yield b"x"
                await asyncio.sleep(pause)

        url = f"{caller.sandbox.endpoint}/v1/api/models/upload_stream"
        query = {"name": "m", "filename": "f", "workspace_id": str(caller.sandbox.workspace_id)}
        for pause, status in ((0.05, 200), (30, 408)):
            async with caller.session.post(url, params=query, data=body(pause)) as response:
                assert response.status == status
        assert len(caller.sandbox.versions()) == 1
        assert list((caller.sandbox.data / "incoming").iterdir()) == []


async def test_who_does_not_take_an_answer_is_not_waited_for(start: Any) -> None:
    """A large one: small ones fit into the system's buffers."""
    async with start(pause_seconds=0.3) as caller:
        version_id = await caller.publish()
        body = json.dumps({"model_version_id": version_id, "input_schema": "x" * 3_000_000}).encode()
        assert (await ask(caller, "/v1/api/models/insert_model_config", body))[0] == 200
        fields = " ".join(f"a{at}: input_schema" for at in range(5))
        query = f"{{ model_by_pk(id: {version_id}) {{ model_configs {{ {fields} }} }} }}"
        body = json.dumps({"query": query}).encode()
        head = f"POST /v1/graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.sandbox.token}\r\n"
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", int(caller.sandbox.endpoint.rpartition(":")[2])))
            reader.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            reset = errno.ECONNRESET
            await caller.until(lambda: reader.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == reset)


# What is written down.


async def test_a_line_of_the_log_is_harmless_and_short(start: Any) -> None:
    """No terminal obeys it, no line breaks, and the log of a long path can be continued."""
    odd = "%0a%1b%5b2J%c2%9b31m%e2%80%ae%ff%00"
    async with start() as caller:
        await ask(caller, f"/v1/{odd}", method="GET")
        await ask(caller, "/v1/" + "a" * 7000, method="GET")
        await ask(caller, "/v1/" + "%e2%80%ae" * 800, method="GET")
        text = caller.sandbox.settings.request_log_path.read_text()
        assert len(text.splitlines()) == 3
        assert all(character.isprintable() or character == "\n" for character in text)
        assert all(len(line) < 12_000 for line in text.splitlines())
    async with start() as caller:
        await ask(caller, CONFIG, method="GET")
        assert [record.seq for record in caller.sandbox.requests()] == [1, 2, 3, 4]


async def test_what_the_disk_cannot_hold_is_refused_before_it_comes(start: Any) -> None:
    async with start() as caller:
        port = int(caller.sandbox.endpoint.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"Host: localhost\r\nAuthorization: Bearer {caller.sandbox.token}\r\nContent-Length: {1 << 60}\r\n\r\n"
        writer.write(f"POST /v1/api/models/upload HTTP/1.1\r\n{head}".encode())
        assert b" 507 " in await reader.readline()
        writer.close()


async def test_the_page_of_a_device_stands_in_no_frame(start: Any) -> None:
    path = "/auth/realms/master/device"
    async with start() as caller, caller.session.get(caller.sandbox.endpoint + path) as page:
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
