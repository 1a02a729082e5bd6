"""Starts the peers, and sees to it that they do all of their work."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.processes import Ended, Process, environment_of
from benchmarks.server import DiscardingServer
from benchmarks.work import Models

HERE = Path(__file__).parent
# Of the virtual environment that `make conformance` uses too: the SDK pins libraries that bulkload needs newer.
PYTHON = HERE.parents[1] / ".venv-conformance" / "bin" / "python"


def _start(models: Models, *command: str, words: str = "") -> Process:
    folder = models.manifest.parent
    return Process(list(command), folder, environment_of(folder), words=words)


def curl(models: Models, server: DiscardingServer, at_a_time: int) -> Ended:
    """``curl --parallel`` uploads all, then polls all."""
    with _start_curl(models, server, at_a_time) as process:
        ended = process.succeed()
    server.expect(uploads=models.count, file_bytes=models.total_bytes, polls=models.count)
    return ended


def curl_and_digests(models: Models, server: DiscardingServer, at_a_time: int, *digest: str) -> Ended:
    """``curl`` uploads and polls while the digests of the same files are made beside it, as many at a time.

    ``digest``: the command that makes them, of some files. What counts is the end of the slower of both.
    """
    names = "\n".join(file.name for file in models.files)
    # Each process is started once: what it costs to start one is no matter of digests.
    share = str(-(-models.count // at_a_time))
    with ExitStack() as stack:
        uploading = stack.enter_context(_start_curl(models, server, at_a_time))
        digesting = stack.enter_context(
            _start(models, "xargs", "-P", str(at_a_time), "-n", share, *digest, words=names)
        )
        both = uploading.succeed(), digesting.succeed()
    server.expect(uploads=models.count, file_bytes=models.total_bytes, polls=models.count)
    slower = max(both, key=lambda ended: ended.seconds)
    return replace(slower, cpu_seconds=sum(ended.cpu_seconds for ended in both))


def with_requests(models: Models, server: DiscardingServer) -> Ended:
    """The script with ``requests`` and threads."""
    return _run_script("with_requests.py", models, server)


def with_sdk(models: Models, server: DiscardingServer) -> Ended:
    """The script with the vendor's SDK."""
    return _run_script("with_sdk.py", models, server)


def _run_script(name: str, models: Models, server: DiscardingServer) -> Ended:
    folder, certificate = str(models.manifest.parent), server.certificate
    trusted = () if certificate is None else (str(certificate.certificate),)
    with _start(models, str(PYTHON), str(HERE / name), server.endpoint, folder, *trusted) as process:
        ended = process.succeed()
    server.expect(uploads=models.count, file_bytes=models.total_bytes, polls=models.count)
    return ended


def _start_curl(models: Models, server: DiscardingServer, at_a_time: int) -> Process:
    """One process for all uploads and, when they are done, one for all polls: ``curl ... && curl ...``.

    A config file is the only way to give it thousands. It cannot read an id out of an answer, and need not: the
    server's ids are 1, 2, 3 ...
    """
    api = f"{server.endpoint}/v1/api/models"
    trusted = () if server.certificate is None else (f'cacert = "{server.certificate.certificate}"',)
    polls = range(1, models.count + 1)
    transfers = {
        "uploads.curl": [_upload_transfer(file, f"{api}/upload", trusted) for file in models.files],
        "polls.curl": [_poll_transfer(number, f"{api}/get_version_by_id", trusted) for number in polls],
    }
    for name, listed in transfers.items():
        (models.manifest.parent / name).write_text("next\n".join(listed))
    curl = f"curl -sS --no-progress-meter --fail-early --parallel --parallel-max {at_a_time} --config"
    return _start(models, "sh", "-c", " && ".join(f"{curl} {name}" for name in transfers))


def _upload_transfer(file: Path, url: str, trusted: Iterable[str]) -> str:
    conversion = {"framework": "onnx", "python_version": "3.8", "requirements": []}
    metadata = {"name": file.stem, "visibility": "private", "workspace_id": 1, "conversion": conversion}
    part = f"metadata={json.dumps(metadata)};type=application/json"
    return _transfer(
        url, f"form = {json.dumps(part)}", f'form = "file=@{file.name};type=application/octet-stream"', *trusted
    )


def _poll_transfer(version_id: int, url: str, trusted: Iterable[str]) -> str:
    asked = json.dumps({"model_version_id": version_id})
    return _transfer(url, f"data = {json.dumps(asked)}", 'header = "Content-Type: application/json"', *trusted)


def _transfer(url: str, *lines: str) -> str:
    common = (f'url = "{url}"', 'header = "Authorization: Bearer a-token"', 'output = "/dev/null"', "fail")
    return "\n".join((*common, *lines, ""))
