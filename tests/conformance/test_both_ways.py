"""bulkload and the vendor's SDK see each other's work in one registry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wallaroo.framework import Framework

from tests.conformance.conftest import MODELS, Run, Sandbox

VECTOR = pa.schema([("x", pa.list_(pa.float32(), 4))])
DIGITS = {"name": "digits", "path": str(MODELS / "digits-mlp.onnx")}
FUSION = {
    "name": "fusion",
    "path": str(MODELS / "sensor-fusion.pt"),
    "input_schema": {"x": "float32[4]"},
    "output_schema": {"x": "float32[4]"},
}
CENTROID = {**FUSION, "name": "centroid", "path": str(MODELS / "nearest-centroid.zip"), "framework": "custom"}
BROKEN = {**CENTROID, "name": "broken", "path": str(MODELS / "broken-custom-no-inference.zip")}
BulkLoad = Callable[..., Run]


@pytest.fixture
def client(sdk: Callable[..., Any], workspace: int) -> Any:
    """The SDK, in a new workspace."""
    client = sdk()
    client.set_current_workspace(next(found for found in client.list_workspaces() if found.id() == workspace))
    return client


@pytest.fixture
def publish(bulkload: BulkLoad, workspace: int, tmp_path: Path) -> Callable[..., tuple[Run, dict[str, Any]]]:
    """Runs a manifest of some entries; the run and its summary."""

    def publish(*entries: dict[str, Any], **options: Any) -> tuple[Run, dict[str, Any]]:
        manifest = tmp_path / "models.jsonl"
        manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        words = ("run", manifest, "--workspace", workspace, "--poll-interval", "100ms..1s", "--json")
        run = bulkload(*words, **options)
        return run, json.loads(run.output.splitlines()[-1]) if run.output else {}

    return publish


def states(summary: dict[str, Any]) -> dict[str, int]:
    return {state: count for state, count in summary["states"].items() if count}


def test_what_the_sdk_uploaded_is_found_and_skipped(client: Any, publish: Any, sandbox: Sandbox) -> None:
    """By bytes, name and settings; nothing is sent again."""
    schemas = {"input_schema": VECTOR, "output_schema": VECTOR}
    client.upload_model("digits", DIGITS["path"], framework=Framework.ONNX)
    for entry, framework in ((FUSION, Framework.PYTORCH), (CENTROID, Framework.CUSTOM)):
        client.upload_model(entry["name"], entry["path"], framework=framework, convert_wait=False, **schemas)
    run, summary = publish(DIGITS, FUSION, CENTROID, password=True)
    assert run.exit_code == 0, run.errors
    assert run.uploads == []
    # One that was still converting is adopted and waited for, see the contract of `same_content`.
    assert sum(states(summary).get(state, 0) for state in ("skipped", "ready")) == 3
    assert states(summary)["skipped"] >= 1
    run, summary = publish(DIGITS, FUSION, CENTROID)
    assert (run.exit_code, run.uploads) == (0, [])


def test_other_bytes_of_a_model_that_the_sdk_uploaded_are_a_new_version(
    client: Any, publish: Any, workspace: int
) -> None:
    """Beside the SDK's."""
    client.upload_model("digits", DIGITS["path"], framework=Framework.ONNX)
    run, summary = publish({**DIGITS, "path": str(MODELS / "wine-anomaly.onnx")})
    assert (run.exit_code, len(run.uploads), states(summary)) == (0, 1, {"ready": 1})
    (model,) = client.list_models(workspace_id=workspace)
    assert len(model.versions()) == 2


def test_what_bulkload_published_is_seen_by_the_sdk(client: Any, publish: Any, workspace: int) -> None:
    """Names, bytes, states, configurations, and the reason of an error."""
    run, summary = publish(DIGITS, FUSION, CENTROID, BROKEN)
    assert (run.exit_code, states(summary)) == (3, {"ready": 3, "error": 1}), run.errors
    assert sorted(model.name() for model in client.list_models(workspace_id=workspace)) == [
        "broken",
        "centroid",
        "digits",
        "fusion",
    ]
    seen = {name: client.get_model(name) for name in ("broken", "centroid", "digits", "fusion")}
    assert {name: version.status() for name, version in seen.items()} == {
        "broken": "error",
        "centroid": "ready",
        "digits": "ready",
        "fusion": "ready",
    }
    assert {version.workspace().id() for version in seen.values()} == {workspace}
    assert seen["fusion"].file_name() == "sensor-fusion.pt"
    assert "No Inference-inherited class" in seen["broken"].error_summary()
    assert [line.split(" F ")[1] for line in seen["centroid"].get_upload_logs()] == [
        "custom model validation successful"
    ]
    assert (seen["digits"].config().runtime(), seen["centroid"].config().runtime()) == ("onnx", "flight")


def test_bulkload_reads_what_the_sdk_wrote(client: Any, bulkload: BulkLoad, workspace: int) -> None:
    """Its commands for looking around, on a workspace that it never touched."""
    version = client.upload_model(
        "centroid", CENTROID["path"], framework=Framework.CUSTOM, input_schema=VECTOR, output_schema=VECTOR
    )
    for words in (
        ("workspaces", "list"),
        ("models", "list", "--workspace", workspace),
        ("models", "versions", "centroid", "--workspace", workspace),
        ("models", "show", version.id()),
        ("models", "config", version.id()),
        ("models", "logs", version.id()),
    ):
        run = bulkload(*words)
        assert run.exit_code == 0, (words, run.errors)
        assert run.output
    assert "custom model validation successful" in run.output
