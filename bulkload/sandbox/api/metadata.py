"""The `metadata` part of an upload: what the registry checks of it, and what it makes of it. Pure but for pyarrow."""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from bulkload.sandbox.door.decoding import Id, MalformedError, decode

NAME_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
VISIBILITIES = ("public", "private")
ARCHITECTURES = ("x86", "arm", "power10")
ACCELERATORS = ("none", "cuda", "jetson", "openvino", "rocm", "qaic")
PYTHON_VERSIONS = ("3.8", "3.9")
HUGGING_FACE_TASKS = (
    "automatic-speech-recognition",
    "feature-extraction",
    "image-classification",
    "image-segmentation",
    "image-to-text",
    "object-detection",
    "question-answering",
    "sentiment-analysis",
    "stable-diffusion-text-2-img",
    "summarization",
    "text-classification",
    "text-generation",
    "translation",
    "zero-shot-classification",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
)
FRAMEWORKS = frozenset(
    ("custom", "keras", "mlflow", "onnx", "python", "pytorch", "sglang", "sklearn", "tensorflow", "vllm", "xgboost")
) | frozenset(f"hugging-face-{task}" for task in HUGGING_FACE_TASKS)
WITHOUT_SCHEMAS = frozenset({"onnx", "tensorflow", "mlflow"})


class RefusalError(Exception):
    """The request is answered with `status` and `{"msg": message, "code": status}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(reason: str) -> RefusalError:
    """400 in the words of the real registry: `Bad request: ...`."""
    return RefusalError(400, f"Bad request: {reason}")


class Conversion(msgspec.Struct, frozen=True):
    """metadata.conversion as the contract has it; unknown keys are tolerated, as the real registry does."""

    framework: str
    requirements: list[str]
    python_version: str | None = None
    arch: str | None = None
    accel: str | dict[str, dict[str, Any]] | None = None
    framework_config: dict[str, Any] | None = None


class UploadRequest(msgspec.Struct, frozen=True):
    """The metadata object of an upload."""

    name: str
    visibility: str
    workspace_id: Id
    conversion: Conversion
    input_schema: str | None = None
    output_schema: str | None = None
    image_path: str | None = None


@dataclass(frozen=True, slots=True)
class UploadMetadata:
    """What is known of a version before its bytes are looked at.

    `conversion` is the JSON object that later answers show under that name.
    """

    name: str
    visibility: str
    workspace_id: int
    framework: str
    conversion: bytes
    input_schema: str | None
    output_schema: str | None
    file_name: str


def read_metadata(text: bytes, file_name: str, *, schemas_needed: bool) -> UploadMetadata:
    """Check the metadata of an upload. Raises RefusalError (400) with the first thing that is wrong with it.

    Schemas are not decoded here, see `check_schema`: that needs pyarrow, whose import takes long.
    """
    try:
        request = decode(text, UploadRequest)
    except MalformedError as error:
        raise bad_request(f"malformed metadata: {error}") from None
    _check_values(request)
    framework = request.conversion.framework
    if schemas_needed and framework not in WITHOUT_SCHEMAS:
        for field in ("input_schema", "output_schema"):
            if getattr(request, field) is None:
                raise bad_request(f"{field} is required for framework {framework}")
    return UploadMetadata(
        name=request.name,
        visibility=request.visibility,
        workspace_id=request.workspace_id,
        framework=framework,
        conversion=conversion_as_stored(request.conversion, file_name),
        input_schema=request.input_schema,
        output_schema=request.output_schema,
        file_name=file_name,
    )


def _check_values(request: UploadRequest) -> None:
    conversion = request.conversion
    accel = next(iter(conversion.accel), "") if isinstance(conversion.accel, dict) else conversion.accel
    if NAME_PATTERN.fullmatch(request.name) is None:
        raise bad_request(f"invalid model name {request.name!r}: lower-case letters, digits and '-' only")
    checks: list[tuple[str, str | None, tuple[str, ...] | frozenset[str]]] = [
        ("visibility", request.visibility, VISIBILITIES),
        ("framework", conversion.framework, FRAMEWORKS),
        ("python_version", conversion.python_version, PYTHON_VERSIONS),
        ("arch", conversion.arch, ARCHITECTURES),
        ("accel", accel, ACCELERATORS),
    ]
    for field, value, allowed in checks:
        if value is not None and value not in allowed:
            raise bad_request(f"unknown {field} {value!r}, expected one of {', '.join(sorted(allowed))}")
    if isinstance(conversion.accel, dict) and len(conversion.accel) != 1:
        raise bad_request("accel must have exactly one key")
    if conversion.framework_config is not None and conversion.framework_config.get("framework") != conversion.framework:
        raise bad_request("framework_config.framework must be the framework of the conversion")


def conversion_as_stored(conversion: Conversion, file_name: str) -> bytes:
    """The conversion of later answers: arch and accel only when sent, custom's config filled in and rewritten."""
    framework_config = conversion.framework_config
    if conversion.framework == "custom":
        # "./model/", sent or not, comes back as a path inside the uploaded file (fact sheet 1.1).
        config = dict((framework_config or {}).get("config") or {})
        framework_config = {"framework": "custom", "config": config | {"model_path": f"{file_name}/model"}}
    shown: dict[str, Any] = {}
    for field in ("arch", "accel", "python_version"):
        if getattr(conversion, field) is not None:
            shown[field] = getattr(conversion, field)
    shown["requirements"] = conversion.requirements
    shown["framework"] = conversion.framework
    shown["framework_config"] = framework_config
    return msgspec.json.encode(shown)


@lru_cache(maxsize=1024)
def check_schema(text: str) -> None:
    """Decode a base64 Arrow IPC schema the way the packager does. Raises ValueError when it cannot be read."""
    import pyarrow as pa

    try:
        pa.ipc.open_stream(base64.b64decode(text, validate=True)).schema  # noqa: B018 - reading it is the check
    except (ValueError, pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"cannot be decoded as a base64 Arrow IPC schema: {error}") from None
