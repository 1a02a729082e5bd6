"""Records with every field set to something ordinary, so that a test names only what it is about."""

from collections.abc import Callable
from typing import Any

import pytest

from bulkload.core.model.records import Conversion, Entry, RegistryVersion

SHA256 = "ab" * 32


@pytest.fixture
def make_entry() -> Callable[..., Entry]:
    """An onnx entry; ``framework`` and other names of ``Conversion`` go into its conversion."""

    def make(**fields: Any) -> Entry:
        conversion = {name: fields.pop(name) for name in Conversion.__struct_fields__ if name in fields}
        defaults: dict[str, Any] = {"line": 1, "name": "model", "path": "files/model.onnx", "source": "/model.onnx"}
        return Entry(**(defaults | fields), conversion=Conversion(**({"framework": "onnx"} | conversion)))

    return make


@pytest.fixture
def make_version() -> Callable[..., RegistryVersion]:
    """What the registry shows of ``make_entry()``'s version; fields as there."""

    def make(version_id: int = 1, **fields: Any) -> RegistryVersion:
        conversion = {name: fields.pop(name) for name in Conversion.__struct_fields__ if name in fields}
        defaults: dict[str, Any] = {
            "version_id": version_id,
            "name": "model",
            "workspace_id": 7,
            "conversion": Conversion(**({"framework": "onnx"} | conversion)),
            "status": "ready",
            "sha256": SHA256,
            "size": 10,
            "file_name": "model.onnx",
        }
        return RegistryVersion(**(defaults | fields))

    return make
