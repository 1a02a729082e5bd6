"""A call that fails: one typed error that says how, whatever comes back."""

import gzip
import tracemalloc
from email.utils import formatdate
from typing import Any

import anyio
import pytest

from bulkload.core.bounds import LARGEST_ANSWER_BYTES
from bulkload.core.verdicts import CallFailed, Failure, FailureKind, Verdict, read_verdict, upload_verdict

pytestmark = pytest.mark.anyio
MEMORY = (
    "Internal Server Error: Insufficient memory available for model upload. Try again later or contact your Wallaroo"
    " administrator to provision additional memory."
)


async def failure_of(bench: Any, *pieces: bytes, hang: bool = False, **options: Any) -> Failure:
    """What an upload fails with when these bytes come back."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(*pieces)
        if hang:
            await anyio.sleep_forever()

    async with bench.before(play, **options) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await bench.upload(registry)
    failure: Failure = raised.value.failure
    return failure


STATUSES = [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429, 500, 502, 503, 504, 507, 599]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"msg":"Bad request: no.","code":400}', "application/json", "Bad request: no."),
        (b'{"code":401,"status":"error","error":"Jwt is missing","source":"platform"}', "text/plain", "Jwt is missing"),
        (b"Jwt is expired", "text/plain", "Jwt is expired"),
        (b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html", "an HTML page: 502 Bad Gateway"),
        (b"\x00\xff", "application/json", "�"),
        (b'["a"]', "application/json", '["a"]'),
    ],
)
async def test_a_refusal_keeps_its_status_and_words(
    bench: Any, status: int, body: bytes, kind: str, words: str
) -> None:
    """Both JSON forms, plain text, HTML, garbage, an array."""
    failure = await failure_of(bench, bench.answer(status, body, kind))
    assert (failure.status, failure.message) == (status, words)
    # Nobody but a gateway gives another code than the answer's status.
    own = b'"code":%d' % status in body
    assert failure.kind is (FailureKind.STATUS if own else FailureKind.FOREIGN)
    assert failure.call == "models/upload_and_convert"
    assert failure.retry_after is None


@pytest.mark.parametrize(("status", "words"), [(503, "Service Unavailable"), (404, "Not Found"), (599, "")])
async def test_an_empty_refusal_has_the_words_of_its_status(bench: Any, status: int, words: str) -> None:
    """Where the status has any."""
    assert (await failure_of(bench, bench.answer(status))).message == words


OWN_FORMS: list[dict[str, Any]] = [
    {"msg": "Not found: no such version", "code": 404},
    {"code": 404, "status": "error", "error": "no such version", "source": "platform"},
    {"msg": "Not found", "code": 404, "trace": "a later release may say more"},
]
FOREIGN_FORMS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"default backend - 404",
    "a page": b"<html><title>404 Not Found</title></html>",
    "a number": b"404",
    "an array": b'[{"msg":"Not found","code":404}]',
    "AWS, Kong": b'{"message":"no Route matched with those values"}',
    "Keycloak": b'{"error":"Realm does not exist"}',
    "Azure": b'{"error":{"code":"404","message":"Resource not found"}}',
    "Azure API Management": b'{"statusCode":404,"message":"Resource not found"}',
    "Kubernetes": b'{"kind":"Status","status":"Failure","message":"not found","reason":"NotFound","code":404}',
    "Spring": b'{"timestamp":"2026-01-01","status":404,"error":"Not Found","path":"/v1/api"}',
    "another status": b'{"msg":"Bad request: no","code":400}',
    "no status": b'{"msg":"Not found"}',
    "a text for a number": b'{"msg":"Not found","code":"404"}',
    "no words": b'{"msg":null,"code":404}',
    "half": b'{"msg":"Not found","code":404',
    "half of the second": b'{"code":404,"error":"Not found"}',
}


@pytest.mark.parametrize("body", OWN_FORMS)
async def test_a_refusal_in_the_registrys_form_is_its_word(bench: Any, body: dict[str, Any]) -> None:
    """Both documented forms, whatever the content type says."""
    for kind in ("application/json", "text/plain"):
        assert (await failure_of(bench, bench.answer(404, body, kind))).refusal == 404


@pytest.mark.parametrize("form", FOREIGN_FORMS)
async def test_a_refusal_in_any_other_form_is_not(bench: Any, form: str) -> None:
    """A gateway, a firewall, a load balancer, a sign-in page: the registry has said nothing."""
    failure = await failure_of(bench, bench.answer(404, FOREIGN_FORMS[form]))
    assert (failure.kind, failure.refusal, failure.status) == (FailureKind.FOREIGN, None, 404)
    assert failure.empty is (form == "nothing")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_the_registrys_word(bench: Any, status: int) -> None:
    """A sign-in page in the registry's clothes."""
    body = {"msg": "over there", "code": status}
    assert (await failure_of(bench, bench.answer(status, body, location="/login"))).kind is FailureKind.FOREIGN


async def test_no_room_is_documented_without_a_body(bench: Any) -> None:
    """The one empty answer that is believed."""
    assert (await failure_of(bench, bench.answer(507))).refusal == 507


async def test_a_failure_says_whether_its_call_has_worked(bench: Any) -> None:
    """What was answered well is there; another call is another matter."""
    good = bench.answer(200, {"workspaces": []})
    async with bench.replying(good, bench.answer(404)) as (_, registry):
        await registry.workspaces()
        for call, known in ((registry.workspaces, True), (registry.config, False)):
            with pytest.raises(CallFailed) as raised:
                await call()
            assert raised.value.failure.known is known


async def test_no_room_is_recognised_by_its_words(bench: Any) -> None:
    """It is a 500 that certainly stored nothing."""
    failure = await failure_of(bench, bench.answer(500, {"msg": MEMORY, "code": 500}))
    assert upload_verdict(failure, sealed=True) is Verdict.NOT_ACCEPTED


async def test_an_error_body_in_many_pieces_is_read_whole(bench: Any) -> None:
    """Half of a JSON text has no message."""
    whole = bench.answer(400, {"msg": "x" * 400, "code": 400})
    failure = await failure_of(bench, *(whole[i : i + 60] for i in range(0, len(whole), 60)))
    assert failure.message == "x" * 400


@pytest.mark.parametrize("hang", [False, True])
async def test_a_refusal_that_breaks_off_is_still_a_refusal(bench: Any, hang: bool) -> None:
    """Its status has arrived, and it is what counts; nobody waits long for the rest."""
    whole = bench.answer(413, b"too large, sa", length=500)
    failure = await failure_of(bench, whole, hang=hang, answer_timeout=0.3)
    assert (failure.status, failure.message) == (413, "too large, sa")


async def test_a_refusal_of_any_size_takes_little_memory(bench: Any) -> None:
    """64 KiB of it are read; what a gzip of 50 kB would become is never made."""
    whole = bench.answer(500, gzip.compress(b"x" * 50_000_000), "text/plain", content_encoding="gzip")
    tracemalloc.start()
    try:
        failure = await failure_of(bench, whole)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (failure.status, len(failure.message)) == (500, 500)
    assert peak < 5_000_000


async def test_an_endless_success_is_unreadable(bench: Any) -> None:
    """An answer that is read whole has a largest size."""
    failure = await failure_of(bench, bench.answer(200, {**bench.inserted(), "more": "x" * LARGEST_ANSWER_BYTES}))
    assert failure.kind is FailureKind.UNREADABLE
    assert "more than 16,777,216 bytes" in failure.message


@pytest.mark.parametrize("form", ["5", "date"])
async def test_retry_after_is_measured_by_the_answers_own_date(bench: Any, form: str) -> None:
    """The registry's clock is ten years behind ours."""
    headers = {"retry_after": "90" if form == "5" else formatdate(1e9 + 90, usegmt=True)}
    failure = await failure_of(bench, bench.answer(429, date=formatdate(1e9, usegmt=True), **headers))
    assert (failure.status, failure.retry_after) == (429, 90.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"accepted",
        b'{"insert_models":{"ret\x00\xff',
        b'{"insert_models":null}',
        b'{"insert_models":{"returning":[]}}',
        b'{"insert_models":{"returning":[{"models":[{"id":null}]}]}}',
        b'{"msg":"Internal Server Error","code":500}',
        b"<html><title>Log in</title></html>",
    ],
)
@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_success_without_an_id_is_in_doubt(bench: Any, body: bytes, status: int) -> None:
    """The vendor's example dies with a KeyError here."""
    failure = await failure_of(bench, bench.answer(status, body if status != 204 else b""))
    assert failure.kind in (FailureKind.UNREADABLE, FailureKind.FOREIGN)
    assert upload_verdict(failure, sealed=True) is Verdict.IN_DOUBT


async def test_the_words_of_a_wrong_success_are_told(bench: Any) -> None:
    """So that a person sees what answers."""
    failure = await failure_of(bench, bench.answer(202, {"msg": "Internal Server Error", "code": 500}))
    assert "Internal Server Error" in failure.message
    failure = await failure_of(bench, bench.answer(200, b"<html><title>Log in</title></html>", "text/html"))
    assert "an HTML page: Log in" in failure.message


HEAD = b"HTTP/1.1 202 Accepted\r\n"
WHOLE = b'{"insert_models":{"returning":[{"models":[{"id":1}]}]}}'
LOST = {
    "nothing": b"",
    "half a line": b"HTTP/1.1 20",
    "half a head": HEAD + b"Content-Le",
    "half a body": HEAD + b"Content-Length: 500\r\n\r\n" + WHOLE,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n37\r\n" + WHOLE[:20],
    "no last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n37\r\n" + WHOLE + b"\r\n",
    "a wrong chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + WHOLE,
    "no gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 55\r\n\r\n" + WHOLE,
    "half a gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(WHOLE)[:20],
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + WHOLE,
    "a wrong length": HEAD + b"Content-Length: five\r\n\r\n" + WHOLE,
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "binary": bytes(range(256)) * 4,
    "a huge header": HEAD + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("lost", LOST)
async def test_a_lost_answer_is_in_doubt(bench: Any, lost: str) -> None:
    """Half of an answer, or what is none."""
    failure = await failure_of(bench, LOST[lost])
    assert upload_verdict(failure, sealed=True) is Verdict.IN_DOUBT
    assert upload_verdict(failure, sealed=False) is Verdict.NOT_ACCEPTED
    assert read_verdict(failure) is Verdict.NOT_ACCEPTED
    assert failure.message
    assert failure.message.isprintable()


async def test_an_interim_answer_is_passed_over(bench: Any) -> None:
    """100 and 103 may come before the real one."""
    pieces = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", bench.answer(503)
    assert (await failure_of(bench, *pieces)).status == 503


async def test_an_answer_that_stops_is_cut(bench: Any) -> None:
    """A read is cut when nothing comes for the time without progress."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(200, b'{"models":[', length=500))
        await anyio.sleep_forever()

    async with bench.before(play, progress_timeout=0.1) as (_, registry):
        for call in (registry.version(1), registry.workspaces()):
            with anyio.fail_after(60), pytest.raises(CallFailed, match=r"nothing came for 0\.1 s") as raised:
                await call
            assert raised.value.failure.kind is FailureKind.CUT
        with anyio.fail_after(60), pytest.raises(CallFailed, match=r"nothing came for 0\.1 s"):
            _ = [some async for some in registry.list_workspace(1)]


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("503", FailureKind.STATUS, 503),
        ("429=5", FailureKind.STATUS, 429),
        ("html", FailureKind.FOREIGN, 502),
        ("307", FailureKind.FOREIGN, 307),
        ("202", FailureKind.UNREADABLE, None),
        ("garbage", FailureKind.FOREIGN, 202),
        ("half", FailureKind.CUT, None),
        ("refuse", FailureKind.CUT, None),
        ("lost-answer", FailureKind.CUT, None),
        ("stall=0.05", FailureKind.CUT, None),
    ],
)
async def test_the_faults_of_a_real_registry(
    start: Any, bench: Any, fault: str, kind: FailureKind, status: int | None
) -> None:
    """Each becomes what it is, once; the next call is served."""
    async with start(faults=(f"upload:{fault}@1",)) as (sandbox, registry):
        with pytest.raises(CallFailed) as raised:
            await bench.upload(registry, workspace_id=sandbox.workspace_id)
        assert (raised.value.failure.kind, raised.value.failure.status) == (kind, status)
        assert raised.value.failure.retry_after == (5.0 if fault == "429=5" else None)
        await bench.upload(registry, workspace_id=sandbox.workspace_id)
        assert len(sandbox.requests()) == 2


async def test_a_want_of_descriptors_is_not_the_registrys(bench: Any) -> None:
    """Nothing more can be opened: what to raise, and not that host and port should be checked."""
    import resource

    async def play(connection: Any) -> None:
        await connection.request()

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with bench.before(play) as (_, registry):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
                await registry.version(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    failure = raised.value.failure
    assert failure.kind is FailureKind.NO_CONNECTION
    assert "ulimit -n" in failure.message
    assert "check host and port" not in failure.message
