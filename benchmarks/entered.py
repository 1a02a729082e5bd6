"""How much code one further small entry enters: ``python -m benchmarks.entered [--list]``.

Two runs of ``publish()`` against a sandbox in a process of its own, one with more entries than the other. What the
larger one calls once more for each further entry is what an entry enters; what is called once a run is left out.
Command line, report and sandbox are left out, too. Counts are a sign, not an aim: they tell how far a reader has to go
who follows one entry, and how many calls it pays for.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import bulkload

PACKAGE = str(Path(bulkload.__file__).parent) + os.sep
LEFT_OUT = ("cli", "report", "sandbox", "__init__")
FEW, MANY = 3, 30

# (file, function) -> calls.
Calls = Counter[tuple[str, str]]


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.entered", description=__doc__)
    parser.add_argument("--list", action="store_true", help="every function, with its calls an entry")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder) / "sandbox") as (endpoint, token):
        runs = [counted(Path(folder), endpoint, token, entries) for entries in (1, FEW, MANY)]
    few, many = runs[1:]
    further = {place: (many[place] - few[place]) / (MANY - FEW) for place in many if many[place] - few[place]}
    each = {place: calls for place, calls in further.items() if calls >= 1}
    if asked.list:
        for (file, function), calls in sorted(each.items()):
            print(f"{calls:7.1f}  {file}  {function}")
    print(
        f"one further entry enters {len({file for file, _ in each})} files, {len(each)} functions,"
        f" {sum(further.values()):.0f} calls"
    )
    return 0


@contextmanager
def sandbox(data: Path) -> Iterator[tuple[str, str]]:
    """Endpoint and token of a sandbox that lives as long as the block."""
    words = [
        str(Path(sysconfig.get_path("scripts")) / "bulkload"),
        "sandbox",
        "--time-scale",
        "0.01",
        "--data",
        str(data),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        facts: dict[str, str] = {}
        try:
            for line in process.stdout or ():
                name, _, value = line.partition(" ")
                facts[name] = value.strip()
                if name == "data":
                    break
            yield facts["endpoint"], facts["token"]
        finally:
            process.terminate()


def counted(folder: Path, endpoint: str, token: str, entries: int) -> Calls:
    """What publishing so many models calls."""
    name = f"{entries}.onnx"
    (folder / name).write_bytes(b"\x08\x07" + os.urandom(300))
    manifest = folder / f"{entries}.jsonl"
    rows = [{"name": f"e-{entries}-{n}", "path": name, "workspace": "w", "version": str(n)} for n in range(entries)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = bulkload.Settings(
        manifest=str(manifest),
        endpoint=endpoint,
        ledger=folder / f"{entries}.db",
        create_workspace=True,
        credentials=bulkload.Credentials(token=token),
    )
    calls: Calls = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE) and not file[len(PACKAGE) :].startswith(LEFT_OUT):
            calls[file[len(PACKAGE) :], frame.f_code.co_qualname] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        summary = asyncio.run(bulkload.publish(settings))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    if summary.states["ready"] != entries:
        raise SystemExit(f"{entries} entries were to be ready, but: {summary}")
    return calls


if __name__ == "__main__":
    sys.exit(main())
