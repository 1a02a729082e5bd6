"""The metadata that bulkload sends is the SDK's for the same model: field by field, in every framework."""

import base64
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wallaroo.engine_config import Acceleration, AccelerationWithConfig, Architecture, QaicConfig
from wallaroo.framework import CustomConfig, Framework, SGLangConfig, VLLMConfig

from tests.conformance.conftest import Run, Sandbox
from tests.conformance.recorder import Exchange, Relay

# Field -> why bulkload's is another. Nothing else may differ.
ARCH = "absent means the registry's default, which is what the SDK writes out; and what is absent stays so in answers"
ACCEL = "absent means none, which is what the SDK writes out; and what is absent stays so in answers"
SCHEMAS = "null, where the SDK leaves the field away: the contract has both"
SAID = {"conversion.arch": ARCH, "conversion.accel": ACCEL}
WITHOUT_SCHEMAS = {
    "onnx": {"input_schema": SCHEMAS, "output_schema": SCHEMAS},
    "tensorflow": {"input_schema": SCHEMAS, "output_schema": SCHEMAS},
}
EXTENSIONS = {"onnx": ".onnx", "pytorch": ".pt", "keras": ".h5", "sklearn": ".pkl", "xgboost": ".pkl"}
INPUTS = {
    "text": "string",
    "image": "float32[3][2]",
    "when": "timestamp[us]",
    "many": "list<struct<a: int64, b: bool>>",
}
ARROW = pa.schema(
    [
        ("text", pa.string()),
        ("image", pa.list_(pa.list_(pa.float32(), 3), 2)),
        ("when", pa.timestamp("us")),
        ("many", pa.list_(pa.struct([("a", pa.int64()), ("b", pa.bool_())]))),
    ]
)


@dataclass(frozen=True)
class Case:
    """One model: what the SDK is told, and what the manifest says."""

    framework: Framework
    options: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, Any] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def schemas(self) -> tuple[str, ...]:
        """The fields of the schemas that the framework wants."""
        return () if self.framework.value in WITHOUT_SCHEMAS else ("input_schema", "output_schema")


def case(
    framework: Framework,
    config: Any = None,
    arch: Architecture = Architecture.X86,
    accel: Acceleration | AccelerationWithConfig = Acceleration._None,
) -> Case:
    """The same said to both, arch and accel too."""
    configured = accel if isinstance(accel, AccelerationWithConfig) else None
    entry = {"arch": arch.value, "accel": str(accel) if configured is None else configured.to_dict()}
    if config is not None:
        entry["framework_config"] = config.to_dict()
    options = {"arch": arch, "accel": accel, "framework_config": config}
    return Case(framework, options, entry, WITHOUT_SCHEMAS.get(framework.value, {}))


def unsaid(framework: Framework) -> Case:
    """arch and accel are said to neither."""
    return Case(framework, differences=WITHOUT_SCHEMAS.get(framework.value, {}) | SAID)


CASES = {
    **{framework.value: case(framework) for framework in Framework},
    **{f"{framework.value} unsaid": unsaid(framework) for framework in Framework},
    "custom configured": case(Framework.CUSTOM, CustomConfig(model_path="./weights/", gpu_memory_utilization=0.5)),
    "vllm configured": case(
        Framework.VLLM, VLLMConfig(max_model_len=2048, quantization="awq"), accel=Acceleration.CUDA
    ),
    "sglang configured": case(Framework.SGLANG, SGLangConfig(page_size=32), accel=Acceleration.ROCM),
    "vllm on arm": case(Framework.VLLM, arch=Architecture.ARM, accel=Acceleration.Jetson),
    "onnx on power10": case(Framework.ONNX, arch=Architecture.Power10),
    "vllm on qaic": case(Framework.VLLM, accel=Acceleration.QAIC.with_config(QaicConfig(num_devices=4))),
    "vllm on qaic by default": case(Framework.VLLM, accel=Acceleration.QAIC.default_acceleration_with_config()),
}


def name_of(label: str) -> str:
    """A case's model name."""
    return label.replace(" ", "-")


def model_file(folder: Path, framework: str) -> Path:
    """A file with the extension of a framework; a zip where that is what the framework wants."""
    path = folder / f"{framework}{EXTENSIONS.get(framework, '.zip')}"
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/config.json", "{}")
    else:
        path.write_bytes(framework.encode())
    return path


Sent = dict[str, tuple[str, dict[str, Any]]]  # model name -> path of the upload, its metadata


def sent(exchanges: list[Exchange]) -> Sent:
    uploads = [exchange for exchange in exchanges if exchange.path.startswith("/v1/api/models/upload")]
    return {exchange.metadata["name"]: (exchange.path, exchange.metadata) for exchange in uploads}


@pytest.fixture(scope="module")
def sent_by_both(
    sandbox: Sandbox,
    sdk: Callable[..., Any],
    bulkload: Callable[..., Run],
    relays: dict[str, Relay],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Sent, Sent]:
    """All cases, uploaded by the SDK and then, into the same workspace, by one run of bulkload."""
    folder = tmp_path_factory.mktemp("models")
    workspace = sandbox.call("workspaces/create", workspace_name="metadata")["workspace_id"]
    client = sdk()
    client.set_current_workspace(next(found for found in client.list_workspaces() if found.id() == workspace))
    before, lines = len(relays["SDK"].exchanges), []
    for label, wanted in CASES.items():
        path, framework = model_file(folder, wanted.framework.value), wanted.framework
        columns = dict.fromkeys(wanted.schemas, ARROW)
        client.upload_model(name_of(label), path, framework=framework, convert_wait=False, **columns, **wanted.options)
        entry = {"name": name_of(label), "path": str(path), "framework": framework.value, **wanted.entry}
        lines.append(json.dumps(entry | dict.fromkeys(wanted.schemas, INPUTS)))
    manifest = folder / "models.jsonl"
    manifest.write_text("\n".join(lines))
    # The SDK's versions are equal: others are asked for.
    run = bulkload("run", manifest, "--workspace", workspace, "--on-existing", "upload", "--no-wait")
    assert len(run.uploads) == len(CASES), run.errors
    return sent(relays["SDK"].exchanges[before:]), sent(run.exchanges)


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field by its path; an object that is empty is a value."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) and inner else {f"{prefix}{key}": inner}
    return found


def differing_fields(sdks: dict[str, Any], ours: dict[str, Any]) -> set[str]:
    """The paths of fields that one lacks or that are not equal."""
    one, other = flat(sdks), flat(ours)
    missing = object()
    return {field for field in one.keys() | other.keys() if one.get(field, missing) != other.get(field, missing)}


@pytest.mark.parametrize("label", CASES)
def test_the_metadata_are_the_sdks(sent_by_both: tuple[Sent, Sent], label: str) -> None:
    """But for what is listed with its reason; and they go to the same address."""
    (sdks_path, sdks), (path, ours) = (sent[name_of(label)] for sent in sent_by_both)
    assert differing_fields(sdks, ours) == CASES[label].differences.keys()
    assert path == sdks_path


def test_no_framework_is_forgotten() -> None:
    """All that the SDK knows: 26, which is the contract's list without mlflow."""
    assert {wanted.framework for wanted in CASES.values()} == set(Framework)
    assert len(Framework) == 26


def test_the_listed_differences_are_what_they_are_said_to_be(sent_by_both: tuple[Sent, Sent]) -> None:
    """Absent, where the SDK writes the default out; null, where the SDK writes nothing."""
    (_, sdks), (_, ours) = (sent["onnx-unsaid"] for sent in sent_by_both)
    assert (sdks["conversion"]["arch"], sdks["conversion"]["accel"]) == ("x86", "none")
    assert not {"arch", "accel"} & ours["conversion"].keys()
    assert (ours["input_schema"], ours["output_schema"]) == (None, None)
    assert not {"input_schema", "output_schema"} & sdks.keys()


def test_a_schema_reads_back_as_what_was_declared(sent_by_both: tuple[Sent, Sent]) -> None:
    """The same text from another pyarrow, and the SDK's own reads it."""
    (_, sdks), (_, ours) = (sent["sklearn"] for sent in sent_by_both)
    assert ours["input_schema"] == sdks["input_schema"]
    assert pa.ipc.open_stream(base64.b64decode(ours["input_schema"])).schema == ARROW
