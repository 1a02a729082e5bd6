"""A run that ends between the commit and the first byte: nothing can have arrived, so nothing is in doubt."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.settings import Credentials, Settings
from bulkload.core.model.states import State
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.conftest import SettingsFor, WriteManifest

pytestmark = pytest.mark.anyio

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11"
# Each waits seconds for its turn with its seal on disk.
BANDWIDTH = 1_000.0
CONTENT = ONNX + b"\x28\x01" * 2_000
# Whoever settled would not be done in time.
SETTLE = 3600.0


def uploads(sandbox: Sandbox) -> int:
    """How many the registry has seen, in whole or in part."""
    return sum("/models/upload" in record.path for record in sandbox.requests())


async def stopped(settings: Settings, until: Any) -> Any:
    """Publish, and stop at once when something is so."""
    stop, counts = Stop(), Counts()
    found: list[Any] = []

    async def run() -> None:
        found.append(await publish(settings, on_event=counts, stop=stop))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            while not until(counts):  # noqa: ASYNC110 - a fold is asked
                await anyio.sleep(0.005)
            stop.ask(Interrupted(2))
            stop.cut()
    return found[0]


@pytest.mark.parametrize("faults", [(), ("upload:429=60@1",)], ids=["paced", "asked to pause"])
async def test_what_was_sealed_and_never_left_is_planned(
    write_manifest: WriteManifest, settings_for: SettingsFor, tmp_path: Path, faults: tuple[str, ...]
) -> None:
    """Whatever it waits for; the next run sends it at once, and once."""
    manifest = write_manifest([{"name": f"m{number}", "framework": "onnx", "content": CONTENT} for number in range(6)])
    data = SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults)
    async with Sandbox(data) as sandbox:
        settings = settings_for(manifest, sandbox, bandwidth=BANDWIDTH, settle=SETTLE, patience=60.0)
        summary = await stopped(
            settings,
            lambda counts: counts.states[State.UPLOADING] >= 3 and uploads(sandbox) >= len(faults),
        )
        assert summary.exit_code == ExitCode.INTERRUPTED
        # They leave one by one: a busy machine may come to cut the one that was just leaving.
        cut = summary.states[State.UPLOADING] + summary.states[State.IN_DOUBT]
        assert cut <= 1
        assert summary.states[State.PLANNED] >= 3
        # That one alone is in doubt, and settled before it is sent again; where there is none, nobody settles.
        with anyio.fail_after(120):
            again = await publish(settings_for(manifest, sandbox, settle=0.2 if cut else SETTLE))
        assert again.exit_code == ExitCode.OK
        assert len(sandbox.versions()) == 6


async def test_no_token_between_seal_and_first_byte(
    write_manifest: WriteManifest, settings_for: SettingsFor, tmp_path: Path
) -> None:
    """Keycloak is gone just then: the run ends, nothing is in doubt, and the next one sends each once."""
    manifest = write_manifest([{"name": f"m{number}", "framework": "onnx", "content": CONTENT} for number in range(6)])
    # Tokens that must be renewed all the time, and from the second one on are not given out.
    faults = tuple(f"token:503@{number}" for number in range(2, 60))
    data = SandboxSettings(data=tmp_path / "registry", time_scale=0.0, token_seconds=3.0, faults=faults)
    async with Sandbox(data) as sandbox:
        credentials = Credentials(username=sandbox.username, password=sandbox.password)
        settings = settings_for(manifest, sandbox, bandwidth=BANDWIDTH, settle=SETTLE, credentials=credentials)
        with anyio.fail_after(60):
            summary = await publish(settings)
        assert summary.exit_code == ExitCode.UNAVAILABLE
        assert summary.states[State.UPLOADING] == summary.states[State.IN_DOUBT] == 0
        assert summary.states[State.PLANNED] > 0
        with anyio.fail_after(120):
            again = await publish(settings_for(manifest, sandbox, settle=SETTLE))
        assert again.exit_code == ExitCode.OK
        assert len(sandbox.versions()) == 6
