"""Nothing secret is shown or kept: every command with planted secrets, and a search through all that it leaves."""

import json
import re
from typing import Any

import pytest

from bulkload.cli import COMMANDS
from bulkload.registry.auth.keycloak import Grant
from bulkload.registry.auth.login_store import LoginStore
from bulkload.registry.auth.tokens import login_of
from tests.variants import every

# A JSON Web Token, whoever gave it out.
TOKEN = re.compile(rb"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+")
SCHEMA = {"x": "float32"}
ROWS: list[dict[str, Any]] = [
    {"name": "a", "content": b"onnx bytes"},
    {"name": "large", "content": b"onnx bytes" * 200_000},
    {"name": "bad", "content": b"no zip", "path": "bad.zip", "framework": "custom", "input_schema": SCHEMA,
     "output_schema": SCHEMA},
]  # fmt: skip
# Those that get in, and those that look at what the others left. `sandbox` is not among them: to show its own token and
# password, which protect nothing, is its purpose.
COMMAND_LINES = {
    "run": "run models.jsonl --workspace 108 -v",
    "plan": "plan models.jsonl --workspace 108 --curl --on-existing upload --ledger other.db",
    "wait": "wait models.jsonl -v",
    "verify": "verify models.jsonl --json",
    "status": "status models.jsonl --json",
    "results": "results models.jsonl --format jsonl",
    "manifest": "manifest convert models.jsonl models.csv",
    "models": "models list",
    "workspaces": "workspaces list",
    "doctor": "doctor --workspace 108",
    "whoami": "whoami --json",
    "logout": "logout",
    "login": "login --client-id nobody",
    "demo": "demo demo-folder",
}


def test_no_command_is_forgotten():
    """A new one is searched through as well."""
    assert COMMAND_LINES.keys() == COMMANDS.keys() - {"sandbox"}


@pytest.mark.parametrize("way", every(2, ["token", "password", "wrong token", "wrong password", "files"]))
def test_nothing_secret_is_shown_or_kept(way, bulkload, start_sandbox, write_manifest, tmp_path):
    """In output, log, ledger or any other file, whether they get in or not; but for the login store, mode 0600."""
    sandbox = start_sandbox("--time-scale", "0", data=tmp_path / "registry")
    account = json.loads((sandbox.data / "account.json").read_text())
    write_manifest(ROWS)
    ways = {
        "token": {"BULKLOAD_TOKEN": sandbox.token},
        "password": {
            "BULKLOAD_USERNAME": sandbox.username, "BULKLOAD_PASSWORD": sandbox.password,
            "BULKLOAD_CLIENT_ID": "api-client", "BULKLOAD_CLIENT_SECRET": account["client_secret"],
        },
        "wrong token": {"BULKLOAD_TOKEN": "planted-token"},
        "wrong password": {
            "BULKLOAD_USERNAME": "me", "BULKLOAD_PASSWORD": "planted pass&word",
            "BULKLOAD_CLIENT_ID": "api-client", "BULKLOAD_CLIENT_SECRET": "planted-client-secret",
        },
        "files": {"BULKLOAD_USERNAME": sandbox.username, "BULKLOAD_PASSWORD_FILE": "password"},
    }  # fmt: skip
    (tmp_path / "password").write_text(sandbox.password)
    store = LoginStore(tmp_path / "state" / "bulkload" / "logins.json")
    store.path.parent.mkdir(parents=True)
    grant = Grant("planted-access-token", 3600, "planted-refresh-token", 3600)
    store.put(login_of(grant, sandbox.endpoint, f"{sandbox.endpoint}/auth/realms/master", "sdk-client", "planted-user"))
    environment = {
        "BULKLOAD_ENDPOINT": sandbox.endpoint,
        "HTTPS_PROXY": "http://me:planted-proxy-password@proxy.invalid:3128",
        **ways[way],
    }
    secrets = {
        *(each.encode() for each in (sandbox.token, sandbox.password, account["client_secret"])),
        b"planted-token", b"planted pass&word", b"planted+pass%26word", b"planted-client-secret",
        b"planted-access-token", b"planted-refresh-token", b"planted-proxy-password",
    }  # fmt: skip
    shown = {}
    for name, line in COMMAND_LINES.items():
        if name == "demo" and way != "token":
            continue  # it takes no way in
        result = bulkload(*line.split(), env=environment)
        shown[name] = (result.stdout + result.stderr).encode()
        assert b"Traceback" not in shown[name]
        assert shown[name], name
    ours = {
        sandbox.data,
        tmp_path / "password",
        store.path,
        tmp_path / "demo-folder" / "quickstart.yaml.sandbox" / "registry",
    }
    kept = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not ours & {path, *path.parents}
    }
    assert way.startswith("wrong") or tmp_path / "models.jsonl.ledger.db" in kept
    for place, content in {**shown, **kept}.items():
        assert not [secret for secret in secrets if secret in content], place
        assert TOKEN.search(content) is None, place
