"""What a run would do, foreseen: it ends when it is to stop, wherever it is."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.errors import Interrupted
from bulkload.core.model.events import Advanced, Event, PhaseBegan
from bulkload.engine.plan import ENTRIES_A_PAGE, Step, foresee
from bulkload.engine.stop import Stop
from bulkload.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.anyio

# The smallest ONNX model.
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"


async def test_a_stop_ends_the_comparing(write_manifest: Any, settings_for: Any, tmp_path: Path) -> None:
    """Also where the ledger alone is asked about entry after entry, which waits for nothing that can be given up."""
    (tmp_path / "model.onnx").write_bytes(ONNX)
    entries = ENTRIES_A_PAGE * 3
    manifest = write_manifest([{"name": f"m{number}", "path": "model.onnx"} for number in range(entries)])
    stop, steps, phases = Stop(), list[Step](), list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, PhaseBegan):
            phases.append(event.phase)
        elif isinstance(event, Advanced) and phases[-1] == "comparing":
            stop.ask(Interrupted(2))

    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings = settings_for(manifest, sandbox)
        with anyio.fail_after(60), pytest.raises(Interrupted):
            await foresee(settings, offline=False, stop=stop, on_event=listen, tell=steps.append)
    assert len(steps) == ENTRIES_A_PAGE
