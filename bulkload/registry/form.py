"""The upload's ``multipart/form-data``: metadata first, then the file, with an exact length."""

import secrets
from typing import Any

import msgspec

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.records import Entry


def upload_metadata(entry: Entry, workspace_id: int) -> bytes:
    """The ``metadata`` part, JSON. The schemas stand at the top level, not inside ``conversion``."""
    conversion = entry.conversion
    wanted: dict[str, Any] = {
        "framework": conversion.framework,
        "python_version": conversion.python_version,
        "requirements": list(conversion.requirements),
        "framework_config": _framework_config(entry),
    }
    # What is absent here is absent from the registry's answers too.
    if conversion.arch is not None:
        wanted["arch"] = conversion.arch
    if conversion.accel is not None:
        wanted["accel"] = conversion.accel
    return msgspec.json.encode(
        {
            "name": entry.name,
            "visibility": entry.visibility,
            "workspace_id": workspace_id,
            "conversion": wanted,
            "input_schema": entry.input_schema,
            "output_schema": entry.output_schema,
        }
    )


def _framework_config(entry: Entry) -> dict[str, Any] | None:
    """As given; else the default that the vendor's SDK sends for custom, vllm and sglang."""
    conversion = entry.conversion
    if conversion.framework_config is not None:
        return conversion.framework_config
    default = FRAMEWORKS[conversion.framework].default_config
    return None if default is None else {"framework": conversion.framework, "config": dict(default)}


# 128 random bits of this process: no file holds them by accident, and none can be made to.
BOUNDARY = f"bulkload-{secrets.token_hex(16)}"
_BEGIN = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="metadata"\r\nContent-Type: application/json\r\n\r\n'
).encode()
_BEFORE_NAME = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="'.encode()
_BEHIND_NAME = b'"\r\nContent-Type: application/octet-stream\r\n\r\n'
_END = f"\r\n--{BOUNDARY}--\r\n".encode()


class Form(msgspec.Struct, frozen=True):
    """What stands before and behind the file's bytes."""

    boundary: str
    head: bytes
    tail: bytes

    @property
    def content_type(self) -> str:
        """The request's Content-Type."""
        return f"multipart/form-data; boundary={self.boundary}"

    def content_length(self, file_size: int) -> int:
        """The request's Content-Length for a file of ``file_size`` bytes."""
        return len(self.head) + file_size + len(self.tail)


def upload_form(metadata: bytes, file_name: str) -> Form:
    """The form around a file."""
    name = sent_file_name(file_name).encode()
    return Form(BOUNDARY, b"".join((_BEGIN, metadata, _BEFORE_NAME, name, _BEHIND_NAME)), _END)
