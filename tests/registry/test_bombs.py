"""Answers made to hurt: no crash, the right words, memory within bounds in the process that is attacked."""

import gzip
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

from bulkload.core.bounds import LONGEST_TEXT_CHARACTERS
from tests.registry.attacked import CALLS, PASSWORD, TOKEN, attacked
from tests.variants import each_once

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
        repeated(b'{"models":[{"model_versions":[', b'{"model_version":{"id":1,"name":"a"}},', 4 * MEBIBYTE),
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
# What the plain suite runs: one of each kind, where it would hurt most; those of a call at one process.
SOME = [
    (
        ("levels", "a text without end", "small versions", "numbers of 5,000 digits", "a gzip of a GiB"),
        "list",
        200,
    ),
    (("many levels",), "version", 200),
    (("lists without end",), "list versions", 200),
    (("other fields without end",), "config", 200),
    (("a gzip of a GiB of text",), "log in", 403),
    (("a summary of 50 MB",), "upload", 500),
    (("50,000 log lines",), "logs", 200),
]


async def ended(bench: Any, call: str, status: int, bombs: Sequence[str]) -> list[dict[str, Any]]:
    """How a call ended with each of these answers, in one process."""

    async def play(connection: Any, bomb: str) -> None:
        body, packed = BOMBS[bomb]()
        while True:
            await connection.request()
            await connection.send(bench.answer(status, body, **({"content_encoding": "gzip"} if packed else {})))

    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(bench.playing(partial(play, bomb=bomb))) for bomb in bombs]
        words = [sys.executable, "-m", "tests.registry.attacked", call, *(wire.endpoint for wire in wires)]
        # Terminated where the test is.
        done = await anyio.run_process(words, stderr=None, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len(bombs), f"{bombs[len(lines)]} at {call}: the process ended with {done.returncode}"
    return [json.loads(line) for line in lines]


async def check(bench: Any, call: str, status: int, bombs: Sequence[str]) -> None:
    """An answer or one typed error in plain words, and less than 200 MB."""
    for bomb, found in zip(bombs, await ended(bench, call, status, bombs), strict=True):
        assert found["mebibytes"] < MOST_MEBIBYTES, bomb
        assert found["ending"] in ("answered", "CallFailed", "NotAuthorised", "KeycloakMissing"), bomb
        if found["ending"] != "answered":
            assert 0 < found["length"] < 1_000, bomb
            assert found["words"].isprintable(), bomb
        elif call == "logs":
            assert found["length"] < 200 * (LONGEST_TEXT_CHARACTERS + 10), bomb


@pytest.mark.parametrize(("bombs", "call", "status"), SOME)
async def test_bombs_take_little_memory_and_get_plain_words(
    bench: Any, bombs: Sequence[str], call: str, status: int
) -> None:
    """One of each kind, where it would hurt most."""
    await check(bench, call, status, bombs)


@pytest.mark.attack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("call", EVERY_CALL)
async def test_whatever_is_answered_to_whatever_call(bench: Any, call: str, status: int) -> None:
    """Every bomb, one after the other at one process: it stays below 200 MB for all of them."""
    await check(bench, call, status, list(BOMBS))


SAID: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "escaped": lambda secret: "".join(f"\\u{ord(sign):04x}" for sign in secret),
    "half escaped": lambda secret: secret.replace("=", "\\u003d").replace("/", "\\/"),
    "percent": lambda secret: "".join(f"%{ord(sign):02X}" for sign in secret),
    "split": "\\u0000".join,
    "behind much else": lambda secret: "x" * 10_000 + secret,
}


@pytest.mark.parametrize(("call", "how", "status"), each_once(list(EVERY_CALL), list(SAID), [200, 400, 500]))
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
