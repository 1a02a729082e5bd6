"""Writes the ledgers of schema 1 beside this: PYTHONPATH=A_CHECKOUT_OF_1111c1a python make_schema_1.py [KIND FOLDER].

The code of commit 1111c1a (bulkload 0.1.0) makes them: a run that was killed before anything was sent (``fresh``), one
that was killed with its third answer in hand (``killed``), and one that ended (``finished``), which found two of its
models there. They are kept as SQL, with what SQLite held of the files of that time.
"""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KINDS = ("fresh", "killed", "finished")
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
# Name -> how many bytes stand behind the model: the large one is sent in pieces, and its digest is remembered.
MODELS = {"a": 1, "b": 2, "c": 3_000_000, "d": 4, "e": 5}
PUBLISHED_BEFORE = ("a", "c")


def write(folder: Path, names: tuple[str, ...] = tuple(MODELS)) -> Path:
    """A manifest of these models, with their files."""
    for name in names:
        (folder / f"{name}.onnx").write_bytes(ONNX + b"\x00" * MODELS[name])
    manifest = folder / "models.jsonl"
    rows = [{"name": name, "path": f"{name}.onnx", "framework": "onnx"} for name in names]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def kill_at(store: Any, method: str, number: int, counts: Callable[..., bool] = lambda *_: True) -> None:
    """End this process at the call of a method of the ledger."""
    real, calls = getattr(store, method), []

    def called(*words: Any) -> Any:
        if counts(*words):
            calls.append(words)
        if len(calls) == number:
            os._exit(9)
        return real(*words)

    setattr(store, method, called)


async def run(kind: str, folder: Path) -> None:
    """Make one ledger, folder/ledger.db."""
    from bulkload.ledger.store import Store  # type: ignore

    from bulkload import Credentials, Sandbox, SandboxSettings, Settings, publish

    async with Sandbox(SandboxSettings(data=folder / "registry", time_scale=0.0)) as sandbox:
        values: dict[str, Any] = {
            "endpoint": sandbox.endpoint, "credentials": Credentials(token=sandbox.token), "default_workspace": True,
            "concurrency": 1,
        }  # fmt: skip
        if kind == "finished":
            await publish(Settings(manifest=str(write(folder, PUBLISHED_BEFORE)), ledger=folder / "other.db", **values))
        elif kind == "fresh":
            kill_at(Store, "intend", 1)
        else:
            kill_at(Store, "move", 3, lambda _self, _id, _after, outcome: bool(outcome.owned))
        await publish(Settings(manifest=str(write(folder)), ledger=folder / "ledger.db", **values))


def main() -> None:
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, kind, folder], check=False)
            with closing(sqlite3.connect(Path(folder) / "ledger.db")) as ledger:
                (HERE / f"schema_1_{kind}.sql").write_text("\n".join(ledger.iterdump()) + "\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
    else:
        main()
