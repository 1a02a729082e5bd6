"""A call to registries, in a process of its own: prints what came of it, and what memory that took."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.settings import Credentials
from bulkload.registry import Registry
from bulkload.registry.form import upload_form
from tests.memory import most_mebibytes

PASSWORD = "a-secret-password=/+"
TOKEN = "eyJhbGciOi-a-secret-token-of-some-length=/+"


async def _listed(registry: Registry) -> str:
    found = 0
    async for versions in registry.list_workspace(1):
        found += len(versions)
        _ = repr(versions)
    return f"{found} versions"


async def _upload(registry: Registry) -> int:
    form = upload_form(b"{}", "m.onnx")
    return await registry.send_small("models/upload", form, b"bytes")


async def _logged_in(endpoint: str) -> str:
    async with Registry(endpoint, Credentials(username="me", password=PASSWORD), read_timeout=30.0) as registry:
        return repr(await registry.workspaces())


CALLS: dict[str, Callable[[Registry], Any]] = {
    "config": lambda registry: registry.config(),
    "workspaces": lambda registry: registry.workspaces(),
    "users": lambda registry: registry.workspace_roles(1),
    "create": lambda registry: registry.create_workspace("w"),
    "version": lambda registry: registry.version(5),
    "list": _listed,
    "list versions": lambda registry: registry.list_versions("m"),
    "list versions of a model": lambda registry: registry.list_versions_for_model("m", 1),
    "version's config": lambda registry: registry.version_config(5),
    "logs": lambda registry: registry.upload_logs(5, 200),
    "upload": _upload,
}


async def attacked(call: str, endpoint: str) -> tuple[str, str]:
    """How a call ended, and with which words."""
    try:
        if call == "log in":
            return "answered", await _logged_in(endpoint)
        async with Registry(endpoint, Credentials(token=TOKEN), read_timeout=30.0, answer_timeout=30.0) as registry:
            return "answered", repr(await CALLS[call](registry))
    except BulkloadError as error:
        return type(error).__name__, str(error)


def main(call: str, endpoints: list[str]) -> None:
    """One line of JSON for each: how it ended, and the most memory until then."""
    for endpoint in endpoints:
        ending, words = asyncio.run(attacked(call, endpoint))
        found = {"ending": ending, "length": len(words), "words": words[:4_000], "mebibytes": most_mebibytes()}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
