"""The guide's examples, as curl and as `requests` would send them: each works and is answered as documented."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conformance.conftest import MODELS, Sandbox
from tests.conformance.documented import API, REALM
from tests.conformance.recorder import Relay

ONNX = MODELS / "digits-mlp.onnx"
TORCH = MODELS / "sensor-fusion.pt"
SCHEMA = "/////zAAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAAAAAA="
Ask = Callable[..., Any]


class Curl:
    """The examples' first form."""

    def __init__(self, endpoint: str, token: str, folder: Path) -> None:
        self._endpoint = endpoint
        self._bearer = ["-H", f"Authorization: Bearer {token}"]
        self._folder = folder

    def post(self, path: str, body: Any) -> Any:
        """JSON in the command."""
        words = ["-X", "POST", "-H", "Content-Type: application/json", "--data", json.dumps(body)]
        return json.loads(self._run(path, [*self._bearer, *words]))

    def upload(self, path: str, metadata: dict[str, Any], file: Path) -> Any:
        """The metadata from a file of its own: inside the word, curl would take its `;` and quotes for its own."""
        (self._folder / "metadata.json").write_text(json.dumps(metadata))
        words = ["-F", f"metadata=<{self._folder / 'metadata.json'};type=application/json"]
        words += ["-F", f"file=@{file};type=application/octet-stream"]
        return json.loads(self._run(path, [*self._bearer, *words]))

    def inline_upload(self, path: str, metadata: dict[str, Any], file: Path) -> Any:
        """The guide's own form: the metadata inside the word."""
        words = ["-F", f"metadata={json.dumps(metadata)};type=application/json"]
        words += ["-F", f"file=@{file};type=application/octet-stream"]
        return json.loads(self._run(path, [*self._bearer, *words]))

    def form(self, path: str, form: dict[str, str], basic: tuple[str, str] | None = None) -> Any:
        """A form, with client and secret in the header."""
        words = [word for name, value in form.items() for word in ("--data-urlencode", f"{name}={value}")]
        answer = self._run(path, [*(["-u", ":".join(basic)] if basic else []), *words])
        return json.loads(answer) if answer else None

    def get(self, path: str) -> str:
        """A page, without a token."""
        return self._run(path, [])

    def send(self, path: str, form: dict[str, str]) -> str:
        """A page's form; the page that comes."""
        return self._run(
            path, [word for name, value in form.items() for word in ("--data-urlencode", f"{name}={value}")]
        )

    def stream(self, path: str, query: dict[str, str], file: Path) -> Any:
        """The file as the body."""
        words = ["--data-binary", f"@{file}", "-H", "Content-Type: application/octet-stream"]
        query_text = "&".join(f"{name}={value}" for name, value in query.items())
        return json.loads(self._run(f"{path}?{query_text}", [*self._bearer, *words]))

    def _run(self, path: str, words: list[str]) -> str:
        # -q: the user's own ~/.curlrc is not read.
        command = ["curl", "-q", "--silent", "--show-error", "--fail-with-body", *words, f"{self._endpoint}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class Requests:
    """Their second form."""

    def __init__(self, endpoint: str, token: str, _: Path) -> None:
        self._endpoint = endpoint
        self._bearer = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, body: Any) -> Any:
        """`json=`."""
        return self._run("POST", path, headers=self._bearer, json=body).json()

    def upload(self, path: str, metadata: dict[str, Any], file: Path) -> Any:
        """`files=`."""
        with file.open("rb") as content:
            parts = {
                "metadata": (None, json.dumps(metadata), "application/json"),
                "file": (file.name, content, "application/octet-stream"),
            }
            return self._run("POST", path, headers=self._bearer, files=parts).json()

    inline_upload = upload

    def form(self, path: str, form: dict[str, str], basic: tuple[str, str] | None = None) -> Any:
        """`data=` and `auth=`."""
        response = self._run("POST", path, data=form, auth=basic)
        return response.json() if response.content else None

    def get(self, path: str) -> str:
        """A page, without a token."""
        text: str = self._run("GET", path).text
        return text

    def send(self, path: str, form: dict[str, str]) -> str:
        """A page's form; the page that comes."""
        text: str = self._run("POST", path, data=form).text
        return text

    def stream(self, path: str, query: dict[str, str], file: Path) -> Any:
        """`data=` with an open file."""
        with file.open("rb") as content:
            return self._run("POST", path, headers=self._bearer, params=query, data=content).json()

    def _run(self, method: str, path: str, **options: Any) -> requests.Response:
        response = requests.request(method, f"{self._endpoint}{path}", timeout=30, **options)
        assert response.ok, response.text
        return response


@pytest.fixture(params=["curl", "requests"])
def example(request: pytest.FixtureRequest, sandbox: Sandbox, relays: dict[str, Relay], tmp_path: Path) -> Any:
    """A way to send the examples. That the answers are as documented is held for every test, see conftest.py."""
    kind = Curl if request.param == "curl" else Requests
    return kind(relays[request.param].endpoint, sandbox.token, tmp_path)


def metadata_of(workspace: int, framework: str = "onnx", **others: Any) -> dict[str, Any]:
    """As the guide has it: a name with a semicolon-free text, python 3.8, no requirements."""
    conversion = {"framework": framework, "python_version": "3.8", "requirements": []}
    whole = {"name": "sample-model", "visibility": "public", "workspace_id": workspace, "conversion": conversion}
    return {**whole, **others}


def inserted_id(answer: Any) -> int:
    """As the guide's scripts read it."""
    found: int = answer["insert_models"]["returning"][0]["models"][0]["id"]
    return found


def test_a_model_is_uploaded_and_converted(example: Any, workspace: int) -> None:
    """onnx without schemas, pytorch with; the id is the version's."""
    path = f"{API}/models/upload_and_convert"
    first = inserted_id(example.upload(path, metadata_of(workspace), ONNX))
    again = inserted_id(example.inline_upload(path, metadata_of(workspace), ONNX))
    schemas = {"input_schema": SCHEMA, "output_schema": SCHEMA}
    third = inserted_id(example.upload(path, metadata_of(workspace, "pytorch", name="torch", **schemas), TORCH))
    assert first < again < third
    told = example.post(f"{API}/models/get_version_by_id", {"model_version_id": third})["model_version"]
    assert told["model_version"]["file_info"]["file_name"] == TORCH.name
    assert told["config"]["input_schema"] == SCHEMA


def test_a_model_is_uploaded_without_conversion(example: Any, workspace: int) -> None:
    """By models/upload, and by the older stream; both are ready at once."""
    ids = [inserted_id(example.upload(f"{API}/models/upload", metadata_of(workspace), ONNX))]
    query = {"name": "streamed", "filename": "a.onnx", "visibility": "private", "workspace_id": str(workspace)}
    ids.append(inserted_id(example.stream(f"{API}/models/upload_stream", query, ONNX)))
    for path in ("get_version_by_id", "get_model_version_by_id"):
        for version_id in ids:
            told = example.post(f"{API}/models/{path}", {"model_version_id": version_id})["model_version"]
            assert told["model_version"]["status"] == "ready"


def test_models_and_their_versions_are_listed(example: Any, workspace: int) -> None:
    """Three ids that are not each other: version id, model pk, configuration id."""
    for _ in range(2):
        version_id = inserted_id(example.upload(f"{API}/models/upload", metadata_of(workspace), ONNX))
    (model,) = example.post(f"{API}/models/list", {"workspace_id": workspace})["models"]
    newest = model["model_versions"][0]
    assert newest["model_version"]["id"] == version_id
    by_pk = example.post(
        f"{API}/models/list_versions", {"model_id": "sample-model", "models_pk_id": model["model"]["id"]}
    )
    assert version_id in [version["id"] for version in by_pk]
    scoped = example.post(
        f"{API}/models/list_versions_for_model", {"model_id": "sample-model", "workspace_id": workspace}
    )
    assert [len(found["model_versions"]) for found in scoped["models"]] == [2]
    config = example.post(f"{API}/models/get_config_by_id", {"model_id": version_id})["model_config"]
    assert config["id"] == newest["config"]["id"]
    for path in ("get", "get_by_id"):
        assert example.post(f"{API}/models/{path}", {"id": model["model"]["id"]})["name"] == "sample-model"


def test_a_version_is_configured_and_its_logs_are_read(example: Any, workspace: int) -> None:
    """The request says openai_config, the answer openai."""
    version_id = inserted_id(example.upload(f"{API}/models/upload", metadata_of(workspace), ONNX))
    question = {"model_version_id": version_id, "tensor_fields": ["tensor"], "openai_config": {"enabled": True}}
    config = example.post(f"{API}/models/insert_model_config", question)["model_config"]
    assert (config["tensor_fields"], config["openai"]) == (["tensor"], {"enabled": True})
    assert example.post(f"{API}/models/get_upload_logs", {"model_version_id": version_id, "lines": 5}) == {"logs": []}


def test_models_are_deleted(example: Any, workspace: int) -> None:
    """One version by its UUID, then the model by its name."""
    for _ in range(2):
        version_id = inserted_id(example.upload(f"{API}/models/upload", metadata_of(workspace), ONNX))
    told = example.post(f"{API}/models/get_version_by_id", {"model_version_id": version_id})["model_version"]
    uuids = [told["model_version"]["file_info"]["version"]]
    size = {"bytes": ONNX.stat().st_size}
    assert (
        example.post(f"{API}/models/delete_model_versions", {"model_versions": uuids, "confirm_delete": True}) == size
    )
    model = {"model_id": "sample-model", "workspace_id": workspace}
    assert example.post(f"{API}/models/delete_model", model) == size  # told only
    assert example.post(f"{API}/models/delete_model", model | {"confirm_delete": True}) == size
    assert example.post(f"{API}/models/list", {"workspace_id": workspace}) == {"models": []}


def test_workspaces_are_made_listed_and_shared(example: Any, workspace: int) -> None:
    """A workspace's users come by invitation."""
    made = example.post(f"{API}/workspaces/create", {"workspace_name": f"sample-workspace-{workspace}"})
    listed = example.post(f"{API}/workspaces/list", {})["workspaces"]
    assert f"sample-workspace-{workspace}" in [found["name"] for found in listed]
    jane = {"email": f"jane-{workspace}@example.com"}
    invited = example.post(f"{API}/users/invite", jane | {"roles": []})
    assert invited["id"] in example.post(f"{API}/users/query", {"user_ids": [invited["id"]]})["users"]
    example.post(f"{API}/workspaces/add_user", jane | made)
    users = example.post(f"{API}/workspaces/list_users", made)["users"]
    assert [user["user_type"] for user in users] == ["OWNER", "COLLABORATOR"]
    assert example.post(f"{API}/workspaces/remove_user", jane | made) == {"affected_rows": 1}


def test_the_instance_describes_itself(example: Any) -> None:
    """The configuration and the API's page want no token; the page is HTML."""
    assert json.loads(example.get(f"{API}/config"))["default_arch"] == "x86"
    assert example.post(f"{API}/features/list", {})["is_auth_enabled"] is True
    assert example.get(f"{API}/docs").startswith("<!doctype html>")
    assert "/v1/api/models/list" in json.loads(example.get(f"{API}/docs/openapi.json"))["paths"]


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_a_token_is_got_by_password_and_refreshed(example: Any, sandbox: Sandbox) -> None:
    """By the confidential client, its secret in the header; then logged out."""
    basic = ("api-client", sandbox.account["client_secret"])
    login = {"grant_type": "password", "username": sandbox.username, "password": sandbox.password}
    answer = example.form(f"{REALM}/token", login, basic)
    assert claims_of(answer["access_token"])["email"] == sandbox.username
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    again = example.form(f"{REALM}/token", refresh, basic)
    assert again["session_state"] == answer["session_state"]
    assert example.form(f"{REALM}/logout", {"refresh_token": again["refresh_token"]}, basic) is None


def test_a_service_account_has_a_token(example: Any, sandbox: Sandbox) -> None:
    """client_credentials: nobody's e-mail in it."""
    basic = ("api-client", sandbox.account["client_secret"])
    claims = claims_of(example.form(f"{REALM}/token", {"grant_type": "client_credentials"}, basic)["access_token"])
    assert claims["clientId"] == "api-client"
    assert "email" not in claims


def test_a_device_login_is_approved_in_a_browser(example: Any, sandbox: Sandbox) -> None:
    """The link that is shown is opened, the password given; the next question is answered with tokens."""
    device = example.form(f"{REALM}/auth/device", {"client_id": "sdk-client"})
    _, _, page = device["verification_uri_complete"].partition("/auth/")
    assert device["user_code"] in example.get(f"/auth/{page}")
    form = {"user_code": device["user_code"], "password": sandbox.password}
    assert "successful" in example.send("/auth/realms/master/device", form)
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "sdk-client"}
    assert example.form(f"{REALM}/token", grant | {"device_code": device["device_code"]})["token_type"] == "Bearer"


def test_users_are_looked_up_and_given_passwords(sandbox: Sandbox, relays: dict[str, Relay]) -> None:
    """Keycloak's admin API. The password stays what it was: others log in with it."""
    users = f"{relays['requests'].endpoint}/auth/admin/realms/master/users"
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    (user,) = requests.get(users, params={"email": sandbox.username}, headers=headers, timeout=30).json()
    assert requests.get(f"{users}/{user['id']}", headers=headers, timeout=30).json() == user
    new = {"type": "password", "temporary": False, "value": sandbox.password}
    response = requests.put(f"{users}/{user['id']}/reset-password", json=new, headers=headers, timeout=30)
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer x.y.z"}], ids=["no token", "a wrong token"])
def test_without_a_token_nothing_is_answered(relays: dict[str, Relay], header: dict[str, str]) -> None:
    """401 as the gateway says it."""
    url = f"{relays['requests'].endpoint}{API}/models/list"
    response = requests.post(url, json={}, headers=header, timeout=30)
    assert (response.status_code, response.text[:4]) == (401, "Jwt ")
