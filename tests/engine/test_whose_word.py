"""Only what the registry says in its own form is its word; what a gateway answers in its place passes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from bulkload.core.model.errors import ExitCode, ForeignAnswer, RegistryUnavailable
from bulkload.core.model.settings import Credentials, OnExisting, Settings
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.report.progress import Progress
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.gateway import Gateway, gateway_before
from tests.variants import each_once, every

pytestmark = pytest.mark.anyio

PICKLE = b"N."
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
CONVERTED: dict[str, Any] = {"framework": "sklearn", "input_schema": SCHEMA, "output_schema": SCHEMA}
UPLOAD, CONVERT, POLL = "models/upload", "models/upload_and_convert", "models/get_version_by_id"

ANSWERS: dict[str, Callable[[], web.Response]] = {
    "404 in text": lambda: web.Response(status=404, text="default backend - 404"),
    "404 without a body": lambda: web.Response(status=404),
    "405 without a body": lambda: web.Response(status=405),
    "404 of the registry": lambda: web.json_response({"msg": "Not found: nothing", "code": 404}, status=404),
    "413 of nginx": lambda: web.Response(
        status=413, text="<title>413 Request Entity Too Large</title>", content_type="text/html"
    ),
    "405 page": lambda: web.Response(status=405, text="<html>no</html>", content_type="text/html"),
    "403 of a firewall": lambda: web.Response(
        status=403, text="<title>Access denied</title>", content_type="text/html"
    ),
    "302 to a sign-in page": lambda: web.Response(status=302, headers={"Location": "https://login.example.com/"}),
    "307": lambda: web.Response(status=307, headers={"Location": "/elsewhere"}),
    "200 sign-in page": lambda: web.Response(text="<title>Sign in</title>", content_type="text/html"),
    "200 of other JSON": lambda: web.json_response({"status": "up"}),
    "200 without a body": lambda: web.Response(status=200),
    "403 of other JSON": lambda: web.json_response({"error": "Access denied by policy"}, status=403),
    "400 of other JSON": lambda: web.json_response({"message": "Bad request"}, status=400),
    "404 of other JSON": lambda: web.json_response({"code": 404, "message": "no Route matched"}, status=404),
    "413 of a small body": lambda: web.Response(status=413, text="Request Entity Too Large"),
    "422 in text": lambda: web.Response(status=422, text="Unprocessable"),
    "410 without a body": lambda: web.Response(status=410),
}


def models(count: int = 3, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"m{n}", "content": PICKLE + bytes([n]), **fields} for n in range(count)]


@pytest.fixture
def settings_before(tmp_path: Path) -> Callable[..., Settings]:
    """Settings that publish a manifest by way of a gateway."""

    def settings(manifest: Path, gateway: Gateway, sandbox: Sandbox, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "manifest": str(manifest),
            "endpoint": gateway.endpoint,
            "ledger": tmp_path / "ledger.db",
            "credentials": Credentials(token=sandbox.token),
            "default_workspace": True,
            "settle": 0.05,
            "patience": 60.0,
            "poll_interval": PollInterval(0.01, 0.05),
        }
        return Settings(**(values | changes))

    return settings


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A registry whose conversions take no time."""
    return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0))


def first(times: dict[str, int], answer: str) -> Callable[[str], Any]:
    """The first so many of these calls are answered by the gateway."""
    seen: Counter[str] = Counter()

    async def decide(call: str) -> web.Response | None:
        seen[call] += 1
        return ANSWERS[answer]() if seen[call] <= times.get(call, 0) else None

    return decide


async def run(settings: Settings, **others: Any) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings, **others)


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    with LedgerReader(settings.ledger) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


@pytest.mark.parametrize("answer", every(3, sorted(ANSWERS.keys() - {"404 of the registry"})))
async def test_a_gateways_answer_fails_no_entry(answer, sandbox, write_manifest, settings_before):
    """Uploads, polls and listings, whatever it is: all is ready in the end, once, and only the rest is sent again."""
    often = dict.fromkeys((CONVERT, POLL, "models/list", "models/list_versions_for_model", "models/get_upload_logs"), 2)
    async with sandbox, gateway_before(sandbox.endpoint, first(often, answer)) as gateway:
        settings = settings_before(write_manifest(models(**CONVERTED)), gateway, sandbox)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["ready"], summary.duplicates) == (ExitCode.OK, 3, 0)
        assert len(sandbox.versions()) == 3
        assert gateway.answered(CONVERT) == 2
        assert gateway.asked(CONVERT) == 5


@pytest.mark.parametrize("answer", ["403 of a firewall", "200 of other JSON"])
async def test_a_bad_moment_of_a_gateway_is_waited_out_like_an_outage(answer, sandbox, write_manifest, settings_before):
    """More answers than an entry has tries: nothing is failed, nothing is left for the next run."""
    often = {CONVERT: 7}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, answer)) as gateway:
        settings = settings_before(write_manifest(models(1, **CONVERTED)), gateway, sandbox)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["ready"], len(sandbox.versions())) == (ExitCode.OK, 1, 1)


async def test_what_does_not_pass_ends_the_run_and_says_who_answers(sandbox, write_manifest, settings_before):
    """Exit 6 once patience is over; every entry is open, and the same command goes on."""
    async with sandbox:
        often = {CONVERT: 999}
        async with gateway_before(sandbox.endpoint, first(often, "403 of a firewall")) as gateway:
            stop = Stop()
            settings = settings_before(write_manifest(models(1, **CONVERTED)), gateway, sandbox, patience=0.0)
            summary = await run(settings, stop=stop)
            assert (summary.exit_code, summary.states["failed"]) == (ExitCode.UNAVAILABLE, 0)
            assert "403 an HTML page: Access denied" in str(stop.error)
            assert "not the registry's answer" in str(stop.error)
        async with gateway_before(sandbox.endpoint, first({}, "404 in text")) as gateway:
            # Where a ledger belongs is the sandbox's id.
            summary = await run(settings_before(Path(settings.manifest), gateway, sandbox))
            assert (summary.exit_code, summary.states["ready"], len(sandbox.versions())) == (ExitCode.OK, 1, 1)


async def test_a_gateway_that_bounds_bodies_is_believed_about_large_ones(sandbox, write_manifest, settings_before):
    """nginx's 413: that file is failed at once, with who says so, and is taken again by the next run; others go on."""
    rows = models(2, **CONVERTED)
    rows[0]["content"] = PICKLE + bytes(2 << 20)
    often = {CONVERT: 1}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, "413 of nginx")) as gateway:
        settings = settings_before(write_manifest(rows), gateway, sandbox, concurrency=1)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.SOME_FAILED, 1)
        failed = rows_of(settings)[0]
        assert failed["cause"] == "refused_413"
        assert "what stands before the registry" in failed["message"]
        assert (await run(settings)).states["ready"] == 2


@pytest.mark.parametrize("answer", ["404 without a body", "404 in text"])
async def test_a_registry_without_logs_is_no_outage(answer, sandbox, write_manifest, settings_before):
    """The verdict counts, and says what is missing."""
    often = {"models/get_upload_logs": 999}
    rows = models(1, **CONVERTED)
    rows[0]["content"] = b"no pickle"
    async with sandbox, gateway_before(sandbox.endpoint, first(often, answer)) as gateway:
        settings = settings_before(write_manifest(rows), gateway, sandbox)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["error"]) == (ExitCode.SOME_FAILED, 1)
        assert "could not be fetched" in rows_of(settings)[0]["logs"]


# Versions that are not found.


async def delete(sandbox: Sandbox, name: str) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.token}"}) as session:
        doomed = {"model_versions": [sandbox.versions(name=name)[0].uuid], "confirm_delete": True}
        await session.post(f"{sandbox.endpoint}/v1/api/models/delete_model_versions", json=doomed)


@pytest.mark.parametrize(
    "answer", ["404 of the registry", "404 in text", "404 without a body", "410 without a body", "422 in text"]
)
async def test_not_found_is_asked_of_the_listing_before_a_version_is_gone(
    answer, sandbox, write_manifest, settings_before
):
    """However long the poll says so, a version that the listing has is not gone, and its state is the listing's."""
    async with sandbox, gateway_before(sandbox.endpoint, first({POLL: 999}, answer)) as gateway:
        settings = settings_before(write_manifest(models(1, **CONVERTED)), gateway, sandbox)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 1)
        assert gateway.asked("models/list_versions_for_model") >= 1


@pytest.mark.parametrize(
    "answer", every(2, ["the registry's", "404 in text", "404 without a body", "410 without a body"])
)
async def test_a_version_that_the_listing_does_not_have_either_is_gone(
    answer, sandbox, write_manifest, settings_before
):
    """Whatever a registry says of an id that it does not have; the others go on."""

    async def decide(call: str) -> web.Response | None:
        return ANSWERS[answer]() if call == POLL and answer in ANSWERS and not sandbox.versions() else None

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        manifest = write_manifest(models(1, **CONVERTED))
        settings = settings_before(manifest, gateway, sandbox)
        await run(settings_before(manifest, gateway, sandbox, wait=False))
        await delete(sandbox, "m0")
        summary = await run(settings)
        assert (summary.exit_code, summary.requests.upload) == (ExitCode.SOME_FAILED, 0)
        assert rows_of(settings)[0]["cause"] == "version_gone"


@pytest.mark.parametrize("status", [403, 404])
async def test_what_a_list_of_all_owners_names_and_nobody_shows_is_anothers(
    status, sandbox, write_manifest, settings_before
):
    """``list_versions`` names models of this name of everybody: one that this account may not see ends no run."""

    async def decide(call: str) -> web.Response | None:
        if call in ("models/list", "models/list_versions_for_model"):
            return ANSWERS["404 of the registry"]()
        if call == "models/list_versions":
            return web.json_response([{"id": 7, "model_id": "m0", "sha": "0" * 64, "file_name": "other.pkl"}])
        if call == POLL and not sandbox.versions():
            return web.json_response({"msg": "not yours", "code": status}, status=status)
        return None

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        summary = await run(settings_before(write_manifest(models(1, **CONVERTED)), gateway, sandbox))
        assert gateway.answered(POLL) >= 1
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 1)


# Which call uploads go by.


def upload_calls(gateway: Gateway) -> list[str]:
    return [call for call, _ in gateway.seen if call in (UPLOAD, CONVERT)]


@pytest.mark.parametrize("answer", every(2, ["404 in text", "404 without a body", "405 page", "404 of the registry"]))
async def test_a_call_that_has_worked_is_there(answer, sandbox, write_manifest, settings_before):
    """One stray answer after the first upload: all others go by models/upload as before, that one once more."""
    seen = 0

    async def decide(call: str) -> web.Response | None:
        nonlocal seen
        seen += call == UPLOAD
        return ANSWERS[answer]() if call == UPLOAD and seen == 2 else None

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        progress = Progress()
        settings = settings_before(write_manifest(models(4)), gateway, sandbox, concurrency=1)
        summary = await run(settings, on_event=progress)
        assert (summary.exit_code, summary.states["ready"], len(sandbox.versions())) == (ExitCode.OK, 4, 4)
        assert upload_calls(gateway) == [UPLOAD] * 5
        assert progress.notices == []


@pytest.mark.parametrize("answer", ["404 in text", "404 without a body", "405 page"])
async def test_a_stray_answer_to_the_very_first_upload_changes_nothing(
    answer, sandbox, write_manifest, settings_before
):
    """A second look shows that the call is there."""
    async with sandbox, gateway_before(sandbox.endpoint, first({UPLOAD: 1}, answer)) as gateway:
        summary = await run(settings_before(write_manifest(models(2)), gateway, sandbox, concurrency=1))
        assert (summary.exit_code, summary.states["ready"], len(sandbox.versions())) == (ExitCode.OK, 2, 2)
        assert CONVERT not in upload_calls(gateway)


@pytest.mark.parametrize("answer", ["404 without a body", "405 without a body"])
async def test_a_registry_without_the_call_is_recognised_by_its_empty_answers(
    answer, sandbox, write_manifest, settings_before
):
    """It goes on saying so while another call is answered well; nothing was stored, so nothing has to settle."""
    async with sandbox, gateway_before(sandbox.endpoint, first({UPLOAD: 999}, answer)) as gateway:
        progress = Progress()
        rows = [row | {"content": ONNX + bytes([number])} for number, row in enumerate(models(3))]
        settings = settings_before(write_manifest(rows), gateway, sandbox, concurrency=1)
        summary = await run(settings, on_event=progress)
        assert (summary.exit_code, summary.states["ready"], summary.requests.upload) == (ExitCode.OK, 3, 4)
        assert upload_calls(gateway)[-3:] == [CONVERT] * 3
        assert "upload_and_convert" in progress.notices[0]


async def test_a_call_that_others_answer_for_is_not_missing(sandbox, write_manifest, settings_before):
    """A gateway's words, for ever: the route stays, the run ends with what answers, and nothing is failed."""
    async with sandbox, gateway_before(sandbox.endpoint, first({UPLOAD: 999}, "404 in text")) as gateway:
        stop = Stop()
        settings = settings_before(write_manifest(models(1)), gateway, sandbox, patience=0.0)
        summary = await run(settings, stop=stop)
        assert (summary.exit_code, summary.states["failed"]) == (ExitCode.UNAVAILABLE, 0)
        assert "default backend - 404" in str(stop.error)
        assert CONVERT not in upload_calls(gateway)


# Before the run.


async def test_once_a_registry_has_answered_its_gateway_is_waited_for(sandbox, write_manifest, settings_before):
    """More answers than a few tries would stand."""
    often = {"workspaces/list": 5}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, "302 to a sign-in page")) as gateway:
        summary = await run(settings_before(write_manifest(models(1)), gateway, sandbox))
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 1)


@pytest.mark.parametrize(
    "answer",
    [
        "302 to a sign-in page", "403 of a firewall", "404 without a body",
        "200 of other JSON", "200 without a body", "403 of other JSON",
    ],
)  # fmt: skip
async def test_a_gateway_in_keycloaks_place_passes(answer, sandbox, write_manifest, settings_before):
    """Before anybody was let in, too: it has refused nobody."""
    often = {"/auth/realms/master/protocol/openid-connect/token": 2}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, answer)) as gateway:
        user = Credentials(username=sandbox.username, password=sandbox.password)
        settings = settings_before(write_manifest(models(1)), gateway, sandbox, credentials=user)
        assert (await run(settings)).exit_code == ExitCode.OK


async def test_where_an_earlier_run_published_a_registry_is_there(sandbox, write_manifest, settings_before):
    """So its gateway is waited for from the first question on."""
    often: dict[str, int] = {}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, "403 of a firewall")) as gateway:
        manifest = write_manifest(models(2))
        assert (await run(settings_before(manifest, gateway, sandbox))).states["ready"] == 2
        often["config"] = gateway.asked("config") + 5
        assert (await run(settings_before(manifest, gateway, sandbox))).exit_code == ExitCode.OK


@pytest.mark.parametrize("strays", [1, 3])
async def test_a_stray_config_makes_no_entry_new(strays, sandbox, write_manifest, settings_before):
    """``default_arch`` says what an entry without ``arch`` is: without it, all of them would be sent again."""
    answers = [{"default_arch": "x86"}] + [{"status": "up"}] * strays

    async def decide(call: str) -> web.Response | None:
        body = answers.pop(0) if len(answers) and call == "config" else {"default_arch": "x86"}
        return web.json_response(body) if call == "config" else None

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        manifest = write_manifest(models(2, arch="x86", **CONVERTED))
        settings = settings_before(manifest, gateway, sandbox, on_existing=OnExisting.UPLOAD)
        for _ in range(2):
            assert (await run(settings)).states["ready"] == 2
        assert (len(sandbox.versions()), len(rows_of(settings))) == (2, 2)
        assert answers == []


@pytest.mark.parametrize(
    ("config", "answer"),
    each_once(["the same", "200 of other JSON"], ["404 in text", "200 sign-in page", "200 of other JSON"]),
)
async def test_what_is_no_registry_is_told_soon(answer, config, sandbox, write_manifest, settings_before, tmp_path):
    """Whoever misspelt the host does not wait for --patience; nothing is made. Any JSON as config is no proof."""

    async def decide(call: str) -> web.Response:
        return ANSWERS[config if call == "config" and config in ANSWERS else answer]()

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        with anyio.fail_after(60), pytest.raises(ForeignAnswer, match="the address of a Wallaroo registry"):
            await publish(settings_before(write_manifest(models(1)), gateway, sandbox))
        assert {call for call, _ in gateway.seen} <= {"config", "workspaces/list"}
    assert not (tmp_path / "ledger.db").exists()


async def test_a_gateway_that_forbids_for_ever_is_not_the_accounts_fault(sandbox, write_manifest, settings_before):
    """Exit 6 with what answers, not exit 5."""
    often = {"workspaces/list": 999}
    async with sandbox, gateway_before(sandbox.endpoint, first(often, "403 of a firewall")) as gateway:
        with pytest.raises(RegistryUnavailable, match="403 an HTML page: Access denied"):
            await run(settings_before(write_manifest(models(1)), gateway, sandbox, patience=0.0))


@pytest.mark.parametrize("status", [500, 400, 409])
async def test_two_jobs_that_make_the_same_workspace_both_publish(status, tmp_path, write_manifest, settings_before):
    """Whoever is second finds it on a second look."""
    sandbox = Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, duplicate_workspace_status=status))

    async def decide(call: str) -> None:
        if call == "workspaces/create":
            # The other job, a moment earlier.
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.token}"}) as session:
                await session.post(f"{sandbox.endpoint}/v1/api/{call}", json={"workspace_name": "fraud"})

    async with sandbox, gateway_before(sandbox.endpoint, decide) as gateway:
        settings = settings_before(
            write_manifest(models(1, workspace="fraud")), gateway, sandbox, create_workspace=True
        )
        summary = await run(settings)
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 1)
        assert rows_of(settings)[0]["workspace_id"] == sandbox.versions()[0].workspace_id
