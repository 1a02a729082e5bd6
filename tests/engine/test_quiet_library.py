"""A library prints and logs nothing by itself: whoever wants a log asks for one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

import bulkload
from bulkload.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.anyio

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"


class Kept(logging.Handler):
    """Keeps what is logged, whoever logs it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def own_logging(*handlers: logging.Handler, level: int = logging.DEBUG) -> Iterator[None]:
    """As in a program with these handlers: what pytest and other tests have done is undone meanwhile."""
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before
        root.setLevel(level_before)


@pytest.fixture
def publish(tmp_path: Path, write_manifest, settings_for) -> Any:
    """Publishes a model, and one that is refused, which is a warning; a call fails meanwhile."""

    async def run(**others: Any) -> bulkload.RunSummary:
        manifest = write_manifest([{"name": "a", "content": ONNX}, {"name": "b", "content": ONNX, "sha256": "0" * 64}])
        faults = ("upload:429=0@1",)
        async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults)) as sandbox:
            with anyio.fail_after(60):
                summary = await bulkload.publish(settings_for(manifest, sandbox), **others)
        assert (summary.exit_code, summary.retries) == (bulkload.ExitCode.SOME_FAILED, 1)
        return summary

    return run


def of_bulkload(records: list[logging.LogRecord]) -> list[logging.LogRecord]:
    """The event loop logs, too: that it is slow, for example."""
    return [record for record in records if record.name.startswith("bulkload")]


@pytest.mark.parametrize("structlog_is_configured", [False, True])
async def test_a_program_that_asks_for_nothing_sees_nothing(publish, capfd, *, structlog_is_configured: bool):
    """Neither on a stream nor on a logger, whatever the program has configured."""
    kept, events = Kept(), []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(event)
        raise structlog.DropEvent

    with own_logging(kept):
        if structlog_is_configured:
            structlog.configure(processors=[keep])
        await publish()
    assert of_bulkload(kept.records) == events == []
    assert capfd.readouterr() == ("", "")


async def test_a_program_that_configures_nothing_sees_nothing(publish, capfd):
    """No handler of the standard library's own prints warnings either."""
    with own_logging():
        await publish()
    assert capfd.readouterr() == ("", "")


async def test_a_log_goes_to_the_standard_librarys_logger(publish, capfd):
    """That of this package, with the events' fields."""
    kept = Kept()
    with own_logging(kept):
        summary = await publish(on_event=bulkload.log_events)
    ours = of_bulkload(kept.records)
    (started,) = [record for record in ours if record.getMessage().startswith("run_started ")]
    assert f"run_id={summary.run_id!r}" in started.getMessage()
    assert started.fields["run_id"] == summary.run_id  # type: ignore[attr-defined]
    (failed,) = [record for record in ours if record.levelno == logging.WARNING]
    assert failed.getMessage().startswith("failed entry='b' cause='wrong_digest'")
    assert capfd.readouterr() == ("", "")


async def test_a_level_keeps_lines_away(publish):
    """As in every other library."""
    kept = Kept()
    with own_logging(kept, level=logging.WARNING):
        await publish(on_event=bulkload.log_events)
    assert [record.getMessage().split()[0] for record in of_bulkload(kept.records)] == ["failed"]


async def test_a_log_goes_to_structlog_where_that_is_configured(publish, capfd):
    """By the program's own processors."""
    kept: Kept = Kept()
    events: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    with own_logging(kept):
        structlog.configure(processors=[keep])
        await publish(on_event=bulkload.log_events)
    assert {"run_started", "retry", "uploaded", "failed", "run_ended"} <= {event["event"] for event in events}
    assert of_bulkload(kept.records) == []
    assert capfd.readouterr() == ("", "")
