"""Requests that nobody should send, by the thousand, from a seed: bad tokens, bad bodies, bombs."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ODD_TEXTS = [
    "", "\0", "\ud800", "\u202e", "\x1b[2J", "../../etc/passwd", "/etc/passwd", "'; DROP TABLE versions; --", "%00",
    "{{7*7}}", "${jndi:ldap://x}", "<script>", "a" * 70_000, "\U0001f4a5", "-1", "NaN", "null", "C:\\x", "a\nb",
]  # fmt: skip
ODD_NUMBERS = [0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400, 1.5, 1e308, -0.0]
ODD_VALUES: list[Any] = [
    None, True, False, [], {}, [[]], [None], {"": None}, [[[[[[]]]]]], {"a": {"b": {}}},
    *ODD_TEXTS, *ODD_NUMBERS,
]  # fmt: skip
METADATA: dict[str, Any] = {
    "name": "m",
    "visibility": "private",
    "workspace_id": 108,
    "input_schema": None,
    "output_schema": None,
    "conversion": {
        "framework": "onnx",
        "requirements": ["a==1"],
        "python_version": "3.8",
        "arch": "x86",
        "accel": "none",
        "framework_config": None,
    },
}
# What each endpoint is asked with, and the fields without which there is no such question.
QUESTIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "models/get_version_by_id": ({"model_version_id": 1, "lines": 1}, {"model_version_id"}),
    "models/get_model_version_by_id": ({"model_version_id": 1}, {"model_version_id"}),
    "models/list": ({"workspace_id": 1, "workspace_name": "w"}, set()),
    "models/list_versions": ({"model_id": "m", "models_pk_id": 1}, set()),
    "models/list_versions_for_model": ({"model_id": "m", "workspace_id": 1}, {"model_id", "workspace_id"}),
    "models/get_config_by_id": ({"model_id": 1}, {"model_id"}),
    "models/insert_model_config": (
        {"model_version_id": 1, "tensor_fields": ["x"], "filter_threshold": 0.5, "dynamic_batching_config": {"a": 1}},
        {"model_version_id"},
    ),
    "models/get_upload_logs": ({"model_version_id": 1, "lines": 5}, {"model_version_id"}),
    "models/get": ({"id": 1}, {"id"}),
    "models/get_by_id": ({"id": 1}, {"id"}),
    "models/delete_model": (
        {"model_id": "m", "workspace_id": 1, "confirm_delete": False},
        {"model_id", "workspace_id"},
    ),
    "models/delete_model_versions": ({"model_versions": ["x"], "confirm_delete": False}, {"model_versions"}),
    "workspaces/list": ({"user_id": "x"}, set()),
    "workspaces/create": ({"workspace_name": "w"}, {"workspace_name"}),
    "workspaces/add_user": ({"workspace_id": 1, "email": "a@b", "user_type": "OWNER"}, {"workspace_id"}),
    "workspaces/list_users": ({"workspace_id": 1}, {"workspace_id"}),
    "workspaces/remove_user": ({"workspace_id": 1, "user_id": "x"}, {"workspace_id"}),
    "users/query": ({"user_ids": ["x"]}, set()),
    "users/invite": ({"email": "a@b", "roles": ["x"], "password": "p"}, {"email"}),
    "features/list": ({}, set()),
}


@dataclass(frozen=True)
class BadBody:
    """A body for a path. `refused`: it is certain that nobody may accept it."""

    path: str
    content: bytes
    refused: bool
    content_type: str = "application/json"


def as_json(value: Any) -> bytes:
    """JSON that may have half pairs in it."""
    return json.dumps(value).encode()


def is_json(content: bytes) -> bool:
    try:
        json.loads(content.decode())
    except (ValueError, RecursionError):
        return False
    return True


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut, doubled or put in."""
    damage = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damage) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            damage[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del damage[at : at + chance.randint(1, 8)]
        elif kind == 2:
            damage[at:at] = damage[at : at + chance.randint(1, 30)] * chance.randint(1, 30)
        else:
            damage[at:at] = chance.choice(
                [b"\0", b'"', b"\\", b"[" * 50, b"{", b"\xff\xfe", b"\r\n", b"--x--", b"9" * 50]
            )
    return bytes(damage)


def bad_bodies(count: int, seed: int) -> Iterator[BadBody]:
    """For every endpoint: JSON that is none, values of other types, fields that are missing; and forms."""
    chance = random.Random(seed)
    for number in range(count):
        if number % 4 == 3:
            yield bad_form(chance)
            continue
        path = chance.choice(list(QUESTIONS))
        question, needed = QUESTIONS[path]
        changed = dict(question)
        kind = number % 3
        if kind == 0:
            content = damaged(as_json(question), chance)
            yield BadBody(f"/v1/api/{path}", content, refused=bool(content) and not is_json(content))
        elif kind == 1 and question:
            changed[chance.choice(list(question))] = chance.choice(ODD_VALUES)
            yield BadBody(f"/v1/api/{path}", as_json(changed), refused=False)
        else:
            for field in needed:
                del changed[field]
            content = chance.choice(
                [as_json(changed), as_json([changed]), b"[" * chance.randint(65, 5000), b"nul", b"\xff"]
            )
            yield BadBody(f"/v1/api/{path}", content, refused=bool(needed) or content != as_json(changed))


def bad_form(chance: random.Random) -> BadBody:
    """An upload with odd metadata, or with a form that is none."""
    metadata = json.loads(json.dumps(METADATA))
    target = metadata if chance.random() < 0.5 else metadata["conversion"]
    field = chance.choice(list(target))
    target[field] = chance.choice([[1], {"x": 1}, 5, "\ud800", 2**63, 1.5])
    form = form_of(as_json(metadata), b"bytes")
    path = chance.choice(["/v1/api/models/upload", "/v1/api/models/upload_and_convert"])
    kind = "multipart/form-data; boundary=x"
    if chance.random() < 0.5:
        return BadBody(path, damaged(form, chance), refused=True, content_type=kind)
    odd = ["text/plain", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x", kind]
    return BadBody(path, form, refused=True, content_type=chance.choice(odd))


def form_of(metadata: bytes, file: bytes) -> bytes:
    """A multipart form whose boundary is `x`."""
    return (
        b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n%s\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="m.onnx"\r\n\r\n%s\r\n--x--\r\n'
        % (metadata, file)
    )


def signed(claims: dict[str, Any], key: str, algorithm: str = "HS256") -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(as_json({"alg": algorithm, "typ": "JWT"})) + "." + part(as_json(claims))
    return f"{head}.{part(hmac.digest(key.encode(), head.encode(), hashlib.sha256))}"


def bad_tokens(count: int, seed: int, good: str) -> Iterator[bytes]:
    """Values of an Authorization header that let nobody in; none is the good one."""
    chance = random.Random(seed)
    head, claims, signature = good.split(".")
    fixed = [
        b"", b"Bearer", b"Bearer ", b"Bearer null", good.encode(), f"Basic {good}".encode(), f"Token {good}".encode(),
        f"Bearer {head}.{claims}.".encode(), f"Bearer {head}.{claims}".encode(),
        f"Bearer {claims}.{head}.{signature}".encode(),
        f"Bearer {good}.{signature}".encode(), f"Bearer ,{good}".encode(), f'Bearer "{good}"'.encode(),
        f"Bearer {good} {good}".encode(), b"Bearer ../../account.json", b"Bearer \xff\xfe.\x80.\x81",
        "Bearer \N{SNOWMAN}.\N{SNOWMAN}.\N{SNOWMAN}".encode(), b"Bearer " + b"a." * 3000,
    ]  # fmt: skip
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = [
        signed(said | change, key, algorithm)
        for key in ("", "secret", "0" * 64, head)
        for algorithm in ("HS256", "none", "None", "RS256", "HS512")
        for change in ({}, {"typ": "Refresh"}, {"exp": 10**12}, {"exp": None}, {"sub": "admin"})
    ]
    texts = fixed + [f"Bearer {token}".encode() for token in forged]
    for number in range(count):
        if number < len(texts):
            yield texts[number]
            continue
        changed = damaged(good.encode(), chance).replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        yield b"Bearer " + (changed if changed.strip() != good.encode() else b"x")
