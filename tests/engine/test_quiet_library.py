"""A library prints nothing by itself: its events go where the program that uses it sends them."""

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


@contextmanager
def own_logging() -> Iterator[None]:
    """As in a program that has configured nothing yet: what pytest and other tests have done is undone meanwhile."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    structlog.reset_defaults()
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def publish(tmp_path: Path, write_manifest, settings_for) -> Any:
    """Publishes a model, and one that is refused, which is a warning."""

    async def run() -> bulkload.RunSummary:
        manifest = write_manifest([{"name": "a", "content": ONNX}, {"name": "b", "content": ONNX, "sha256": "0" * 64}])
        async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
            with anyio.fail_after(60):
                return await bulkload.publish(settings_for(manifest, sandbox))

    return run


async def test_a_program_that_configures_nothing_sees_nothing(publish, capfd):
    """Neither on standard output nor on standard error."""
    with own_logging():
        assert (await publish()).exit_code == bulkload.ExitCode.SOME_FAILED
    assert capfd.readouterr() == ("", "")


async def test_a_program_that_configures_logging_gets_events(publish):
    """On the logger of this package, with their fields."""
    records: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    with own_logging():
        logging.basicConfig(level=logging.INFO, handlers=[Kept()])
        summary = await publish()
    ours = [record for record in records if record.name == "bulkload"]
    (started,) = [record for record in ours if record.getMessage().startswith("run_started ")]
    assert f"run_id={summary.run_id!r}" in started.getMessage()
    (failed,) = [record for record in ours if record.levelno == logging.WARNING]
    assert failed.getMessage().startswith("failed entry='b' cause='wrong_digest'")


async def test_a_level_keeps_events_away(publish):
    """As in every other library."""
    messages: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    with own_logging():
        logging.basicConfig(level=logging.WARNING, handlers=[Kept()])
        await publish()
    assert [message.split()[0] for message in messages] == ["failed"]


async def test_a_program_that_configures_structlog_gets_events(publish, capfd):
    """By its own processors."""
    events: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    with own_logging():
        structlog.configure(processors=[keep])
        await publish()
    assert {"run_started", "uploaded", "failed", "run_ended"} <= {event["event"] for event in events}
    assert capfd.readouterr() == ("", "")
