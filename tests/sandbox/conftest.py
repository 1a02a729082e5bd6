"""A running sandbox and a client that knows nothing but HTTP."""

import asyncio
import base64
import io
import json
import pickle
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pytest

from bulkload.sandbox import Sandbox, SandboxSettings

SCHEMA = base64.b64encode(pa.schema([("x", pa.float32())]).serialize().to_pybytes()).decode()
CONVERT = "models/upload_and_convert"
MAIN_MODULE = """
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder

class MyInference(Inference):
    @property
    def expected_model_types(self): return {int}
    @Inference.model.setter
    def model(self, model): self._model = model
    def _predict(self, input_data: "InferenceData"): return input_data

class MyBuilder(InferenceBuilder):
    @property
    def inference(self): return MyInference()
    def create(self, config): return self.inference
"""


STEP_MODULE = "def process_data(input_data): return input_data"
# ir_version 8; a graph with one output; one opset.
ONNX = b"\x08\x08" + b"\x3a\x02\x62\x00" + b"\x42\x02\x10\x11"
# schema version 1; one meta graph that holds one graph.
SAVED_MODEL = b"\x08\x01" + b"\x12\x02\x12\x00"
# A superblock of version 0 that says that the file ends with it.
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(32) + (96).to_bytes(8, "little") + bytes(48)
FILES: dict[str, dict[str, str | bytes]] = {
    "tensorflow": {"m/saved_model.pb": SAVED_MODEL, "m/variables/variables.index": b""},
    "pytorch": {"m/data.pkl": b"N.", "m/constants.pkl": b"N.", "m/code/__torch__.py": ""},
    "python": {"step/step.py": STEP_MODULE},
    "custom": {"model/main.py": MAIN_MODULE, "model/requirements.txt": "numpy\n"},
}


def zip_of(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def model_of(framework: str) -> bytes:
    """The smallest file that becomes ready."""
    alone = {"onnx": ONNX, "keras": HDF5, "sklearn": pickle.dumps("model"), "xgboost": pickle.dumps("model")}
    return alone[framework] if framework in alone else zip_of(FILES.get(framework, {"config.json": "{}"}))


class Caller:
    """A running sandbox and an HTTP session with its token."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.schema = SCHEMA

    async def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """POST JSON; the status and the decoded answer (text when it is not JSON)."""
        url = f"{self.sandbox.endpoint}/v1/api/{path}"
        async with self.session.post(url, json={} if body is None else body, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def poll(self, version_id: int) -> dict[str, Any]:
        """`model_version` of get_version_by_id."""
        status, answer = await self.ask("models/get_version_by_id", {"model_version_id": version_id})
        assert status == 200, answer
        version: dict[str, Any] = answer["model_version"]["model_version"]
        return version

    def metadata(self, name: str = "m", framework: str = "onnx", **others: Any) -> dict[str, Any]:
        """A metadata object; `conversion` in `others` is merged into the default one."""
        conversion = {
            "framework": framework,
            "requirements": [],
            "python_version": "3.8",
            **others.pop("conversion", {}),
        }
        schemas = {} if framework in {"onnx", "tensorflow"} else {"input_schema": SCHEMA, "output_schema": SCHEMA}
        whole = {"name": name, "visibility": "private", "workspace_id": self.sandbox.workspace_id}
        return {**whole, "conversion": conversion, **schemas, **others}

    async def send(
        self,
        content: bytes | None = None,
        *,
        route: str = CONVERT,
        file_name: str = "model.onnx",
        metadata: Any = None,
        file_first: bool = False,
        parts: tuple[str, ...] = ("metadata", "file"),
        **fields: Any,
    ) -> tuple[int, Any]:
        """Upload; the status and the decoded answer. Without `content` a file that the framework accepts."""
        if content is None:
            content = model_of(fields.get("framework", "onnx"))
        text = metadata if isinstance(metadata, str) else json.dumps(metadata or self.metadata(**fields))
        form = aiohttp.FormData(quote_fields=False)
        for part in reversed(parts) if file_first else parts:
            if part == "metadata":
                form.add_field("metadata", text, content_type="application/json")
            else:
                form.add_field("file", io.BytesIO(content), filename=file_name, content_type="application/octet-stream")
        async with self.session.post(f"{self.sandbox.endpoint}/v1/api/{route}", data=form) as response:
            answer = await response.text()
            return response.status, json.loads(answer) if response.content_type == "application/json" else answer

    async def publish(self, content: bytes | None = None, **fields: Any) -> int:
        """Upload what must be accepted; the id in the answer."""
        status, answer = await self.send(content, **fields)
        assert status in {200, 202}, answer
        return int(answer["insert_models"]["returning"][0]["models"][0]["id"])

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that happens on the server's side, for ten seconds at most."""
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.005)
        pytest.fail("it never happened")

    async def token_request(self, authorization: str | None = None, **form: str) -> tuple[int, dict[str, Any]]:
        """POST to Keycloak's token endpoint."""
        url = f"{self.sandbox.endpoint}/auth/realms/master/protocol/openid-connect/token"
        headers = {} if authorization is None else {"Authorization": authorization}
        async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=form) as response:
            answer: dict[str, Any] = await response.json()
            return response.status, answer


Starter = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio only."""
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Starter:
    """Start a sandbox: `async with start(faults=("upload:503@1",)) as caller`."""

    @asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[Caller]:
        defaults: dict[str, Any] = {"data": tmp_path / "data", "time_scale": 0.0}
        chosen = SandboxSettings(**defaults | settings)
        async with Sandbox(chosen) as sandbox:
            headers = {"Authorization": f"Bearer {sandbox.token}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                yield Caller(sandbox, session)

    return running


@pytest.fixture
def archive() -> Callable[..., bytes]:
    """A custom model's archive that passes; `archive({"main.py": "..."})` replaces files, None leaves one out."""

    def make(changes: dict[str, str | None] | None = None) -> bytes:
        files = {**FILES["custom"], **(changes or {})}
        return zip_of({name: text for name, text in files.items() if text is not None})

    return make


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    """A zip archive of files: `zipped({"a.txt": "..."})`."""
    return zip_of


@pytest.fixture
def model() -> Callable[[str], bytes]:
    """The smallest file that becomes ready, by framework."""
    return model_of
