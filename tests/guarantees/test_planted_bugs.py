"""Can the other tests fail? Each bug here could be in such a tool; each is caught by the proof beside it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from unittest import mock

import aiohttp
import anyio
import anyio.lowlevel
import pytest

from bulkload.core.identity.arrival import Arrival
from bulkload.core.identity.content import Match
from bulkload.core.identity.reconcile import ReconcileDecision, Reconciliation, reconcile
from bulkload.core.model import summary as summaries
from bulkload.core.model.settings import Credentials
from bulkload.core.model.states import State
from bulkload.core.verdicts import CallFailed
from bulkload.engine.context import Run
from bulkload.engine.limits.gates import Gates
from bulkload.engine.upload import reconcile as reconciling
from bulkload.engine.upload.attempt import UploadAttempt
from bulkload.ledger.interface import CountOpen
from bulkload.ledger.sqlite import connection as connections
from bulkload.ledger.sqlite.writer import ThreadWriter
from bulkload.ledger.sqlite.writes import Store
from bulkload.registry import Registry
from bulkload.registry.form import upload_form
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import LocalSource
from tests.guarantees import world
from tests.guarantees.registry_model import Fate, RegistryModel
from tests.guarantees.scenarios import Found, Scenario, entry, scenario, single_crashes
from tests.guarantees.world import World

Plant = Callable[[], AbstractContextManager[Any]]
Proof = Callable[[Iterator[Path]], list[str]]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, how to plant it, and the proof that must find it."""

    name: str
    plant: Plant
    proof: Proof


CRASHES: list[Proof] = []


def crashes_in(name: str) -> Proof:
    """A crash at any point of that scenario, and none at all, with each fate."""

    def prove(folders: Iterator[Path]) -> list[str]:
        try:
            single_crashes(scenario(name), folders, Found(first_only=True))
        except Exception as error:  # noqa: BLE001 - a run that breaks down, or never ends, is a bug that was found
            return [repr(error)]
        return []

    CRASHES.append(prove)
    return prove


def patched(target: str, replacement: object) -> Plant:
    """``target`` (dotted) is another thing."""
    return lambda: mock.patch(target, replacement)


# In the order of effects.


def intent_after_the_request() -> AbstractContextManager[Any]:
    async def send(self: UploadAttempt, form: Any, fence: frozenset[int]) -> Any:
        file = await LocalSource().read_small(self._entry.entry.source)
        body = b"".join((form.head, file.data, form.tail))
        version_id = await self._run.registry.upload(
            self._call, form, file.look.size, body, on_first_byte=self._note_departure
        )
        await self._intend(file.look, fence, file.sha256)
        return self._sent(version_id)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(UploadAttempt, "_send_small", send))
    stack.enter_context(mock.patch.object(UploadAttempt, "_send_large", send))
    return stack


def no_seal() -> AbstractContextManager[Any]:
    async def seal(self: UploadAttempt, sha256: str) -> None:
        pass

    return mock.patch.object(UploadAttempt, "_seal", seal)


def short_answer_timeout() -> AbstractContextManager[Any]:
    real_client = world.Client
    return mock.patch.object(world, "Client", lambda of_world, _: real_client(of_world, 5.0))


@contextmanager
def settling_counted_from_the_intent() -> Iterator[None]:
    intents: dict[int, float] = {}
    intend, reconcile_entry = Store.intend, reconciling.reconcile_entry

    def noted(self: Store, id_: int, *words: Any) -> None:
        intents[id_] = anyio.current_time()
        intend(self, id_, *words)

    async def settled(run: Run, item: Any, _: float) -> Any:
        return await reconcile_entry(run, item, intents[item.id])

    with mock.patch.object(Store, "intend", noted), mock.patch("bulkload.engine.upload.entry.reconcile_entry", settled):
        yield


def no_fence() -> AbstractContextManager[Any]:
    intend = Store.intend
    return mock.patch.object(
        Store, "intend", lambda self, id_, stat, fence, sha256: intend(self, id_, stat, (), sha256)
    )


def fence_of_the_wrong_model() -> AbstractContextManager[Any]:
    async def of_another(run: Run, item: Any) -> list[Any]:
        return await run.registry.list_versions_for_model("another", item.workspace_id)

    return mock.patch("bulkload.engine.upload.attempt.versions_now", of_another)


# What is whose.


def matching_by_name_only() -> AbstractContextManager[Any]:
    def could_be_ours(content: Any, _1: str, _2: str, fence: Any, version: Any, _3: str | None) -> Match:
        is_new = version.name == content.name and version.version_id not in fence
        return Match.EXACT if is_new else Match.NO

    return mock.patch("bulkload.core.identity.reconcile.could_be_ours", could_be_ours)


def near_match_sent_again() -> AbstractContextManager[Any]:
    def decide(*words: Any) -> ReconcileDecision:
        decision = reconcile(*words)
        is_near = decision.note is not None and "differently" in decision.note
        return ReconcileDecision(outcome=Reconciliation.ABSENT) if is_near else decision

    return mock.patch("bulkload.engine.upload.reconcile.reconcile", decide)


def uniqueness_dropped() -> AbstractContextManager[Any]:
    def create(connection: sqlite3.Connection) -> None:
        real_create(connection)
        connection.execute("DROP INDEX entries_owned_version")

    real_create = connections._create
    stack = ExitStack()
    stack.enter_context(mock.patch.object(connections, "_create", create))
    stack.enter_context(mock.patch.object(Store, "_is_taken", return_value=False))
    return stack


def in_doubt_counted_as_done() -> AbstractContextManager[Any]:
    def exit_code(states: dict[str, int], duplicates: int = 0) -> Any:
        return summaries.exit_code_of({**states, State.IN_DOUBT: 0}, duplicates)

    return mock.patch("bulkload.engine.publish.exit_code_of", exit_code)


def undecided_is_said(folders: Iterator[Path]) -> list[str]:
    """Stopped while an upload is in doubt, without a signal: exit 0 would be a false word."""
    two_may_be_ours = {"rewrites": True, "during_upload": _an_equal_one}
    undecided = Scenario("undecided", (entry(),), registry=two_may_be_ours).world(next(folders), (Fate.LOST,))
    life = undecided.live()
    assert life.summary is not None
    return [] if life.summary.exit_code == 12 else [f"exit {life.summary.exit_code} with {life.summary.states}"]


def _an_equal_one(registry: RegistryModel) -> None:
    scenario("an equal version was there before").before(registry)


# Politeness.


def budget_ignored() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("bulkload.core.limits.retry.RetryBudget.spend", return_value=True))
    stack.enter_context(mock.patch("bulkload.core.limits.retry.ATTEMPTS_PER_ENTRY", 1_000))
    return stack


def bounded_while_half_of_it_is_refused(folders: Iterator[Path]) -> list[str]:
    """A registry that refuses every other upload hears of each entry about once, and a hundred times more at most.

    (In front of one that refuses all, everybody pauses, whatever the budget.)
    """
    rows = [entry(f"m-{number}", b"small") for number in range(300)]
    fates = (Fate.THROTTLED, Fate.ANSWERED) * 1_000
    throttling = World(next(folders), rows, RegistryModel(clock=lambda: 0.0, fates=fates))
    throttling.live()
    # Each upload that is accepted earns a tenth of a retry, and so does each poll.
    most = 1.2 * len(rows) + 100
    return [f"{len(throttling.registry.began)} uploads"] if len(throttling.registry.began) > most else []


def retry_after_ignored() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("bulkload.engine.upload.entry.pause_seconds", return_value=0.1))
    stack.enter_context(mock.patch.object(Gates, "hold"))
    return stack


# What the transport must not do; against a real sandbox, over HTTP.


async def _upload_once(folder: Path, fault: str) -> list[str]:
    """One upload that meets a fault: one request, and no version id."""
    violations = []
    async with Sandbox(SandboxSettings(data=folder, time_scale=0.0, faults=(fault,))) as sandbox:
        async with Registry(sandbox.endpoint, Credentials(token=sandbox.token)) as registry:
            metadata = b'{"name":"m","visibility":"private","workspace_id":1,"conversion":{"framework":"onnx"}}'
            form = upload_form(metadata, PurePath("m.onnx").name)
            content = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11"
            try:
                id_ = await registry.upload(
                    "models/upload", form, len(content), b"".join((form.head, content, form.tail))
                )
                violations.append(f"believed version {id_}")
            except CallFailed:
                pass
            except Exception as error:  # noqa: BLE001 - anything but a typed failure is a bug that was found
                violations.append(repr(error))
        sent = sum(record.path.startswith("/") and record.method == "POST" for record in sandbox.requests())
        if sent != 1:
            violations.append(f"{sent} requests for one upload")
    return violations


def over_http(fault: str) -> Proof:
    """One upload over a real connection, with a fault of the sandbox."""
    return lambda folders: anyio.run(_upload_once, next(folders), fault)


def a_retry_inside_the_client() -> AbstractContextManager[Any]:
    upload = Registry.upload

    async def twice(self: Registry, *words: Any) -> int:
        try:
            return await upload(self, *words)
        except CallFailed:
            return await upload(self, *words)

    return mock.patch.object(Registry, "upload", twice)


def an_error_body_believed() -> AbstractContextManager[Any]:
    return mock.patch("bulkload.registry.answers.uploaded_version_id", return_value=1)


def a_redirect_followed() -> AbstractContextManager[Any]:
    request = aiohttp.ClientSession.request

    def follow(self: aiohttp.ClientSession, *words: Any, **options: Any) -> Any:
        return request(self, *words, **{**options, "allow_redirects": True})

    return mock.patch.object(aiohttp.ClientSession, "request", follow)


# The ledger's shield.


class _NoShield:
    def __init__(self, **_: Any) -> None:
        self._scope = REAL_SCOPE()

    def __enter__(self) -> Any:
        return self._scope.__enter__()

    def __exit__(self, *words: Any) -> Any:
        return self._scope.__exit__(*words)


REAL_SCOPE = anyio.CancelScope


def a_cancelled_caller_knows(folders: Iterator[Path]) -> list[str]:
    """Whoever is cancelled while a commit is under way learns what became of it."""

    async def ask() -> list[str]:
        folder = next(folders)
        folder.mkdir()
        writer = ThreadWriter(lambda: Store(folder / "ledger.db"))
        await writer.start()
        heard: list[int] = []
        async with anyio.create_task_group() as group:

            async def call() -> None:
                heard.append(await writer.call(CountOpen()))

            group.start_soon(call)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        with REAL_SCOPE(shield=True):
            await writer.stop()
        return [] if heard == [0] else ["the caller never heard of its commit"]

    return anyio.run(ask)


BUGS = (
    Bug("intent after the request", intent_after_the_request, crashes_in("one entry")),
    Bug("no seal", no_seal, crashes_in("one entry")),
    Bug(
        "no settling",
        patched("bulkload.engine.upload.reconcile.settle_seconds", lambda *_: 0.0),
        crashes_in("one entry"),
    ),
    Bug("settling counted from the intent", settling_counted_from_the_intent, crashes_in("a body takes a minute")),
    Bug("no fence", no_fence, crashes_in("an equal version was there before, and another one is asked for")),
    Bug(
        "fence of the wrong model",
        fence_of_the_wrong_model,
        crashes_in("an equal version was there before, and another one is asked for"),
    ),
    Bug("matching by name only", matching_by_name_only, crashes_in("somebody else publishes the same model")),
    Bug("near match sent again", near_match_sent_again, crashes_in("the registry shows conversions differently")),
    Bug(
        "the answer's id believed",
        patched("bulkload.ledger.deciding.judge_arrival", lambda *_: Arrival.OURS),
        crashes_in("the answer names another upload's version"),
    ),
    Bug(
        "short answer timeout",
        short_answer_timeout,
        crashes_in("an answer takes five minutes"),
    ),
    Bug(
        "one version claimed twice",
        lambda: mock.patch.object(Store, "claimed", return_value={}),
        crashes_in("two equal entries with labels"),
    ),
    Bug(
        "a stuck version adopted",
        patched("bulkload.core.identity.existing.is_stuck", lambda *_: False),
        crashes_in("an equal version never gets ready"),
    ),
    Bug("uniqueness dropped", uniqueness_dropped, crashes_in("the answer names an equal sibling's version")),
    Bug("in doubt counted as done", in_doubt_counted_as_done, undecided_is_said),
    Bug("budget ignored", budget_ignored, bounded_while_half_of_it_is_refused),
    Bug("Retry-After ignored", retry_after_ignored, crashes_in("throttled")),
    Bug("a retry inside the client", a_retry_inside_the_client, over_http("upload:lost-answer@1")),
    Bug("202 with an error body believed", an_error_body_believed, over_http('upload:202=body:{"error":"no"}')),
    Bug("a redirect followed", a_redirect_followed, over_http("upload:307=/v1/api/models/upload@1")),
    Bug(
        "shield removed",
        patched("bulkload.ledger.sqlite.writer.anyio.CancelScope", _NoShield),
        a_cancelled_caller_knows,
    ),
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_proof_finds_the_bug(bug: Bug, folders: Iterator[Path]) -> None:
    """With the bug in place, something is wrong."""
    with bug.plant():
        assert bug.proof(folders) != []


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.proof not in CRASHES], ids=lambda bug: bug.name)
def test_without_the_bug_nothing_is_wrong(bug: Bug, folders: Iterator[Path]) -> None:
    """The proofs that are made for this suite; the crash points without any bug have a suite of their own."""
    assert bug.proof(folders) == []
