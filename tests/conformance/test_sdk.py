"""The vendor's SDK works against the sandbox: it logs in, publishes, waits, and reads everything back."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from wallaroo.auth import TokenFetchError, logout
from wallaroo.exceptions import ModelUploadError
from wallaroo.framework import Framework

from tests.conformance.conftest import MODELS, Sandbox
from tests.conformance.recorder import Relay

VECTOR = pa.schema([("x", pa.list_(pa.float32(), 4))])
Login = Callable[..., Any]


@pytest.fixture
def client(sdk: Login, workspace: int) -> Any:
    """A client whose current workspace is a new one."""
    client = sdk()
    client.set_current_workspace(next(found for found in client.list_workspaces() if found.id() == workspace))
    return client


def upload(client: Any, name: str, file_name: str, framework: Framework) -> Any:
    schemas = {} if framework is Framework.ONNX else {"input_schema": VECTOR, "output_schema": VECTOR}
    return client.upload_model(name, MODELS / file_name, framework=framework, **schemas)


def test_it_logs_in_with_user_and_password(sdk: Login, sandbox: Sandbox) -> None:
    """And finds itself at home in the default workspace."""
    client = sdk()
    assert client.auth.user_email() == sandbox.username
    workspace = client.get_current_workspace()
    assert workspace.name() == f"{sandbox.username} - Default Workspace"
    assert [user.email() for user in workspace.users()] == [sandbox.username]


def test_a_wrong_password_is_refused(sdk: Login) -> None:
    """In the words that the SDK shows. The cached token of another login would hide it."""
    logout()
    with pytest.raises(TokenFetchError, match=r"HTTP 401.*Invalid user credentials"):
        sdk(password="wrong")


def test_it_logs_in_by_a_device_code(sdk: Login, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the link and asks until a person has approved."""
    logout()
    client = sdk("sso")
    assert "/auth/realms/master/device?user_code=" in capsys.readouterr().out
    assert client.auth.user_email() == sandbox.username


def test_it_refreshes_its_token_before_an_upload(client: Any, relays: dict[str, Relay]) -> None:
    """By the refresh token, as it does each time."""
    before = len(relays["SDK"].exchanges)
    upload(client, "refreshed", "digits-mlp.onnx", Framework.ONNX)
    (token,) = (exchange for exchange in relays["SDK"].exchanges[before:] if exchange.path.endswith("/token"))
    assert b"grant_type=refresh_token" in token.asked


def test_it_creates_a_workspace_and_puts_a_user_into_it(sdk: Login, workspace: int) -> None:
    """Found again by name, with its users."""
    client = sdk()
    made = client.create_workspace(f"made-by-sdk-{workspace}")
    assert client.get_workspace(made.name()).id() == made.id()
    jane = f"jane-{workspace}@example.com"
    client.invite_user(jane)
    assert jane in [user.email() for user in client.list_users()]
    assert [user.email() for user in made.add_user(jane).users()] == [client.auth.user_email(), jane]


def test_an_onnx_model_is_ready_at_once(client: Any, workspace: int) -> None:
    """By models/upload; its configuration can be changed."""
    version = upload(client, "digits", "digits-mlp.onnx", Framework.ONNX)
    assert (version.status(), version.name(), version.file_name()) == ("ready", "digits", "digits-mlp.onnx")
    assert version.workspace().id() == workspace
    assert version.config().runtime() == "onnx"
    version.configure(tensor_fields=["input"])
    assert version.config().tensor_fields() == ["input"]
    assert version.config().model_version().id() == version.id()


def test_a_pytorch_model_is_waited_for(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The SDK prints the states that it sees, and then reads schema, runtime and logs."""
    version = upload(client, "fusion", "sensor-fusion.pt", Framework.PYTORCH)
    printed = capsys.readouterr().out
    assert "native runtime" in printed
    assert printed.rstrip().endswith("Ready")
    assert (version.status(), version.error_summary(), version.image_path()) == ("ready", None, None)
    assert version.config().runtime() == "onnx"
    assert list(version.get_upload_logs()) == []


def test_a_custom_model_is_waited_for_and_has_logs(client: Any) -> None:
    """It ends in a container; the logs say what the packager said."""
    version = upload(client, "centroid", "nearest-centroid.zip", Framework.CUSTOM)
    assert version.status() == "ready"
    assert "mac-deploy" in version.image_path()
    assert version.config().runtime() == "flight"
    assert [line.split(" F ")[1] for line in version.get_upload_logs()] == ["custom model validation successful"]


def test_a_broken_model_is_an_error_with_its_reason(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The SDK prints it instead of raising it."""
    version = upload(client, "broken", "broken-custom-no-inference.zip", Framework.CUSTOM)
    assert version.status() == "error"
    assert "No Inference-inherited class found" in version.error_summary()
    assert version.error_summary() in capsys.readouterr().err


def test_what_is_no_zip_is_refused_at_once(client: Any, tmp_path: Any) -> None:
    """With the registry's own words."""
    path = tmp_path / "model.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(ModelUploadError, match=r"\[400\] Bad request: Not a valid ZIP file\."):
        client.upload_model("no-zip", path, framework=Framework.CUSTOM, input_schema=VECTOR, output_schema=VECTOR)


def test_it_finds_models_again(client: Any, workspace: int) -> None:
    """By listing, by name, by version; newest first."""
    first = upload(client, "digits", "digits-mlp.onnx", Framework.ONNX)
    second = upload(client, "digits", "wine-anomaly.onnx", Framework.ONNX)
    (listed,) = client.list_models(workspace_id=workspace)
    assert (listed.name(), listed.workspace().id()) == ("digits", workspace)
    assert client.get_model("digits").id() == second.id()
    assert client.get_model("digits", version=first.version()).id() == first.id()
    assert client.model_by_name("digits", first.version(), workspace_id=workspace).id() == first.id()
    found = next(found for found in client.list_workspaces() if found.id() == workspace)
    assert [version.id() for model in found.models() for version in model.versions()] == [second.id(), first.id()]
