"""One run against a real sandbox in this process: what a lost answer, a refusal or a stop does to entries."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.limits.run_limits import FailureLimit
from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted, NotAuthorised, RegistryUnavailable
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.settings import Credentials, OnExisting, Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.registry import Registry
from bulkload.sandbox import LogRecord, Sandbox, SandboxSettings
from tests.busy import times_slower
from tests.variants import each_once, every

# The smallest ONNX model, up to the value of its model_version: one more byte completes it.
SMALL = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
PICKLE = b"N."  # a whole one; what follows it is not looked at
LARGE = bytes(range(256)) * 4096 * 3 + b"and a bit"
CONTENTS = {"small": SMALL, "large": LARGE}

pytestmark = pytest.mark.anyio


@pytest.fixture
def sandbox_with(tmp_path: Path) -> Any:
    """A sandbox whose conversions take no time, with some faults."""

    def make(*faults: str, **changes: Any) -> Sandbox:
        return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults, **changes))

    return make


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    with LedgerReader(settings.ledger) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


def uploads(sandbox: Sandbox) -> int:
    return sum("/models/upload" in record.path for record in sandbox.requests())


async def run(settings: Settings, registry: Registry | None = None) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings, registry=registry)


def models(content: bytes, count: int = 3) -> list[dict[str, Any]]:
    return [{"name": f"m{number}", "content": content + bytes([number])} for number in range(count)]


@pytest.mark.parametrize(("size", "fault"), each_once(list(CONTENTS), ["lost-answer", "late=0.1", "lost-answer=504"]))
async def test_a_lost_answer_makes_no_second_version(fault, size, sandbox_with, write_manifest, settings_for):
    """The upload landed: it is found by asking, after the settle time, and adopted."""
    async with sandbox_with(f"upload:{fault}@2") as sandbox:
        settings = settings_for(write_manifest(models(CONTENTS[size])), sandbox, settle=0.4)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.OK
        assert summary.states["ready"] == 3
        assert summary.adopted == 1
        assert len(sandbox.versions()) == uploads(sandbox) == 3
        assert sum(row["adopted"] for row in rows_of(settings)) == 1


@pytest.mark.parametrize(
    ("size", "fault"), each_once(list(CONTENTS), ["refuse", "reset", "503", "429=0", "507", "500=memory", "500"])
)
async def test_an_upload_that_was_not_accepted_is_sent_again(fault, size, sandbox_with, write_manifest, settings_for):
    """Each passing failure costs one more request and no second version."""
    async with sandbox_with(f"upload:{fault}@2") as sandbox:
        settings = settings_for(write_manifest(models(CONTENTS[size])), sandbox)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.OK
        assert summary.states["ready"] == len(sandbox.versions()) == 3
        assert uploads(sandbox) == 4
        assert summary.requests.upload == 4


@pytest.mark.parametrize("status", every(3, [400, 403, 405, 409, 413, 415, 422]))
async def test_a_permanent_answer_is_never_repeated(status, sandbox_with, write_manifest, settings_for):
    """One request, state failed, the registry's words in the message; the others go on."""
    schema = {"x": "float32"}
    row = {"framework": "sklearn", "input_schema": schema, "output_schema": schema}
    async with sandbox_with(f"upload:{status}@1") as sandbox:
        settings = settings_for(write_manifest([model | row for model in models(PICKLE)]), sandbox, concurrency=1)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.SOME_FAILED
        assert summary.states["failed"] == 1
        assert summary.states["ready"] == 2
        assert summary.failures[0].cause == f"refused_{status}"
        assert uploads(sandbox) == 3


async def test_a_redirect_is_not_followed(sandbox_with, write_manifest, settings_for):
    """Neither the file nor the token goes anywhere else."""
    async with sandbox_with("upload:307=/elsewhere@1") as sandbox:
        settings = settings_for(write_manifest(models(SMALL, 1)), sandbox)
        summary = await run(settings)
        # It is not the registry's word: the upload is sent again, to the same address.
        assert (summary.states["ready"], uploads(sandbox)) == (1, 2)
        assert not any("elsewhere" in record.path for record in sandbox.requests())


async def test_versions_of_a_model_are_uploaded_in_manifest_order_one_at_a_time(
    sandbox_with, write_manifest, settings_for
):
    """Whatever the concurrency; other models go on beside it."""
    rows = [{"name": "a", "version": str(n), "content": SMALL + bytes([n])} for n in range(5)] + models(SMALL, 5)
    async with sandbox_with("upload:slow=0.02") as sandbox:
        settings = settings_for(write_manifest(rows), sandbox, concurrency=8)
        assert (await run(settings)).states["ready"] == 10
        stored = [version.sha256 for version in sandbox.versions(name="a")]
        assert stored == [row["sha256"] for row in rows_of(settings)[:5]]


async def test_the_same_content_under_another_path_is_skipped_once_it_is_ready(
    sandbox_with, write_manifest, settings_for
):
    """Two files with the same bytes are one content: the second was never sent; its row says whose version it is."""
    same = [{"name": "a", "path": "1.onnx", "content": SMALL}, {"name": "a", "path": "2.onnx", "content": SMALL}]
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(same[:1]), sandbox)
        assert (await run(settings)).states["ready"] == 1
        write_manifest(same)
        summary = await run(settings)
        assert summary.states["ready"] == summary.states["skipped"] == 1
        assert len(sandbox.versions()) == uploads(sandbox) == 1
        assert rows_of(settings)[0]["version_id"] == rows_of(settings)[1]["version_id"]


async def test_the_same_content_under_another_path_is_polled_while_it_converts(tmp_path, write_manifest, settings_for):
    """Nobody says that it is there before the registry does; still one version, sent once."""
    schema = {"x": "float32"}
    row = {"name": "a", "content": b"N.", "framework": "xgboost", "input_schema": schema, "output_schema": schema}
    manifest = write_manifest([row | {"path": "1.pkl"}, row | {"path": "2.pkl"}])
    # Ten seconds of the real registry are one here: the second entry is looked at long before.
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.1)) as sandbox:
        settings = settings_for(manifest, sandbox, poll_interval=PollInterval(0.05, 0.1))
        assert (await run(settings)).states["ready"] == 2
        assert len(sandbox.versions()) == uploads(sandbox) == 1
        assert rows_of(settings)[0]["version_id"] == rows_of(settings)[1]["version_id"]


async def test_the_same_content_with_two_labels_is_two_versions(sandbox_with, write_manifest, settings_for):
    """Because that was asked for."""
    labelled = [{"name": "b", "version": label, "content": SMALL} for label in ("1", "2")]
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(labelled), sandbox)
        assert (await run(settings)).states["ready"] == len(sandbox.versions()) == 2


async def test_a_registry_that_stays_down_ends_the_run_with_6_and_keeps_the_rest(
    sandbox_with, write_manifest, settings_for
):
    """No entry is failed for an outage; the next run publishes all."""
    manifest = write_manifest(models(SMALL, 4))
    async with sandbox_with("upload:429=0") as sandbox:
        settings = settings_for(manifest, sandbox)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.UNAVAILABLE
        assert summary.states["planned"] == 4
        assert sandbox.versions() == []
    async with sandbox_with() as sandbox:
        summary = await run(settings_for(manifest, sandbox))
        assert summary.exit_code == ExitCode.OK
        assert summary.states["ready"] == len(sandbox.versions()) == 4


async def test_a_retry_after_beyond_patience_ends_the_run(sandbox_with, write_manifest, settings_for):
    """The message says when to come back."""
    async with sandbox_with("upload:503=3600") as sandbox:
        stop = Stop()
        summary = await publish(settings_for(write_manifest(models(SMALL, 2)), sandbox), stop=stop)
        assert summary.exit_code == ExitCode.UNAVAILABLE
        assert "3600 s" in str(stop.error)


async def test_a_registry_that_is_down_from_the_start_makes_no_ledger(tmp_path, write_manifest):
    """Exit 6 before anything is made."""
    settings = Settings(
        manifest=str(write_manifest(models(SMALL))),
        endpoint="http://127.0.0.1:9",
        ledger=tmp_path / "ledger.db",
        credentials=Credentials(token="t"),
        workspace="w",
    )
    with pytest.raises(RegistryUnavailable):
        await run(settings)
    assert not settings.ledger.exists()


async def test_a_token_that_runs_out_is_fetched_anew(sandbox_with, write_manifest, settings_for, tmp_path):
    """A token command is asked again after a 401; nothing fails."""
    async with sandbox_with() as sandbox:
        token = tmp_path / "token"
        token.write_text("old")
        command = f"cat {token}; echo {sandbox.token} > {token}"
        settings = settings_for(write_manifest(models(SMALL)), sandbox, credentials=Credentials(token_command=command))
        assert (await run(settings)).states["ready"] == 3


async def test_a_refused_token_ends_the_run_with_5(sandbox_with, write_manifest, settings_for):
    """Nothing is made when it is known from the start."""
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(models(SMALL)), sandbox, credentials=Credentials(token="wrong"))
        with pytest.raises(NotAuthorised):
            await run(settings)
        assert not settings.ledger.exists()


async def test_a_token_refused_in_mid_run_leaves_the_rest_planned(sandbox_with, write_manifest, settings_for):
    """Exit 5; the same command with a good token goes on."""
    async with sandbox_with("upload:401") as sandbox:
        settings = settings_for(write_manifest(models(SMALL)), sandbox)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.NOT_AUTHORISED
        assert summary.states["planned"] == 3


async def test_where_models_upload_does_not_exist_all_goes_by_conversion(sandbox_with, write_manifest, settings_for):
    """--route auto goes on as convert."""
    async with sandbox_with("upload:404@1") as sandbox:
        settings = settings_for(write_manifest(models(SMALL)), sandbox, concurrency=1)
        assert (await run(settings)).states["ready"] == 3
        paths = [record.path.rpartition("/")[2] for record in sandbox.requests() if "/models/upload" in record.path]
        assert paths == ["upload", *["upload_and_convert"] * 3]


async def test_wrong_bytes_in_the_registry_are_never_ready(sandbox_with, write_manifest, settings_for):
    """A version whose digest differs is failed, and says both digests."""
    async with sandbox_with("upload:wrong-digest@1") as sandbox:
        settings = settings_for(write_manifest(models(SMALL)), sandbox, concurrency=1)
        summary = await run(settings)
        assert summary.states["failed"] == 1
        assert summary.states["ready"] == 2
        (failed,) = [row for row in rows_of(settings) if row["state"] == "failed"]
        assert failed["cause"] == "wrong_digest"
        assert failed["sha256"] in failed["message"]
        again = await run(settings_for(Path(settings.manifest), sandbox, retry_failed=True))
        assert again.states["ready"] == 3


async def test_a_registry_without_digests_leaves_unverified(sandbox_with, write_manifest, settings_for):
    """Ready all the same, and the results say what could not be checked."""
    async with sandbox_with("upload:no-digest@1") as sandbox:
        settings = settings_for(write_manifest(models(SMALL, 1)), sandbox)
        assert (await run(settings)).states["ready"] == 1
        assert "unverified" in rows_of(settings)[0]["message"]


@pytest.mark.parametrize("fault", every(2, ["503", "garbage", "html", "half", "refuse", "unknown-status"]))
async def test_a_poll_that_fails_is_asked_again(fault, sandbox_with, write_manifest, settings_for):
    """A status nobody knows is not terminal; a broken answer is none."""
    async with sandbox_with(f"poll:{fault}*2") as sandbox:
        interval = PollInterval(0.02, 0.05)
        settings = settings_for(write_manifest(models(SMALL, 2)), sandbox, poll_interval=interval)
        summary = await run(settings)
        assert summary.states["ready"] == 2
        assert summary.requests.poll >= 3


async def when(happened: Callable[[], bool], act: Callable[[], object]) -> None:
    """Do something as soon as a display would see that something happened; displays are told nothing, they look."""
    while not happened():  # noqa: ASYNC110
        await anyio.sleep(0.001)
    act()


async def test_a_file_that_changes_between_check_and_send_is_sent_as_it_is_now(
    sandbox_with, write_manifest, settings_for, tmp_path
):
    """What is published is what lies there when it is read."""
    manifest, counts, edited = write_manifest(models(SMALL, 2)), Counts(), SMALL + b"edited meanwhile"
    async with sandbox_with("upload:slow=0.3@1") as sandbox:
        settings = settings_for(manifest, sandbox, concurrency=1)
        async with anyio.create_task_group() as group:
            # The first upload is under way and slow: the second file was not read yet.
            edit = partial((tmp_path / "m1-0.onnx").write_bytes, edited)
            group.start_soon(when, lambda: counts.bytes_sent > 0, edit)
            summary = await publish(settings, on_event=counts)
        assert summary.states["ready"] == 2
        assert [version.size for version in sandbox.versions(name="m1")] == [len(edited)]
        assert rows_of(settings)[1]["sha256"] == hashlib.sha256(edited).hexdigest()


async def test_a_file_that_vanished_is_failed_and_the_rest_goes_on(
    sandbox_with, write_manifest, settings_for, tmp_path
):
    """The next run takes it again."""
    manifest, counts = write_manifest(models(SMALL, 3)), Counts()
    async with sandbox_with("upload:slow=0.3@1") as sandbox:
        settings = settings_for(manifest, sandbox, concurrency=1)
        async with anyio.create_task_group() as group:
            group.start_soon(when, lambda: counts.bytes_sent > 0, (tmp_path / "m2-0.onnx").unlink)
            await publish(settings, on_event=counts)
        assert [row["state"] for row in rows_of(settings)] == ["ready", "ready", "failed"]
        assert rows_of(settings)[2]["cause"] == "unreadable"
        write_manifest(models(SMALL, 3))
        assert (await run(settings)).states["ready"] == len(sandbox.versions()) == 3


async def test_a_stop_takes_nothing_new_and_finishes_what_is_under_way(sandbox_with, write_manifest, settings_for):
    """The first signal: exit 130, no entry lost or doubled, and the next run does the rest."""
    manifest = write_manifest(models(SMALL, 20))
    async with sandbox_with("upload:slow=0.05") as sandbox:
        stop, counts = Stop(), Counts()
        settings = settings_for(manifest, sandbox, concurrency=2)

        def three_are_there() -> bool:
            return counts.states[State.READY] + counts.states[State.UPLOADED] >= 3

        async with anyio.create_task_group() as group:
            group.start_soon(when, three_are_there, partial(stop.ask, Interrupted(2)))
            summary = await publish(settings, on_event=counts, stop=stop)
        assert summary.exit_code == ExitCode.INTERRUPTED
        assert summary.states["planned"] >= 10
        assert summary.states["uploading"] == summary.states["in_doubt"] == 0
        sandbox.end_waits()
        assert (await run(settings)).states["ready"] == len(sandbox.versions()) == 20


async def test_a_second_stop_cuts_at_once(sandbox_with, write_manifest, settings_for):
    """An upload whose answer does not come is left to the next run, which finds it."""
    manifest = write_manifest(models(SMALL, 1))
    async with sandbox_with("upload:stall@1") as sandbox:
        stop, counts = Stop(), Counts()
        settings = settings_for(manifest, sandbox)

        def twice() -> None:
            stop.ask(Interrupted(15))
            stop.cut()

        async with anyio.create_task_group() as group:
            group.start_soon(when, lambda: counts.states[State.UPLOADING] > 0 and counts.bytes_sent > 0, twice)
            with anyio.fail_after(9):  # within the grace time
                summary = await publish(settings, on_event=counts, stop=stop)
        assert summary.exit_code == ExitCode.TERMINATED
        assert summary.states["uploading"] == 1
        sandbox.end_waits()
        assert (await run(settings)).states["ready"] == len(sandbox.versions()) == 1


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_an_upload_that_lands_after_the_settle_time_is_reported(
    content, sandbox_with, write_manifest, settings_for
):
    """It cannot be prevented, so it is said: duplicates in the summary, exit 3, both ids in the message."""
    # Settled after 0.05 s, landed after 1 s, sent again after 2 s: the pace keeps these apart.
    async with sandbox_with("upload:late=1@1") as sandbox:
        settings = settings_for(write_manifest(models(content, 1)), sandbox, settle=0.05, upload_rate=0.5)
        summary = await run(settings)
        assert len(sandbox.versions()) == 2
        assert summary.duplicates == 1
        assert summary.exit_code == ExitCode.SOME_FAILED
        assert "published more than once" in rows_of(settings)[0]["message"]


async def test_retry_failed_publishes_an_error_entry_anew(sandbox_with, write_manifest, settings_for, tmp_path):
    """Otherwise what ended in error stays, and nothing is sent."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("requirements.txt", "numpy")
        archive.writestr("code.py", "x = 1")
    schema = {"x": "float32"}
    row = {"name": "c", "path": "c.zip", "framework": "custom", "input_schema": schema, "output_schema": schema}
    async with sandbox_with() as sandbox:
        interval = PollInterval(0.01, 0.02)
        settings = settings_for(write_manifest([row]), sandbox, poll_interval=interval)
        assert (await run(settings)).states["error"] == 1
        assert (await run(settings)).requests.upload == 0
        again = await run(settings_for(Path(settings.manifest), sandbox, retry_failed=True, poll_interval=interval))
        assert again.requests.upload == 1
        assert len(sandbox.versions()) == 2
        assert rows_of(settings)[0]["version_id"] == sandbox.versions()[-1].id


async def test_max_failures_stops_the_run_and_the_rest_stays_planned(sandbox_with, write_manifest, settings_for):
    """Exit 7, the cause in the message; nothing new is begun."""
    async with sandbox_with("upload:400") as sandbox:
        stop = Stop()
        limit = FailureLimit(count=2)
        settings = settings_for(write_manifest(models(SMALL, 30)), sandbox, concurrency=1, max_failures=limit)
        summary = await publish(settings, stop=stop)
        assert summary.exit_code == ExitCode.TOO_MANY_FAILURES
        assert "3 of 3 entries failed, --max-failures is 2" in str(stop.error)
        assert summary.states["failed"] == uploads(sandbox) == 3
        assert summary.states["planned"] == 27


async def test_ten_refusals_for_one_reason_stop_the_run(sandbox_with, write_manifest, settings_for):
    """By itself: exit 7, the reason in the message, the rest stays planned."""
    async with sandbox_with("upload:422") as sandbox:
        stop = Stop()
        summary = await publish(settings_for(write_manifest(models(SMALL, 30)), sandbox, concurrency=1), stop=stop)
        assert summary.exit_code == ExitCode.TOO_MANY_FAILURES
        assert "the last 10 failed for one reason (refused_422" in str(stop.error)
        assert summary.states["failed"] == uploads(sandbox) == 10
        assert summary.states["planned"] == 20


async def test_ten_conversions_that_fail_for_one_reason_stop_the_run(sandbox_with, write_manifest, settings_for):
    """By itself: exit 7, the registry's own reason in the message, the rest stays planned."""
    schema = {"x": "float32"}
    broken = {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
    rows = [{"name": f"b{number}", "content": b"no pickle %d" % number, **broken} for number in range(30)]
    async with sandbox_with() as sandbox:
        stop = Stop()
        interval = PollInterval(0.02, 0.1)
        settings = settings_for(write_manifest(rows), sandbox, max_converting=2, poll_interval=interval)
        summary = await publish(settings, stop=stop)
        assert summary.exit_code == ExitCode.TOO_MANY_FAILURES
        assert "the last 10 failed for one reason (conversion_error" in str(stop.error)
        assert 10 <= summary.states["error"] <= 12
        assert summary.states["planned"] >= 16


async def test_refusals_with_successes_between_them_do_not(sandbox_with, write_manifest, settings_for):
    """Every second upload is refused: all the others are published."""
    faults = [f"upload:422@{number}" for number in range(1, 31, 2)]
    async with sandbox_with(*faults) as sandbox:
        summary = await run(settings_for(write_manifest(models(SMALL, 30)), sandbox, concurrency=1))
        assert (summary.states["failed"], summary.states["ready"]) == (15, 15)


async def test_a_time_window_begins_nothing_that_would_not_end_in_it(sandbox_with, write_manifest, settings_for):
    """Exit 10: what was begun is published, the rest stays planned, and the next run publishes it."""
    async with sandbox_with("upload:slow=0.2") as sandbox:
        settings = settings_for(write_manifest(models(SMALL, 12)), sandbox, concurrency=1, max_duration=1.2)
        summary = await run(settings)
        assert summary.exit_code == ExitCode.WINDOW_ENDED
        # On a busy machine the window may end before the last one was judged.
        assert 0 < summary.states["ready"] + summary.states["uploaded"] == uploads(sandbox) < 7
        assert summary.states["planned"] == 12 - summary.states["ready"]
        # Nothing was cut.
        assert summary.elapsed_seconds < 2 * times_slower()
        assert (await run(settings_for(Path(settings.manifest), sandbox))).states["ready"] == 12


async def test_a_time_window_ends_the_wait_as_well(tmp_path, write_manifest, settings_for):
    """Versions that still convert are left to the next run."""
    schema = {"x": "float32"}
    rows = [{"name": "s", "content": b"N.", "framework": "xgboost", "input_schema": schema, "output_schema": schema}]
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=100.0)) as sandbox:
        summary = await run(settings_for(write_manifest(rows), sandbox, max_duration=0.5))
        assert summary.exit_code == ExitCode.WINDOW_ENDED
        assert summary.states["uploaded"] == 1


async def test_max_converting_is_never_exceeded(tmp_path, write_manifest, settings_for):
    """The registry's own times say how many versions were converting at once; models that are ready at once pass."""
    schema = {"x": "float32"}
    slow = {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
    rows = [{"name": f"s{n}", "content": b"N." + bytes([n]), **slow} for n in range(9)] + models(SMALL, 3)
    data = tmp_path / "registry"
    async with Sandbox(SandboxSettings(data=data, time_scale=0.01, converters=2)) as sandbox:
        interval = PollInterval(0.02, 0.05)
        settings = settings_for(write_manifest(rows), sandbox, max_converting=3, poll_interval=interval)
        assert (await run(settings)).states["ready"] == 12
        log = sandbox.requests()
        converting, most = set[int](), 0
        for record in log:
            if "upload_and_convert" in record.path and record.version_id is not None:
                converting.add(record.version_id)
                most = max(most, len(converting))
            elif record.version_id in converting and is_last_poll(record, log):
                converting.discard(record.version_id)
        assert most <= 3


def is_last_poll(record: LogRecord, log: list[LogRecord]) -> bool:
    def polls(other: LogRecord) -> bool:
        return other.version_id == record.version_id and "get_version_by_id" in other.path

    return polls(record) and not any(later.seq > record.seq and polls(later) for later in log)


async def test_an_entry_that_left_the_manifest_is_reconciled_and_never_sent(sandbox_with, write_manifest, settings_for):
    """What was in doubt about it is settled; an upload that never landed is not sent again."""
    rows = models(SMALL, 2)
    async with sandbox_with("upload:500@1") as sandbox:
        stop, counts = Stop(), Counts()
        settings = settings_for(write_manifest(rows), sandbox, concurrency=1, settle=30)
        async with anyio.create_task_group() as group:
            in_doubt = partial(counts.states.__getitem__, State.IN_DOUBT)
            group.start_soon(when, lambda: in_doubt() > 0, partial(stop.ask, Interrupted(15)))
            await publish(settings, on_event=counts, stop=stop)
        (left,) = [row for row in rows_of(settings) if row["state"] == "in_doubt"]
        kept = settings_for(write_manifest([row for row in rows if row["name"] != left["name"]]), sandbox)
        for _ in range(2):
            summary = await run(kept)
            assert summary.exit_code == ExitCode.OK
            assert summary.entries == summary.states["ready"] == 1
        assert sandbox.versions(name=left["name"]) == []
        assert uploads(sandbox) == 2


async def test_the_fence_holds_on_a_registry_that_lists_by_name_only(sandbox_with, write_manifest, settings_for):
    """An equal version was there before: the one that is adopted after a lost answer is the new one."""

    class ListsByName(Registry):
        async def list_versions_for_model(self, *_: object) -> list[RegistryVersion]:
            raise CallFailed(Failure(call="list_versions_for_model", kind=FailureKind.STATUS, status=404, message=""))

    manifest = write_manifest(models(SMALL, 1))
    async with sandbox_with("upload:lost-answer@2") as sandbox:
        assert (await run(settings_for(manifest, sandbox))).states["ready"] == 1
        settings = settings_for(manifest, sandbox, ledger=manifest.with_name("2.db"), on_existing=OnExisting.UPLOAD)
        summary = await run(settings, ListsByName(sandbox.endpoint, settings.credentials))
        assert summary.adopted == 1
        old, new = sandbox.versions()
        assert rows_of(settings)[0]["version_id"] == new.id != old.id


async def test_a_version_that_succeeds_after_a_later_one_says_out_of_order(
    sandbox_with, write_manifest, settings_for, tmp_path
):
    """An earlier version that failed holds back no later one; when it comes after all, its message says so."""
    rows = [{"name": "a", "version": str(n), "content": SMALL + bytes([n])} for n in range(3)]
    wrong = rows[0] | {"sha256": "0" * 64}
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest([wrong, *rows[1:]]), sandbox)
        first = await run(settings)
        assert first.states["failed"] == 1
        assert first.states["ready"] == 2
        write_manifest(rows)
        assert (await run(settings)).states["ready"] == 3
        messages = [row["message"] for row in rows_of(settings)]
        assert "out of order" in messages[0]
        assert messages[1:] == [None, None]
