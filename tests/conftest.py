"""What several tests share: manifests of made files, sandboxes in this process and in another one, the command line."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

from bulkload.core.model.settings import Credentials, Settings
from bulkload.sandbox import Sandbox
from tests.warm_start import WarmProcess, WarmStart

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"
# Far more than anything takes, on whatever machine.
LONGEST_SECONDS = 60.0
# Of a rule that holds for all inputs: how many are tried by every change, and by `make long`.
FEW_EXAMPLES, ALL_EXAMPLES = 30, 100


def with_long(config: pytest.Config) -> bool:
    """Whether tests that are `long` are run."""
    return "not long" not in config.option.markexpr


def pytest_configure(config: pytest.Config) -> None:
    """The same examples everywhere, nothing kept on disk, and no deadline on a busy machine."""
    examples = ALL_EXAMPLES if with_long(config) else FEW_EXAMPLES
    settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=examples)
    settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rules with all of their examples are `long`."""
    for item in items if with_long(config) else []:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.long)


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio."""
    return "asyncio"


@pytest.fixture
def shared() -> Path:
    """The folder of real models beside the repository; the test is skipped where it is absent."""
    if not (SHARED / "models" / "manifest.jsonl").is_file():
        pytest.skip("there is no folder of shared models")
    return SHARED


Rows = list[dict[str, Any]]
WriteManifest = Callable[[Rows], Path]


@pytest.fixture
def write_manifest(tmp_path: Path) -> WriteManifest:
    """Writes rows as JSON lines; a row's ``content`` becomes its file, and its ``path`` where it has none."""
    return partial(manifest_in, tmp_path)


def manifest_in(folder: Path, rows: Rows) -> Path:
    """The same in any folder."""
    manifest = folder / "models.jsonl"
    lines = []
    for row in rows:
        fields = dict(row)
        content = fields.pop("content", None)
        if content is not None:
            fields.setdefault("path", f"{fields['name']}-{fields.get('version', '0')}.onnx")
            (folder / fields["path"]).write_bytes(content)
        lines.append(json.dumps(fields))
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


SettingsFor = Callable[..., Settings]


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFor:
    """Settings that publish a manifest to a sandbox, in its default workspace, without needless waits."""

    def settings(manifest: Path, sandbox: Sandbox, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "manifest": str(manifest),
            "endpoint": sandbox.endpoint,
            "ledger": tmp_path / "ledger.db",
            "credentials": Credentials(token=sandbox.token),
            "default_workspace": True,
            "settle": 0.2,
            "patience": 0.0,
        }
        return Settings(**(values | changes))

    return settings


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A sandbox in another process."""

    endpoint: str
    token: str
    username: str
    password: str
    data: Path
    process: WarmProcess

    @property
    def environment(self) -> dict[str, str]:
        """What points the command line at it."""
        return {"BULKLOAD_ENDPOINT": self.endpoint, "BULKLOAD_TOKEN": self.token}


StartSandbox = Callable[..., SandboxProcess]


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmStart]:
    """Starts commands without their imports."""
    with WarmStart() as parent:
        yield parent


@pytest.fixture
def start_sandbox(tmp_path: Path, warm: WarmStart) -> Iterator[StartSandbox]:
    """Starts ``bulkload sandbox`` with some words; it ends with the test."""
    with sandboxes(warm, tmp_path / "registry") as start:
        yield start


@contextmanager
def sandboxes(warm: WarmStart, usual_data: Path) -> Iterator[StartSandbox]:
    """Starts ``bulkload sandbox`` with some words; it ends with the block."""
    started: list[SandboxProcess] = []

    def start(*words: str, data: Path | None = None) -> SandboxProcess:
        folder = data or usual_data
        process = warm.start(["sandbox", "--json", "--until-stdin-closes", "--data", str(folder), *words])
        facts = json.loads(process.stdout.readline())
        sandbox = SandboxProcess(
            facts["endpoint"], facts["token"], facts["username"], facts["password"], folder, process
        )
        started.append(sandbox)
        return sandbox

    try:
        yield start
    finally:
        for sandbox in started:
            sandbox.process.stdin.close()
            sandbox.process.wait(timeout=LONGEST_SECONDS)
            sandbox.process.stdout.close()


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bulkload(tmp_path: Path, warm: WarmStart) -> Command:
    """Runs ``bulkload`` with some words, in the test's folder, without a terminal and without foreign settings."""

    def run(
        *words: object, env: dict[str, str] | None = None, timeout: float = LONGEST_SECONDS, stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        environment = clean_environment() | homes(tmp_path) | (env or {})
        return warm.run(list(map(str, words)), cwd=tmp_path, env=environment, stdin=stdin, timeout=timeout)

    return run


def homes(folder: Path) -> dict[str, str]:
    """Variables that keep settings, stored logins and caches of this machine out of a test."""
    return {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change bulkload's behaviour."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("BULKLOAD_", "WALLAROO_", "PYTEST_"))
    }
