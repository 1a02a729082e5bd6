"""The fault matrix: every fault at every call, once, twice and always. The registry's log and its bytes are the judge.

The tables say what a fault means; below each stands what a meaning comes to. After every cell the fault is gone and the
same command runs again: it ends with one version, or says what a person has to do.
"""

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from bulkload.core.limits.pauses import Pauses
from bulkload.core.model.errors import BulkloadError, NotAuthorised, RegistryUnavailable
from bulkload.core.model.settings import Connection, Credentials, Settings
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.registry import Registry
from bulkload.sandbox import LogRecord, Sandbox, SandboxSettings
from bulkload.sandbox.accounts.accounts import sign
from tests.engine.detours import (
    AstrayRegistry,
    Certificate,
    Detour,
    DetouringLoop,
    call_of,
    in_front_of,
    token_requests_go_to,
    unreachable,
)
from tests.variants import each_once

pytestmark = pytest.mark.anyio

SETTLE_SECONDS = 0.06
# With what does not move, in the cells where nothing does.
PATIENCE_SECONDS = 1.0
PICKLE = b"N."  # a whole one; what follows it is not looked at
SMALL_BYTES = 100
# Three pieces and a bit.
LARGE_BYTES = (3 << 20) + 11
# More than the system's own buffers take, where the fault is that the body does not arrive.
CUT_BYTES = 24 << 20

UPLOAD_POLL_LIST = ["upload", "poll", "list"]
# How often a fault happens -> how often the sandbox is told to make it happen.
TIMES = {"once": 1, "twice": 2, "always": 99}
# `make test` has each of these in turn, and every fault at an upload and at a read; all combinations are `make long`'s.
IN_TURN = itertools.cycle(TIMES)


def marks_of(times: str, wanted: str) -> list[pytest.MarkDecorator]:
    """What is wanted in this place is tried by `make test`."""
    return [] if times == wanted else [pytest.mark.long]


def any_times(faults: Iterable[str]) -> pytest.MarkDecorator:
    """Every fault, however often it happens."""
    return pytest.mark.parametrize(
        ("fault", "times"),
        [
            pytest.param(fault, times, marks=marks_of(times, wanted))
            for fault, wanted in zip(faults, IN_TURN, strict=False)
            for times in TIMES
        ],
    )


def faults_of_reads(call: int) -> pytest.MarkDecorator:
    """All faults of one of the calls that read. `make test` has each fault at one of the three, each meaning at all."""
    params, seen = [], set()
    for place, (fault, meaning) in enumerate(READ_FAULTS.items()):
        wanted = list(TIMES)[(place // 3 + call) % 3] if place % 3 == call or meaning not in seen else "none"
        seen.add(meaning)
        params += [pytest.param(fault, times, marks=marks_of(times, wanted)) for times in TIMES]
    return pytest.mark.parametrize(("fault", "times"), params)


class Outcome(NamedTuple):
    """What a cell comes to."""

    # Of the call that meets the fault, as the registry counted them.
    requests: int
    state: str
    exit_code: int
    # As the registry holds them.
    versions: int


def same(outcome: Outcome) -> dict[str, Outcome]:
    """However often the fault would happen."""
    return dict.fromkeys(TIMES, outcome)


# Uploads. `stored`: in doubt, and the registry has it. `lost`: in doubt, and it has not. `unreached`: no connection.

UPLOAD_OUTCOMES: dict[str, dict[str, Outcome]] = {
    "permanent": same(Outcome(1, "failed", 3, 0)),
    "unauthorised": same(Outcome(1, "planned", 5, 0)),
    "too long a pause": same(Outcome(1, "planned", 6, 0)),
    "in doubt, too long a pause": same(Outcome(1, "in_doubt", 6, 0)),
    "stored": same(Outcome(1, "ready", 0, 1)),
    "not accepted": {
        "once": Outcome(2, "ready", 0, 1),
        "twice": Outcome(3, "ready", 0, 1),
        "always": Outcome(5, "planned", 6, 0),
    },
    "lost": {
        "once": Outcome(2, "ready", 0, 1),
        "twice": Outcome(3, "ready", 0, 1),
        "always": Outcome(5, "planned", 6, 0),
    },
    "unreached": {
        "once": Outcome(1, "ready", 0, 1),
        "twice": Outcome(1, "ready", 0, 1),
        "always": Outcome(0, "planned", 6, 0),
    },
}

ERROR_BODY = 'body:{"msg": "Internal Server Error", "code": 500}'

# fault -> what it means at an upload of one piece, and at one that is streamed.
UPLOAD_FAULTS: dict[str, tuple[str, str]] = {
    "connection refused": ("unreached", "unreached"),
    "unknown host": ("unreached", "unreached"),
    "untrusted certificate": ("unreached", "unreached"),
    "TLS to plain HTTP": ("unreached", "unreached"),
    "connect timeout": ("unreached", "unreached"),
    # A small body may have arrived whole before its connection broke; a large one is sealed at its end only.
    "refuse": ("lost", "not accepted"),
    "reset=0": ("lost", "not accepted"),
    "reset=400": ("lost", "not accepted"),
    "reset=999999999": ("stored", "stored"),
    "lost-answer": ("stored", "stored"),
    "late=0.02": ("stored", "stored"),
    "stall-body=50": ("lost", "not accepted"),
    "stall": ("stored", "stored"),
    "half": ("stored", "stored"),
    "garbage": ("stored", "stored"),
    "html": ("lost", "lost"),
    "html=200": ("lost", "lost"),
    f"202={ERROR_BODY}": ("lost", "lost"),
    "202=body:": ("lost", "lost"),
    "204": ("lost", "lost"),
    # Not in the registry's own form: of somebody on the way, and no word about the upload.
    "301=/elsewhere": ("lost", "lost"),
    "307=/elsewhere": ("lost", "lost"),
    "403=body:Access denied": ("lost", "lost"),
    "404=body:": ("lost", "lost"),
    # A gateway bounds bodies, but none so small.
    "413=body:too large": ("lost", "permanent"),
    "400": ("permanent", "permanent"),
    "401": ("unauthorised", "unauthorised"),
    "403": ("permanent", "permanent"),
    "404": ("permanent", "permanent"),
    "405": ("permanent", "permanent"),
    "408": ("lost", "lost"),
    "409": ("permanent", "permanent"),
    "413": ("permanent", "permanent"),
    "415": ("permanent", "permanent"),
    "422": ("permanent", "permanent"),
    "429": ("not accepted", "not accepted"),
    "429=0": ("not accepted", "not accepted"),
    "429=601": ("too long a pause", "too long a pause"),
    "500": ("lost", "lost"),
    "500=memory": ("not accepted", "not accepted"),
    "502": ("lost", "lost"),
    "503": ("lost", "lost"),
    "503=601": ("in doubt, too long a pause", "in doubt, too long a pause"),
    "504": ("lost", "lost"),
    "lost-answer=504": ("stored", "stored"),
    "507": ("not accepted", "not accepted"),
}

# Reads: polls, the listing at the start, the question about a lost upload.

READ_FAULTS: dict[str, str] = {
    "connection refused": "unreached",
    "unknown host": "unreached",
    "untrusted certificate": "unreached",
    "TLS to plain HTTP": "unreached",
    "connect timeout": "unreached",
    "refuse": "passing",
    "reset": "passing",
    "reset=999999999": "passing",
    "lost-answer": "passing",
    "stall-body=0": "passing",
    "stall": "passing",
    "half": "passing",
    "garbage": "foreign",
    "html": "passing",
    "html=200": "foreign",
    f"200={ERROR_BODY}": "unreadable",
    "204": "foreign",
    "301=/elsewhere": "foreign",
    "307=/elsewhere": "foreign",
    "403=body:Access denied": "foreign",
    "404=body:default backend": "not found by others",
    "405=body:": "not found by others",
    "400": "permanent",
    "401": "unauthorised",
    "403": "forbidden",
    "404": "not found",
    "409": "permanent",
    "413": "permanent",
    "422": "permanent",
    "429": "busy",
    "429=0": "busy",
    "429=601": "too long a pause",
    "500": "failing",
    "502": "passing",
    "503": "busy",
    "503=601": "too long a pause",
    "504": "passing",
    "507": "passing",
}

PASSING_POLL = {
    "once": Outcome(2, "ready", 0, 1),
    "twice": Outcome(3, "ready", 0, 1),
    "always": Outcome(5, "uploaded", 6, 1),
}
LISTED_POLL = PASSING_POLL | {"always": Outcome(5, "ready", 0, 1)}
POLL_OUTCOMES: dict[str, dict[str, Outcome]] = {
    "passing": PASSING_POLL,
    "busy": PASSING_POLL,
    "foreign": PASSING_POLL,
    "unreadable": PASSING_POLL,
    # What may mean that there is no such version is asked of the listing, which has it and says that it is ready.
    "not found": LISTED_POLL,
    "not found by others": LISTED_POLL,
    "permanent": LISTED_POLL,
    "failing": LISTED_POLL,
    "forbidden": same(Outcome(1, "uploaded", 5, 1)),
    "unauthorised": same(Outcome(1, "uploaded", 5, 1)),
    "too long a pause": same(Outcome(1, "uploaded", 6, 1)),
    "unreached": {
        "once": Outcome(1, "ready", 0, 1),
        "twice": Outcome(1, "ready", 0, 1),
        "always": Outcome(0, "uploaded", 6, 1),
    },
}

# A workspace that cannot be listed is asked for model by model: models/list, then the two calls for one model.
PASSING_LIST = {"once": Outcome(2, "ready", 0, 1), "twice": Outcome(3, "ready", 0, 1)}
LIST_OUTCOMES: dict[str, dict[str, Outcome]] = {
    "passing": PASSING_LIST | {"always": Outcome(10, "planned", 6, 0)},
    "failing": PASSING_LIST | {"always": Outcome(10, "planned", 6, 0)},
    "busy": PASSING_LIST | {"always": Outcome(5, "planned", 6, 0)},
    # The first call for one model gives way to the second at once; both are one outage.
    "foreign": PASSING_LIST | {"always": Outcome(10, "planned", 6, 0)},
    "not found by others": PASSING_LIST | {"always": Outcome(10, "planned", 6, 0)},
    "unreadable": PASSING_LIST | {"always": Outcome(10, "planned", 6, 0)},
    "not found": PASSING_LIST | {"always": Outcome(3, "planned", 6, 0)},
    "permanent": PASSING_LIST | {"always": Outcome(3, "planned", 6, 0)},
    "forbidden": PASSING_LIST | {"always": Outcome(3, "planned", 5, 0)},
    "unauthorised": same(Outcome(1, "planned", 5, 0)),
    "too long a pause": same(Outcome(1, "planned", 6, 0)),
    "unreached": {
        "once": Outcome(1, "ready", 0, 1),
        "twice": Outcome(1, "ready", 0, 1),
        "always": Outcome(0, "planned", 6, 0),
    },
}

# The upload landed and its answer was lost; one listing went before. Whatever happens, it is never sent again unasked.
PASSING_QUESTION = {"once": Outcome(3, "ready", 0, 1), "twice": Outcome(4, "ready", 0, 1)}
REFUSED_QUESTION = same(Outcome(3, "in_doubt", 6, 1)) | {"once": Outcome(3, "ready", 0, 1)}
QUESTION_OUTCOMES: dict[str, dict[str, Outcome]] = {
    "passing": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "failing": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "busy": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "foreign": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "not found by others": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "unreadable": PASSING_QUESTION | {"always": Outcome(6, "in_doubt", 6, 1)},
    "not found": REFUSED_QUESTION,
    "permanent": REFUSED_QUESTION,
    "forbidden": same(Outcome(3, "in_doubt", 5, 1)) | {"once": Outcome(3, "ready", 0, 1)},
    "unauthorised": same(Outcome(2, "in_doubt", 5, 1)),
    "too long a pause": same(Outcome(2, "in_doubt", 6, 1)),
    "unreached": {
        "once": Outcome(2, "ready", 0, 1),
        "twice": Outcome(2, "ready", 0, 1),
        "always": Outcome(1, "in_doubt", 6, 1),
    },
}

# A token refused in mid-run -> what renewing it comes to.
TOKEN_OUTCOMES: dict[str, dict[str, dict[str, Outcome]]] = {
    "another token": {
        "upload": same(Outcome(2, "planned", 5, 0)) | {"once": Outcome(2, "ready", 0, 1)},
        "poll": same(Outcome(2, "uploaded", 5, 1)) | {"once": Outcome(2, "ready", 0, 1)},
        "list": same(Outcome(2, "planned", 5, 0)) | {"once": Outcome(2, "ready", 0, 1)},
    },
    "the same token": {
        "upload": same(Outcome(1, "planned", 5, 0)),
        "poll": same(Outcome(1, "uploaded", 5, 1)),
        "list": same(Outcome(1, "planned", 5, 0)),
    },
    "no token": {
        "upload": same(Outcome(1, "planned", 5, 0)),
        "poll": same(Outcome(1, "uploaded", 5, 1)),
        "list": same(Outcome(1, "planned", 5, 0)),
    },
}

# Keycloak is asked for another token after a 401: by the refresh token, then by the password. One login went before.
PASSING_TOKEN = {
    "once": Outcome(3, "ready", 0, 1),
    "twice": Outcome(4, "ready", 0, 1),
    "always": Outcome(6, "planned", 6, 0),
}
LOGIN_OUTCOMES: dict[str, dict[str, Outcome]] = {
    "passing": PASSING_TOKEN,
    "refused": same(Outcome(3, "planned", 5, 0)) | {"once": Outcome(3, "ready", 0, 1)},
    "too long a pause": same(Outcome(2, "planned", 6, 0)),
    "unreached": {
        "once": Outcome(2, "ready", 0, 1),
        "twice": Outcome(2, "ready", 0, 1),
        "always": Outcome(1, "planned", 6, 0),
    },
}
LOGIN_FAULTS: dict[str, str] = {
    "connection refused": "unreached",
    "untrusted certificate": "unreached",
    "refuse": "passing",
    "reset": "passing",
    "lost-answer": "passing",
    "half": "passing",
    "garbage": "passing",
    "html": "passing",
    "html=200": "passing",
    # It has let us in before: it is there, and somebody else answers in its place.
    f"200={ERROR_BODY}": "passing",
    "301=/elsewhere": "passing",
    "403=body:Access denied": "passing",
    "400": "refused",
    "401": "refused",
    "404": "passing",
    "429": "passing",
    "429=601": "too long a pause",
    "500": "passing",
    "503": "passing",
}


# The machinery.


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop that can be led astray."""
    return "asyncio", {"loop_factory": DetouringLoop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, Certificate]:
    """One that is trusted, and one that nobody vouches for."""
    known, stranger = (Certificate.made_in(tmp_path_factory.mktemp("certificate")) for _ in range(2))
    return known, stranger


@dataclass
class Cell:
    """One run that met a fault: what it said, and what the registry says."""

    summary: RunSummary
    stop: Stop
    row: dict[str, Any]
    log: list[LogRecord]
    versions: int

    def requests(self, call: str) -> list[LogRecord]:
        """The registry's records of one call."""
        return [record for record in self.log if call_of(record.path) == call]

    def comes_to(self, call: str, outcome: Outcome) -> None:
        """The four words of an outcome, and what holds in every cell: nothing doubled, nothing left out."""
        found = Outcome(len(self.requests(call)), self.row["state"], self.summary.exit_code, self.versions)
        assert found == outcome, self.stop.error
        assert self.summary.entries == self.summary.states[outcome.state] == 1
        assert self.summary.duplicates == 0
        # Whoever is told that something is open is told why.
        assert (outcome.exit_code in (5, 6)) == (self.stop.error is not None)


class Matrix:
    """One entry, one registry, one fault."""

    def __init__(self, folder: Path, certificates: tuple[Certificate, Certificate]) -> None:
        self.folder = folder
        self._known, self._stranger = certificates

    def write_model(self, size: int) -> None:
        """The one entry: a framework that models/upload does not take, so that a 404 is a refusal."""
        with (self.folder / "m.pkl").open("wb") as file:
            file.write(PICKLE)
            file.truncate(size)
        schema = '{"x": "float32"}'
        fields = f'"framework": "sklearn", "input_schema": {schema}, "output_schema": {schema}'
        (self.folder / "models.jsonl").write_text(f'{{"name": "m", "path": "m.pkl", {fields}}}\n')

    async def run(
        self, call: str, fault: str, times: str, *, after: int = 0, also: tuple[str, ...] = (), **changes: Any
    ) -> Cell:
        """Meet ``fault`` at requests of ``call``, the first ``after`` of them spared; ``also`` are further faults."""
        timeouts: dict[str, Any] = {}
        if "stall" in fault or "timeout" in fault:
            timeouts = dict.fromkeys(("connect_timeout", "progress_timeout", "answer_timeout"), PATIENCE_SECONDS)
        detour = None
        faults: tuple[str, ...] = ()
        async with AsyncExitStack() as stack:
            if fault in UNREACHABLE:
                address = await stack.enter_async_context(unreachable(fault, self._stranger))
                detour = Detour(call, address, TIMES[times], after)
            else:
                faults = tuple(f"{call}:{fault}@{number}" for number in range(after + 1, after + TIMES[times] + 1))
            sandbox = await stack.enter_async_context(self.sandbox(*also, *faults))
            if detour is not None and call == "token":
                changes |= await stack.enter_async_context(self._keycloak_apart(sandbox, detour))
            cell = await self.publish(sandbox, timeouts, detour, **changes)
        sent = len(cell.requests("upload")) + (detour.taken if detour is not None and call == "upload" else 0)
        assert cell.summary.requests.upload == sent
        # Each attempt is one request, and the ledger knows of each.
        assert cell.row["attempts"] == sent
        return cell

    def sandbox(self, *faults: str) -> Sandbox:
        """The registry; a second one goes on where the first one ended."""
        return Sandbox(SandboxSettings(data=self.folder / "registry", time_scale=0.0, faults=faults))

    @asynccontextmanager
    async def _keycloak_apart(self, sandbox: Sandbox, detour: Detour) -> AsyncIterator[dict[str, Any]]:
        """The users' server has an address of its own, by TLS; some of the connections to it go elsewhere."""
        async with in_front_of(int(sandbox.endpoint.rpartition(":")[2]), self._known.context) as port:
            with token_requests_go_to(port, detour):
                yield {
                    "credentials": lambda it: replace(by_password(it), auth_url=f"https://127.0.0.1:{port}"),
                    "connection": Connection(ca_file=self._known.chain),
                }

    async def publish(
        self,
        sandbox: Sandbox,
        timeouts: dict[str, Any] | None = None,
        detour: Detour | None = None,
        connection: Connection | None = None,
        **changes: Any,
    ) -> Cell:
        """One run. ``credentials`` may be made of the sandbox."""
        make_credentials: Callable[[Sandbox], Credentials] | None = changes.pop("credentials", None)
        credentials = make_credentials(sandbox) if make_credentials else Credentials(token=sandbox.token)
        make_registry = Registry if detour is None else partial(AstrayRegistry, detour=detour)
        settings = Settings(
            manifest=str(self.folder / "models.jsonl"),
            endpoint=sandbox.endpoint,
            ledger=self.folder / "ledger.db",
            credentials=credentials,
            default_workspace=True,
            settle=SETTLE_SECONDS,
            poll_interval=PollInterval(0.01, 0.02),
            patience=0.0,
            pauses=Pauses(backoff_unit=0.002),
            **changes,
        )
        registry = make_registry(sandbox.endpoint, credentials, connection, **(timeouts or {}))
        stop, seen = Stop(), len(sandbox.requests())
        with anyio.fail_after(60):
            summary = await publish(settings, registry=registry, stop=stop)
        with LedgerReader(settings.ledger) as reader:
            (row,) = [dict(zip(RESULT_COLUMNS, values, strict=True)) for values in reader.results()]
        return Cell(summary, stop, row, sandbox.requests()[seen:], len(sandbox.versions()))

    async def heals(self, *, uploads: int) -> None:
        """The fault is gone: the same command ends with one version, sent ``uploads`` times more."""
        async with self.sandbox() as sandbox:
            cell = await self.publish(sandbox)
        assert (cell.row["state"], cell.summary.exit_code, cell.versions) == ("ready", 0, 1)
        assert len(cell.requests("upload")) == uploads


UNREACHABLE = {fault for fault, meaning in READ_FAULTS.items() if meaning == "unreached"}


@pytest.fixture
def matrix(tmp_path: Path, certificates: tuple[Certificate, Certificate]) -> Iterator[Matrix]:
    """What a cell is made with; what it wrote is gone afterwards: some of it is large."""
    made = Matrix(tmp_path, certificates)
    made.write_model(SMALL_BYTES)
    yield made
    shutil.rmtree(tmp_path / "registry")


# The cells.


def _upload_cells() -> Iterator[Any]:
    """Every fault on a body of one piece and on one that is streamed."""
    for number, (fault, (small, large)) in enumerate(UPLOAD_FAULTS.items()):
        for times in TIMES:
            # One of both once, the other one twice or always; `make test` has both where they do not mean the same.
            wanted = ["once", "twice", "once", "always"][number % 4] if small != large or number % 2 else "none"
            marks = marks_of(times, wanted)
            yield pytest.param(fault, SMALL_BYTES, small, times, id=f"{fault[:15]}-small-{times}", marks=marks)
            # Where the body is cut, what matters is that its end has not left.
            size = CUT_BYTES if small != large else LARGE_BYTES
            wanted = ["twice", "once", "always", "once"][number % 4] if small != large or number % 2 == 0 else "none"
            marks = marks_of(times, wanted)
            yield pytest.param(fault, size, large, times, id=f"{fault[:15]}-large-{times}", marks=marks)


@pytest.mark.parametrize(("fault", "size", "meaning", "times"), list(_upload_cells()))
async def test_an_upload(matrix: Matrix, fault: str, size: int, meaning: str, times: str) -> None:
    """The right verdict; nothing permanent is sent twice; what is unknown settles and is asked for before."""
    matrix.write_model(size)
    cell = await matrix.run("upload", fault, times)
    outcome = UPLOAD_OUTCOMES[meaning][times]
    cell.comes_to("upload", outcome)
    assert cell.summary.adopted == (meaning == "stored")
    uploads = cell.requests("upload")
    questions = [record for record in cell.requests("list") if uploads and record.seq > uploads[0].seq]
    for number, sent in enumerate(uploads):
        following = uploads[number + 1].seq if number + 1 < len(uploads) else None
        asked = [record for record in questions if sent.seq < record.seq and (following or record.seq) >= record.seq]
        doubted = meaning in ("stored", "lost") and sent.fate != "answered"
        if doubted:
            assert asked[0].t - sent.t >= SETTLE_SECONDS
        elif following is not None:
            assert asked == []
    assert not any("elsewhere" in record.path for record in cell.log)
    in_the_registry = outcome.versions
    await matrix.heals(uploads=0 if in_the_registry else 1)


@faults_of_reads(0)
async def test_a_poll(matrix: Matrix, fault: str, times: str) -> None:
    """What is published stays published, whatever a poll says: only the listing tells that a version is gone."""
    cell = await matrix.run("poll", fault, times)
    outcome = POLL_OUTCOMES[READ_FAULTS[fault]][times]
    cell.comes_to("poll", outcome)
    assert len(cell.requests("upload")) == 1
    await matrix.heals(uploads=0)


@faults_of_reads(1)
async def test_the_listing_at_the_start(matrix: Matrix, fault: str, times: str) -> None:
    """Nothing is sent before somebody said what is there."""
    cell = await matrix.run("list", fault, times)
    outcome = LIST_OUTCOMES[READ_FAULTS[fault]][times]
    cell.comes_to("list", outcome)
    answered = [record.seq for record in cell.requests("list") if record.fate == "answered"]
    assert all(record.seq > answered[0] for record in cell.requests("upload"))
    assert len(cell.requests("upload")) == outcome.versions
    await matrix.heals(uploads=1 - outcome.versions)


@faults_of_reads(2)
async def test_the_question_about_a_lost_upload(matrix: Matrix, fault: str, times: str) -> None:
    """It stays in doubt until the registry has answered; it is not sent again."""
    cell = await matrix.run("list", fault, times, after=1, also=("upload:lost-answer@1",))
    outcome = QUESTION_OUTCOMES[READ_FAULTS[fault]][times]
    cell.comes_to("list", outcome)
    assert len(cell.requests("upload")) == 1
    await matrix.heals(uploads=0)


TOKEN_COMMANDS: dict[str, str] = {
    "another token": "head -1 {file}; sed -i 1d {file}",
    "the same token": "head -1 {file}",
    "no token": "head -1 {file} | grep .; echo > {file}",
}


@pytest.mark.parametrize(("renewal", "call", "times"), each_once(list(TOKEN_OUTCOMES), UPLOAD_POLL_LIST, list(TIMES)))
async def test_a_token_refused_in_mid_run(matrix: Matrix, renewal: str, call: str, times: str) -> None:
    """Once more with another one; where there is none, exit 5, and all that is open stays open."""
    file = matrix.folder / "tokens"

    def credentials(sandbox: Sandbox) -> Credentials:
        others = [sign({"typ": "Bearer", "jti": number}, sandbox.account.signing_key) for number in range(9)]
        file.write_text("\n".join(others) + "\n")
        return Credentials(token_command=TOKEN_COMMANDS[renewal].format(file=file))

    cell = await matrix.run(call, "401", times, credentials=credentials)
    outcome = TOKEN_OUTCOMES[renewal][call][times]
    cell.comes_to(call, outcome)
    await matrix.heals(uploads=1 - outcome.versions)


def by_password(sandbox: Sandbox) -> Credentials:
    """The account's user and password."""
    return Credentials(username=sandbox.username, password=sandbox.password)


@any_times(LOGIN_FAULTS)
async def test_a_login_that_fails_in_mid_run(matrix: Matrix, fault: str, times: str) -> None:
    """What passes is tried again, what does not is said with exit 5; nothing is sent without a token."""
    cell = await matrix.run("token", fault, times, after=1, also=("upload:401@1",), credentials=by_password)
    outcome = LOGIN_OUTCOMES[LOGIN_FAULTS[fault]][times]
    cell.comes_to("token", outcome)
    assert len(cell.requests("upload")) == 1 + outcome.versions
    await matrix.heals(uploads=1 - outcome.versions)


@pytest.mark.parametrize(
    ("fault", "error"), [("503", RegistryUnavailable), ("401", NotAuthorised), ("404=body:", NotAuthorised)]
)
async def test_a_login_that_fails_at_the_start_makes_no_ledger(
    matrix: Matrix, fault: str, error: type[BulkloadError]
) -> None:
    """What is known before anything is made is raised."""
    with pytest.raises(error):
        await matrix.run("token", fault, "always", credentials=by_password)
    assert not (matrix.folder / "ledger.db").exists()


# What Retry-After says, and between how many seconds the same may come again.
RETRY_AFTER = {
    "429": (0.0, 0.0),
    "429=0": (0.0, 0.0),
    "429=1": (1.0, 1.1),
    "429=date+2": (1.0, 2.2),
    "429=date+-60": (0.0, 0.0),
    "429=-5": (0.0, 0.0),
    "429=soon": (0.0, 0.0),
    "429=": (0.0, 0.0),
    "429=99999999999999999999": (0.0, 0.0),
    "503=1": (1.0, 1.1),
}


@pytest.mark.parametrize(("call", "fault"), each_once(UPLOAD_POLL_LIST, list(RETRY_AFTER)))
async def test_retry_after_in_every_form(matrix: Matrix, fault: str, call: str) -> None:
    """Never before, and at the most a second later; what cannot be read is as if it were not there."""
    cell = await matrix.run(call, fault, "once")
    first, second = (record.t for record in cell.requests(call)[:2])
    earliest, latest = RETRY_AFTER[fault]
    assert earliest <= second - first <= latest + 1.0
    assert cell.row["state"] == "ready"


@pytest.mark.parametrize(("call", "pause"), each_once(UPLOAD_POLL_LIST, ["3600", "601", "date+7200"]))
async def test_a_pause_beyond_patience_ends_the_run_and_says_when(matrix: Matrix, call: str, pause: str) -> None:
    """Ten minutes are waited for, not more."""
    seconds = int(pause.removeprefix("date+"))
    cell = await matrix.run(call, f"429={pause}", "always")
    assert cell.summary.exit_code == 6
    assert len(cell.requests(call)) == 1
    said = str(cell.stop.error)
    assert any(f"come back in {told} s" in said for told in (seconds, seconds - 1)), said


async def test_what_is_refused_again_and_again_is_left_for_the_next_run(matrix: Matrix) -> None:
    """One entry was sent again and is there, another one ends the run: exit 6, no crash; then all is looked at."""
    line = (matrix.folder / "models.jsonl").read_text()
    for name in "ab":
        (matrix.folder / f"{name}.pkl").write_bytes(PICKLE + name.encode())
    rows = [line.replace('"m"', f'"{name}"').replace("m.pkl", f"{name}.pkl") for name in "ab"]
    (matrix.folder / "models.jsonl").write_text("".join(rows))
    # The first try of both, and all that come after one of them got through.
    faults = [f"upload:429=0@{number}" for number in (1, 2, *range(4, 40))]
    stop = Stop()
    async with matrix.sandbox(*faults) as sandbox:
        settings = Settings(
            manifest=str(matrix.folder / "models.jsonl"),
            endpoint=sandbox.endpoint,
            ledger=matrix.folder / "ledger.db",
            credentials=Credentials(token=sandbox.token),
            default_workspace=True,
            concurrency=1,
            patience=0.0,
        )
        summary = await publish(settings, stop=stop)
        assert summary.exit_code == 6
        assert (summary.states["planned"], summary.states["uploaded"] + summary.states["ready"]) == (1, 1)
        assert "1 entry was refused again and again" in str(stop.error)
        # The listing at the start, and the model that got through once more at the end.
        asked = sum(call_of(record.path) == "list" for record in sandbox.requests())
        assert asked == 2
    async with matrix.sandbox() as sandbox:
        summary = await publish(replace(settings, endpoint=sandbox.endpoint))
        assert (summary.exit_code, summary.states["ready"], summary.duplicates) == (0, 2, 0)
        # The listing at the start, and its model once more at the end.
        assert sum(call_of(record.path) == "list" for record in sandbox.requests()) - asked == 2
