"""A sandbox in a process of its own, a relay for each witness, and the table at the end."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conformance.documented import SHAPES, known_path, problems_of
from tests.conformance.recorder import Exchange, Relay
from tests.conformance.report import WITNESSES, Report

REPOSITORY = Path(__file__).parents[2]
# The program under test lives in the other virtual environment; BULKLOAD names another one.
BULKLOAD = os.environ.get("BULKLOAD") or str(REPOSITORY / ".venv" / "bin" / "bulkload")
MODELS = REPOSITORY / "manifests" / "models"
REPORT = Report()


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    endpoint: str
    token: str
    username: str
    password: str
    data: Path

    @property
    def account(self) -> dict[str, str]:
        """What only its own folder says."""
        found: dict[str, str] = json.loads((self.data / "account.json").read_text())
        return found

    def call(self, path: str, **body: Any) -> Any:
        """POST of the API, past all witnesses."""
        headers = {"Authorization": f"Bearer {self.token}"}
        response = requests.post(f"{self.endpoint}/v1/api/{path}", json=body, headers=headers, timeout=30)
        assert response.ok, response.text
        return response.json()


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of this run's own for the SDK's token cache; no proxy; none of the user's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("BULKLOAD_", "WALLAROO_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture(scope="session")
def sandbox(surroundings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all tests: each makes names of its own. Conversions take seconds and never queue."""
    data = tmp_path_factory.mktemp("registry")
    words = [
        "sandbox",
        "--json",
        "--until-stdin-closes",
        "--data",
        str(data),
        "--time-scale",
        "0.05",
        "--converters",
        "64",
    ]
    words += ["--device-interval", "0", "--approve-device-after", "0.5"]
    with subprocess.Popen([BULKLOAD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        yield Sandbox(facts["endpoint"], facts["token"], facts["username"], facts["password"], data)
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def relays(sandbox: Sandbox) -> Iterator[dict[str, Relay]]:
    """A relay to the sandbox for each witness."""
    relays = {witness: Relay(sandbox.endpoint) for witness in WITNESSES}
    for relay in relays.values():
        relay.__enter__()
    yield relays
    for relay in relays.values():
        relay.__exit__(None, None, None)


@pytest.fixture(scope="session")
def checked() -> Counter[str]:
    """How many exchanges of each witness were held against the documentation already."""
    return Counter()


@pytest.fixture(autouse=True)
def documented(relays: dict[str, Relay], checked: Counter[str]) -> Iterator[None]:
    """Every answer of every test is as documented, whoever asked for it; those of its fixtures too."""
    yield
    problems = []
    for witness, relay in relays.items():
        unchecked = relay.exchanges[checked[witness] :]
        checked[witness] += len(unchecked)
        for exchange in unchecked:
            path = known_path(exchange.path)
            found = problems_of(exchange.path, exchange.status, exchange.answered_type, exchange.answered)
            problems += [f"{witness}: {problem}" for problem in found]
            REPORT.add(path, "documented shape", content=not found)
            if exchange.status < 400 and witness != "generated client":  # that one is asked what it has parsed
                REPORT.add(path, witness, content=True)
    assert not problems, "\n".join(problems)


@pytest.fixture
def parsed() -> Callable[[str, bool], None]:
    """Notes whether the generated client was content with an endpoint."""
    return lambda path, content: REPORT.add(path, "generated client", content=content)


@pytest.fixture
def workspace(sandbox: Sandbox, request: pytest.FixtureRequest) -> int:
    """A new workspace's id."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    made: int = sandbox.call("workspaces/create", workspace_name=name)["workspace_id"]
    return made


@dataclass(frozen=True)
class Run:
    """What a command said, and what went over the wire meanwhile."""

    exit_code: int
    output: str
    errors: str
    exchanges: list[Exchange]

    @property
    def uploads(self) -> list[Exchange]:
        """The uploads among them."""
        return [exchange for exchange in self.exchanges if exchange.path.startswith("/v1/api/models/upload")]


@pytest.fixture(scope="session")
def bulkload(
    sandbox: Sandbox, relays: dict[str, Relay], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """Runs `bulkload` with some words."""
    relay, folder = relays["bulkload"], tmp_path_factory.mktemp("bulkload")

    def run(*words: object, password: bool = False) -> Run:
        before = len(relay.exchanges)
        login = {"BULKLOAD_USERNAME": sandbox.username, "BULKLOAD_PASSWORD": sandbox.password}
        environment = os.environ | {"BULKLOAD_ENDPOINT": relay.endpoint}
        environment |= login if password else {"BULKLOAD_TOKEN": sandbox.token}
        done = subprocess.run(
            [BULKLOAD, *map(str, words)],
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
        return Run(done.returncode, done.stdout, done.stderr, relay.exchanges[before:])

    return run


@pytest.fixture(scope="session")
def sdk(sandbox: Sandbox, relays: dict[str, Relay]) -> Callable[..., Any]:
    """Logs the vendor's client in, by user and password unless said otherwise."""
    import wallaroo

    def client(auth_type: str = "user_password", password: str | None = None) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            if auth_type == "user_password":
                patch.setenv("WALLAROO_USER", sandbox.username)
                patch.setenv("WALLAROO_PASSWORD", password or sandbox.password)
            return wallaroo.Client(api_endpoint=relays["SDK"].endpoint, auth_type=auth_type)

    return client


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Endpoint by endpoint: how many answers each witness got and was content with."""
    terminalreporter.section("conformance")
    for line in REPORT.lines(SHAPES):
        terminalreporter.write_line(line)
