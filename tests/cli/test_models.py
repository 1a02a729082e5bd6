"""``bulkload models`` as its users call it: tables for people, one JSON object a line for programs."""

import fcntl
import hashlib
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.contract.schemas import parse_type
from bulkload.report.models import log_text, printable, show_age
from bulkload.report.schemas import type_text
from bulkload.sandbox import read_request_log, stored_versions
from tests.conftest import SandboxProcess, clean_environment, homes, manifest_in, sandboxes
from tests.variants import every
from tests.warm_start import WarmStart

ONNX = b"\x08\x07\x12\x04demo" + bytes(range(200))
SCHEMAS = {
    "input_schema": {"inputs": "float32[32][3]", "words": "list<string>"},
    "output_schema": {"score": "float64"},
}
ROWS: list[dict[str, Any]] = [
    {"name": "ccfraud", "version": "1", "content": ONNX, "workspace": "fraud"},
    {"name": "ccfraud", "version": "2", "content": ONNX + b"2", "workspace": "fraud"},
    {"name": "ccfraud", "version": "3", "content": ONNX + b"3", "workspace": "elsewhere", "visibility": "public"},
    {"name": "churn", "path": "c.zip", "framework": "custom", "workspace": "fraud", "arch": "x86", **SCHEMAS},
]


@pytest.fixture(scope="module")
def filled(warm: WarmStart, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A registry with ccfraud in two workspaces, and a churn that ended in error. It is only looked at."""
    folder = tmp_path_factory.mktemp("filled")
    with zipfile.ZipFile(folder / "c.zip", "w") as archive:
        archive.writestr("requirements.txt", "numpy\n")
        archive.writestr("code.py", "x = 1\n")
    manifest = manifest_in(folder, ROWS)
    with sandboxes(warm, folder / "registry") as start:
        sandbox = start("--time-scale", "0")
        words = ["run", str(manifest), "--create-workspace"]
        environment = clean_environment() | homes(folder) | sandbox.environment
        result = warm.run(words, cwd=folder, env=environment, stdin="", timeout=60)
        assert result.returncode == 3, result.stderr
        yield sandbox


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def ids(sandbox: SandboxProcess, name: str, workspace_id: int | None = None) -> list[int]:
    return [version.id for version in stored_versions(sandbox.data, name=name, workspace_id=workspace_id)]


def on_terminal(folder: Path, columns: int, environment: dict[str, str], *words: str) -> str:
    """What a command writes to the standard output of a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "bulkload", *words]
    plain = clean_environment() | environment | {"TERM": "xterm", "NO_COLOR": "1"}
    for name in ("COLUMNS", "LINES"):
        plain.pop(name, None)
    with subprocess.Popen(
        command, cwd=folder, env=plain, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
    ) as child:
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 65_536):
                output += piece
        except OSError:
            # So a terminal says that nobody writes to it any more.
            pass
        os.close(ours)
    assert child.returncode == 0
    return "\n".join(printable(line).rstrip() for line in output.decode().splitlines())


def test_list_has_one_line_a_model_with_its_newest_version(filled, bulkload):
    """Of all workspaces; --json prints exactly the documented keys."""
    result = bulkload("models", "list", "--json", env=filled.environment)
    assert result.returncode == 0, result.stderr
    rows = {(row["workspace"], row["name"]): row for row in objects(result.stdout)}
    assert set(rows) == {("fraud", "ccfraud"), ("fraud", "churn"), ("elsewhere", "ccfraud")}
    row = rows["fraud", "ccfraud"]
    assert list(row) == [
        "name", "workspace_id", "workspace", "versions", "version_id", "status", "framework", "size", "created_at",
    ]  # fmt: skip
    assert row["versions"] == 2
    assert row["version_id"] == max(ids(filled, "ccfraud", row["workspace_id"]))
    assert (row["status"], row["framework"], row["size"]) == ("ready", "onnx", len(ONNX) + 1)
    assert row["created_at"].endswith("Z")
    assert rows["fraud", "churn"]["status"] == "error"


def test_a_table_in_a_pipe_has_whole_lines(filled, bulkload):
    """Nothing is cut, and nothing but text is written."""
    result = bulkload("models", "list", env=filled.environment)
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["name", "workspace", "versions", "newest", "status", "framework", "size", "created"]
    assert [row.split()[:3] for row in rows] == [
        ["ccfraud", "elsewhere", "1"], ["ccfraud", "fraud", "2"], ["churn", "fraud", "1"],
    ]  # fmt: skip
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout


@pytest.mark.parametrize("columns", every(2, [80, 60]))
def test_a_table_on_a_terminal_fits_it(columns, bulkload, start_sandbox, write_manifest, tmp_path):
    """Ids stay whole and so do names, if need be on several lines; what is also said elsewhere gives way."""
    sandbox = start_sandbox("--time-scale", "0")
    names = ["n" * 63, "small"]
    place = {"workspace": "a workspace with a long name, as the default ones have"}
    rows = [{"name": name, "content": ONNX + name.encode(), **place} for name in names]
    rows.append({"name": "small", "version": "2", "content": ONNX, "workspace": "fraud"})
    published = bulkload("run", write_manifest(rows), "--create-workspace", env=sandbox.environment)
    assert published.returncode == 0, published.stderr
    shown = on_terminal(tmp_path, columns, sandbox.environment, "models", "list")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    heading = lines[0].split()
    assert {"name", "newest", "status", "age"} <= set(heading)
    assert "".join(line.split()[0] for line in lines if line.startswith("n")).startswith("name" + "n" * 63)
    for version in stored_versions(sandbox.data):
        assert str(version.id) in shown.split()


def test_a_wide_terminal_shows_everything(filled, tmp_path):
    """Only a column that says the same everywhere is left out."""
    shown = on_terminal(tmp_path, 200, filled.environment, "models", "list")
    heading = shown.splitlines()[0].split()
    assert heading == ["name", "workspace", "versions", "newest", "status", "framework", "size", "age"]
    only = on_terminal(tmp_path, 200, filled.environment, "models", "list", "--workspace", "fraud")
    assert "workspace" not in only.splitlines()[0].split()


def test_a_workspace_is_named_by_its_id_or_its_name(filled, bulkload):
    """One that is not there is a usage error that says what was meant."""
    by_name = bulkload("models", "list", "--workspace", "elsewhere", "--json", env=filled.environment)
    (row,) = objects(by_name.stdout)
    by_id = bulkload("models", "list", "--workspace", row["workspace_id"], "--json", env=filled.environment)
    assert objects(by_id.stdout) == [row]
    wrong = bulkload("models", "list", "--workspace", "elswhere", env=filled.environment)
    assert wrong.returncode == 2
    assert wrong.stderr == "bulkload: workspace 'elswhere' does not exist; did you mean 'elsewhere'?\n"
    nothing_like_it = bulkload("models", "versions", "ccfraud", "--workspace", "9", env=filled.environment)
    assert nothing_like_it.returncode == 2
    assert f"{row['workspace_id']} 'elsewhere'" in nothing_like_it.stderr


def test_what_is_empty_is_said_on_standard_error(bulkload, start_sandbox):
    """And is no failure."""
    sandbox = start_sandbox()
    for words, note in (
        (("list",), "no models in the 1 workspace that this account sees"),
        (("list", "--workspace", "108"), "no models in workspace 'user@example.com - Default Workspace'"),
        (("versions", "nothing"), "there is no model 'nothing'; `bulkload models list` shows all"),
    ):
        result = bulkload("models", *words, env=sandbox.environment)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", note + "\n")


def test_versions_are_those_of_the_name_newest_first(filled, bulkload):
    """In all workspaces, or in one; --json has whole digests."""
    result = bulkload("models", "versions", "ccfraud", "--json", env=filled.environment)
    rows = objects(result.stdout)
    assert [row["version_id"] for row in rows] == sorted(ids(filled, "ccfraud"), reverse=True)
    assert {row["name"] for row in rows} == {"ccfraud"}
    assert {row["sha256"] for row in rows} == {hashlib.sha256(ONNX + end).hexdigest() for end in (b"", b"2", b"3")}
    assert {row["visibility"] for row in rows if row["workspace"] == "elsewhere"} == {"public"}
    one = bulkload("models", "versions", "ccfraud", "--workspace", "fraud", "--json", env=filled.environment)
    assert objects(one.stdout) == [row for row in rows if row["workspace"] == "fraud"]
    table = bulkload("models", "versions", "churn", env=filled.environment).stdout.splitlines()
    (version,) = stored_versions(filled.data, name="churn")
    assert table[1].split()[:5] == [str(version.id), "fraud", "error", "custom", "x86"]
    assert version.sha256[:8] in table[1]
    assert version.sha256 not in table[1]


def calls_of(sandbox: SandboxProcess, after: int) -> list[str]:
    records = read_request_log(sandbox.data / "requests.jsonl")[after:]
    return [record.path.rpartition("/")[2] for record in records]


def test_versions_cost_as_many_requests_as_there_are_workspaces_with_them(filled, bulkload):
    """Not as many as there are versions: a model that is published every night has hundreds."""
    before = len(read_request_log(filled.data / "requests.jsonl"))
    bulkload("models", "versions", "ccfraud", env=filled.environment)
    asked = calls_of(filled, before)
    assert asked.count("list_versions") == 1
    assert asked.count("get_version_by_id") == asked.count("list_versions_for_model") == 2


def test_looking_changes_nothing(filled, bulkload, tmp_path):
    """Only calls that read are made, and no file."""
    before, files = len(read_request_log(filled.data / "requests.jsonl")), sorted(tmp_path.iterdir())
    version = str(ids(filled, "churn")[0])
    for words in (("list",), ("versions", "churn"), ("show", version), ("config", version), ("logs", version)):
        assert bulkload("models", *words, env=filled.environment).returncode == 0
    assert set(calls_of(filled, before)) <= {
        "list", "list_versions", "list_versions_for_model", "get_version_by_id", "get_config_by_id", "get_upload_logs",
    }  # fmt: skip
    assert sorted(tmp_path.iterdir()) == files


def test_show_says_everything_with_schemas_as_a_manifest_has_them(filled, bulkload):
    """Text for people; for programs the keys of `versions` and the schemas as columns."""
    (version,) = stored_versions(filled.data, name="churn")
    lines = bulkload("models", "show", version.id, env=filled.environment).stdout.splitlines()
    facts = [line.split(maxsplit=1) for line in lines]
    for fact in (
        ["version", str(version.id)], ["uuid", version.uuid], ["model", "churn"], ["status", "error"],
        ["error", version.error_summary], ["sha256", version.sha256], ["framework", "custom"], ["arch", "x86"],
        ["input", "inputs: float32[32][3]"], ["words:", "list<string>"], ["output", "score: float64"],
    ):  # fmt: skip
        assert fact in facts
    (shown,) = objects(bulkload("models", "show", version.id, "--json", env=filled.environment).stdout)
    (listed,) = objects(bulkload("models", "versions", "churn", "--json", env=filled.environment).stdout)
    assert shown == listed | {
        "input_columns": [{"name": name, "type": kind} for name, kind in SCHEMAS["input_schema"].items()],
        "output_columns": [{"name": name, "type": kind} for name, kind in SCHEMAS["output_schema"].items()],
    }
    assert shown["version_uuid"] == version.uuid
    assert shown["error_summary"] == version.error_summary


def test_config_is_that_of_the_version_and_not_of_the_model_with_that_id(filled, bulkload):
    """Its own id is a third one; the model's name is shown, for ids of models and versions overlap."""
    version_id = ids(filled, "ccfraud")[1]
    (config,) = objects(bulkload("models", "config", version_id, "--json", env=filled.environment).stdout)
    assert list(config) == ["version_id", "name", "config_id", "runtime", "tensor_fields", "filter_threshold"]
    assert (config["version_id"], config["name"], config["runtime"]) == (version_id, "ccfraud", "onnx")
    assert config["config_id"] != version_id
    lines = bulkload("models", "config", version_id, env=filled.environment).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["version", str(version_id)], ["model", "ccfraud"], ["config", str(config["config_id"])], ["runtime", "onnx"],
        ["tensor_fields", "-"], ["filter_threshold", "-"],
    ]  # fmt: skip


def test_logs_are_what_the_conversion_printed(filled, bulkload):
    """The text alone, the newest lines of it, or each with its time and stream."""
    (version_id,) = ids(filled, "churn")
    text = bulkload("models", "logs", version_id, env=filled.environment).stdout.splitlines()
    assert any("Inference" in line for line in text)
    parts = objects(bulkload("models", "logs", version_id, "--json", env=filled.environment).stdout)
    assert [part["text"] for part in parts] == text
    assert {part["stream"] for part in parts} <= {"stdout", "stderr"}
    last = bulkload("models", "logs", version_id, "--lines", "1", env=filled.environment).stdout.splitlines()
    assert last == text[-1:]
    whole = bulkload("models", "logs", version_id, "--timestamps", env=filled.environment).stdout.splitlines()
    assert whole == [f"{part['time']} {part['stream']} F {part['text']}" for part in parts]


def test_a_version_without_logs_says_why_on_standard_error(filled, bulkload):
    """Models that need no conversion have none: nothing on standard output, and no failure."""
    result = bulkload("models", "logs", ids(filled, "ccfraud")[0], env=filled.environment)
    assert (result.returncode, result.stdout) == (0, "")
    assert "(ccfraud) has no logs: natively run models have none" in result.stderr


@pytest.mark.parametrize("word", ["show", "config", "logs"])
def test_a_version_that_is_not_there_is_exit_2(word, bulkload, start_sandbox):
    """One clear message; a name where an id belongs is told from an unknown id."""
    sandbox = start_sandbox()
    unknown = bulkload("models", word, "9999", env=sandbox.environment)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith("bulkload: the registry has no version 9999 (")
    assert len(unknown.stderr.splitlines()) == 1
    name = bulkload("models", word, "ccfraud", env=sandbox.environment)
    assert name.returncode == 2
    assert "'ccfraud' is no version id" in name.stderr


@pytest.mark.parametrize("fault", every(4, ["list:half@1", "list:503@1", "list:reset@1", "list:html@1"]))
def test_a_listing_that_breaks_off_is_asked_for_again_and_told_once(
    fault, bulkload, start_sandbox, write_manifest, tmp_path
):
    """No model is missing and none is there twice."""
    manifest = write_manifest([{"name": f"m{n}", "content": ONNX + bytes([n])} for n in range(5)])
    words = ("run", manifest, "--workspace", "w", "--create-workspace")
    with_models = start_sandbox("--time-scale", "0")
    assert bulkload(*words, env=with_models.environment).returncode == 0
    with_models.process.send_signal(signal.SIGTERM)
    with_models.process.wait(20)
    sandbox = start_sandbox("--fault", fault)
    result = bulkload("models", "list", "--json", env=sandbox.environment)
    assert result.returncode == 0, result.stderr
    assert sorted(row["name"] for row in objects(result.stdout)) == [f"m{n}" for n in range(5)]


def test_a_refused_token_is_exit_5_and_no_registry_exit_6(bulkload, start_sandbox):
    """One message each, and never the token."""
    sandbox = start_sandbox("--fault", "any:404")
    for command in (("models", "list"), ("models", "show", "1215"), ("workspaces", "list")):
        foreign = bulkload(*command, env=sandbox.environment)
        assert foreign.returncode == 6, foreign.stderr
        assert "the address of a Wallaroo registry?" in foreign.stderr
    refused = start_sandbox(data=sandbox.data.parent / "other")
    result = bulkload("models", "list", env=refused.environment | {"BULKLOAD_TOKEN": "wrong-token"})
    assert (result.returncode, result.stdout) == (5, "")
    assert "wrong-token" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_listing_that_hangs_can_be_interrupted(start_sandbox, tmp_path):
    """Ctrl-C ends it at once with 130, without a traceback."""
    sandbox = start_sandbox("--fault", "list:stall")
    command = [sys.executable, "-m", "bulkload", "models", "list"]
    environment = clean_environment() | sandbox.environment
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as child:
        while "list" not in calls_of(sandbox, 1):
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        message = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "Traceback" not in message


def test_the_private_sandbox_of_a_run_can_be_looked_into(bulkload, write_manifest, tmp_path):
    """By the manifest's path; where there is none, nothing is made."""
    manifest = write_manifest([{"name": "a", "content": ONNX}])
    words = ("models", "list", "--sandbox", manifest.name, "--json")
    early = bulkload(*words)
    assert early.returncode == 2
    assert f"`bulkload run {manifest.name} --sandbox` makes one" in early.stderr
    assert not (tmp_path / f"{manifest.name}.sandbox").exists()
    assert bulkload("run", manifest.name, "--sandbox").returncode == 0
    # The switch of `run` in the environment is not this flag.
    (row,) = objects(bulkload(*words, env={"BULKLOAD_SANDBOX": "1"}).stdout)
    assert row["name"] == "a"
    both = bulkload(*words, "--endpoint", "http://127.0.0.1:1")
    assert both.returncode == 2
    assert "--sandbox and --endpoint" in both.stderr
    neither = bulkload("models", "list")
    assert neither.returncode == 2
    assert "--endpoint" in neither.stderr


def test_keys_of_the_config_file_reach_the_commands_of_a_group(filled, bulkload, tmp_path):
    """Flag, then environment, then file."""
    (tmp_path / "bulkload.toml").write_text('workspace = "elsewhere"\n')
    token = {"BULKLOAD_ENDPOINT": filled.endpoint, "BULKLOAD_TOKEN": filled.token}
    (row,) = objects(bulkload("models", "list", "--json", env=token).stdout)
    assert row["workspace"] == "elsewhere"
    rows = objects(bulkload("models", "list", "--json", "--workspace", "fraud", env=token).stdout)
    assert {row["workspace"] for row in rows} == {"fraud"}


def test_help_imports_nothing_heavy():
    """What asks a registry is imported when one is asked."""
    program = (
        "import sys; from bulkload.cli import run_command_line as run; run(['models', 'list', '--help']);"
        "sys.exit(bool({'aiohttp', 'pyarrow', 'rich', 'anyio', 'ijson'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert result.returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "bool", "int64", "float16", "float32", "float64", "string", "date32", "date64", "timestamp[us]",
        "timestamp[ms, tz=UTC]", "duration[s]", "list<float32>", "float32[10]", "float32[32][3]", "list<list<string>>",
        "list<list<string>>[3]", "list<list<string>>[3][2]", "list<float32[4]>", "struct<a: int64, b: float32[2]>[5]",
    ],
)  # fmt: skip
def test_a_type_is_shown_as_a_manifest_has_it(text):
    """What is shown can be written into a manifest and means the same."""
    assert type_text(parse_type(text)) == text


def test_foreign_words_cannot_steer_the_terminal():
    """A log or a file's name is shown, whatever is in it, on its one line."""
    assert printable("a\x1b[31mred\x1b[0m\x07\r\n\x1b]0;title") == "ared    ]0;title"
    assert log_text("2025-12-22T21:40:20.792647873Z stderr F \x1b[1mError:\x1b[0m no │ room ") == "Error: no │ room"
    assert log_text("2025-12-22T21:40:20.792647873Z stdout F ") == ""
    assert log_text("another form") == "another form"


def test_an_age_is_short():
    """By the registry's clock; times have fractions of any width."""
    from datetime import UTC, datetime

    now = datetime(2026, 1, 9, 18, 38, tzinfo=UTC)
    ages = {"2026-01-09T18:37:48.86797+00:00": "11s", "2026-01-09T17:00:00+00:00": "1h", "2024-01-09T18:00:00Z": "731d"}
    assert {text: show_age(text, now) for text in ages} == ages
    assert show_age("2027-01-01T00:00:00Z", now) == "0s"
    assert show_age("yesterday", now) == "yesterday"
    assert show_age(None, now) == ""
