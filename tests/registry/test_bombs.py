"""Answers made to hurt: no crash, the right words, memory within bounds in the process that is attacked."""

import asyncio
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from bulkload.core.bounds import LONGEST_TEXT_CHARACTERS
from tests.registry.attacked import CALLS, PASSWORD, TOKEN, attacked

pytestmark = pytest.mark.anyio

MOST_MEBIBYTES = 200
MEBIBYTE = 1 << 20
EVERY_CALL = [*CALLS, "log in"]


def version(**fields: Any) -> dict[str, Any]:
    """A version as two calls show it."""
    return {"model_version": {"id": 5, "name": "m", "workspace_id": 1, **fields}, "config": {}}


def whole(node: dict[str, Any]) -> bytes:
    """A good answer to every call at once."""
    return msgspec.json.encode(
        {
            "model_version": node,
            "models": [{"model_versions": [node]}],
            "model_config": {"id": 1, "runtime": node["model_version"].get("status")},
            "logs": [node["model_version"].get("error_summary") or "x"],
            "workspaces": [{"id": 1, "name": node["model_version"]["name"]}],
            "workspace_id": 1,
            "users": [],
            "insert_models": {"returning": [{"models": [{"id": 5}]}]},
            "access_token": "another-token",
        }
    )


def zeros(begin: bytes, number: int) -> bytes:
    """So many MiB of blanks behind a beginning, as a gzip (without an end): a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * MEBIBYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed + block * number


def repeated(begin: bytes, again: bytes, size: int) -> bytes:
    """A beginning, and the same again and again."""
    return begin + again * (size // len(again))


# Made when they are used: some are large. Body, whether it is a gzip.
BOMBS: dict[str, Callable[[], tuple[bytes, bool]]] = {
    "levels": lambda: (b"[" * 20_000, False),
    "many levels": lambda: (b"[" * (15 * MEBIBYTE), False),
    "levels of objects": lambda: (b'{"models":' * 50_000, False),
    "levels in a version": lambda: (repeated(b'{"models":[{"model_versions":[', b'{"a":[', 8 * MEBIBYTE), False),
    "a text without end": lambda: (
        repeated(b'{"models":[{"model_versions":[{"model_version":{"name":"', b"x", 80 * MEBIBYTE),
        False,
    ),
    "a key without end": lambda: (repeated(b'{"', b"k", 80 * MEBIBYTE), False),
    "a wide text": lambda: (b'{"msg":"' + "😀".encode() + b"x" * (15 * MEBIBYTE) + b'"}', False),
    "lists without end": lambda: (repeated(b'{"models":[{"model_versions":[[', b"[],", 15 * MEBIBYTE), False),
    "fields without end": lambda: (repeated(b'{"models":[{"a":1', b',"a":1', 15 * MEBIBYTE), False),
    "other fields without end": lambda: (
        b"{" + b",".join(b'"%07d":1' % number for number in range(1_500_000)) + b"}",
        False,
    ),
    "small versions": lambda: (
        repeated(b'{"models":[{"model_versions":[', b'{"model_version":{"id":1,"name":"a"}},', 15 * MEBIBYTE),
        False,
    ),
    "blanks without end": lambda: (repeated(b'{"models":[', b" ", 80 * MEBIBYTE), False),
    "a number without end": lambda: (repeated(b'{"models":[{"model_versions":[{"id":', b"9", 4 * MEBIBYTE), False),
    "numbers of 5,000 digits": lambda: (
        repeated(b'{"models":[{"model_versions":[0', b"," + b"9" * 5_000, MEBIBYTE),
        False,
    ),
    "a gzip of a GiB": lambda: (zeros(b'{"models":[', 1024), True),
    "a gzip of a GiB of text": lambda: (zeros(b'{"msg":"', 1024), True),
    "a gzip in a gzip": lambda: (gzip.compress(gzip.compress(b"{}" * 100)), True),
    "half a gzip": lambda: (gzip.compress(b'{"models":[]}' * 1000)[:-20], True),
    "a gzip that is none": lambda: (b'{"models":[]}', True),
    "a summary of 50 MB": lambda: (b'{"msg":"' + b"x" * 50_000_000 + b'","code":500}', False),
    "50,000 log lines": lambda: (msgspec.json.encode({"logs": [f"line {number}" for number in range(50_000)]}), False),
    "log lines of a MiB": lambda: (msgspec.json.encode({"logs": ["x" * MEBIBYTE] * 12}), False),
    "no UTF-8": lambda: (b'{"models":[{"model_versions":[{"model_version":{"id":1,"name":"\xff\xfe"}}]}]}', False),
    "NULs": lambda: (b"\0" * 100_000, False),
    "escapes": lambda: (whole(version(status="\x1b]0;owned\x07", error_summary="\u202e\u009b31m")), False),
    "other types": lambda: (whole(version(status=7, error_summary={"a": 1}, file_info=[1], created_at=1e308)), False),
    "nothing": lambda: (b"", False),
    "a page": lambda: (b"<html><title>Sign in</title>" + b"<p>" * 100_000, False),
}
STATUSES = [200, 403, 500]
# What the plain suite runs: one of each kind, where it would hurt most.
SOME = [
    ("levels", "list", 200),
    ("many levels", "version", 200),
    ("a text without end", "list", 200),
    ("lists without end", "list versions", 200),
    ("small versions", "list", 200),
    ("other fields without end", "config", 200),
    ("numbers of 5,000 digits", "list", 200),
    ("a gzip of a GiB", "list", 200),
    ("a gzip of a GiB of text", "log in", 403),
    ("a summary of 50 MB", "upload", 500),
    ("50,000 log lines", "logs", 200),
]


# Every bomb at every call with every status; the plain suite's are no attacks.
ALL_OF_THEM = [
    pytest.param(bomb, call, status, marks=() if (bomb, call, status) in SOME else pytest.mark.attack)
    for bomb in BOMBS
    for call in EVERY_CALL
    for status in STATUSES
]


async def ended(bench: Any, body: bytes, call: str, status: int, *, packed: bool) -> dict[str, Any]:
    """How a call ended in a process of its own."""
    headers = {"content_encoding": "gzip"} if packed else {}
    async with bench.replying(bench.answer(status, body, **headers)) as (wire, _):
        words = [sys.executable, "-m", "tests.registry.attacked", call, wire.endpoint]
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        with anyio.fail_after(100):
            printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()[-2_000:]
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.parametrize(("bomb", "call", "status"), ALL_OF_THEM)
async def test_a_bomb_takes_little_memory_and_gets_plain_words(bench: Any, bomb: str, call: str, status: int) -> None:
    """Whatever is answered, to whatever call: an answer or one typed error, and less than 200 MB."""
    body, packed = BOMBS[bomb]()
    found = await ended(bench, body, call, status, packed=packed)
    assert found["mebibytes"] < MOST_MEBIBYTES
    assert found["ending"] in ("answered", "CallFailed", "NotAuthorised")
    if found["ending"] != "answered":
        assert 0 < found["length"] < 1_000
        assert found["words"].isprintable()
    elif call == "logs":
        assert found["length"] < 200 * (LONGEST_TEXT_CHARACTERS + 10)


SAID: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "escaped": lambda secret: "".join(f"\\u{ord(sign):04x}" for sign in secret),
    "half escaped": lambda secret: secret.replace("=", "\\u003d").replace("/", "\\/"),
    "percent": lambda secret: "".join(f"%{ord(sign):02X}" for sign in secret),
    "split": "\\u0000".join,
    "behind much else": lambda secret: "x" * 10_000 + secret,
}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("how", SAID)
@pytest.mark.parametrize("call", EVERY_CALL)
async def test_a_secret_that_is_echoed_is_not_shown(bench: Any, call: str, how: str, status: int) -> None:
    """Not in an error, and not in a field of a good answer: summary, status, file name, log line, name."""
    secret = PASSWORD if call == "log in" else TOKEN
    said = SAID[how](secret).encode()
    node = version(name="NAME", status="NAME", error_summary="NAME", file_info={"file_name": "NAME", "version": "NAME"})
    node["config"] = {"input_schema": "NAME"}
    body = whole(node).replace(b"NAME", said)
    if status != 200:
        body = b'{"msg":"refused: %s","code":%d,"error":"%s","error_description":"%s"}' % (said, status, said, said)
    async with bench.replying(bench.answer(status, body)) as (wire, _):
        ending, words = await attacked(call, wire.endpoint)
    assert secret[:16] not in "".join(words.split())
    assert ending != "answered" or status == 200
