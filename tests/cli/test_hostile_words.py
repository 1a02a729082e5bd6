"""Whatever others wrote, no terminal obeys it, and no line of ours is forged: every command, both streams."""

import contextlib
import csv
import http.server
import json
import logging
import re
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing

import pytest

from bulkload.cli import run_command_line
from bulkload.cli.streams import standard_sinks
from bulkload.core.text.visible import visible
from tests.cli.in_process import Place, environment_of, run_with, sandbox_in, terminal

# The window's title, the clipboard, the cursor, hidden text; in 7 and in 8 bits; direction; another line of ours.
EVIL = (
    "\x1b]0;owned\x07\x1b]52;c;cm0=\x07\x1b[2J\x1b[8mx\x9b2J\x9d0;owned\x9c"
    "\u202egpj.\u2066\u2028\x7f\x08\r\nbulkload: forged"
)
# What a terminal may get from us: a line erased, and rich's colours.
# A drawn display ends at its first line, and is erased from there.
OURS = re.compile(r"(\x1b\[[1-3]A)?\r\r\x1b\[J|\x1b\[(0|1|2|31|32|33|90)m|\r\n")

MODELS = [{"name": "good", "content": b"onnx"}, {"name": "bad", "content": b"no zip", "framework": "custom"}]
SCHEMAS = {"input_schema": {"x": "int64"}, "output_schema": {"y": "int64"}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A registry and a ledger that are full of it."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = []
    for model in MODELS:
        path = f"{model['name']}.{'onnx' if 'framework' not in model else 'zip'}"
        (folder / path).write_bytes(model["content"])  # type: ignore[arg-type]
        rows.append({"path": path, "workspace": "w", **({} if path.endswith("onnx") else SCHEMAS)}
                    | {key: value for key, value in model.items() if key != "content"})  # fmt: skip
    (folder / "m.json").write_text(json.dumps(rows))
    (folder / "new.json").write_text(
        json.dumps({"name": "new", "path": "good.onnx", "workspace": "w", "version": EVIL, "requirements": [EVIL]})
    )
    with sandbox_in(folder) as place:
        with environment_of(place):
            assert run_command_line(place.words("run {}/m.json --create-workspace -q")) == 3
        with closing(sqlite3.connect(folder / "registry" / "registry.db", isolation_level=None)) as registry:
            registry.execute("UPDATE workspaces SET name = ? || id", (EVIL,))
            registry.execute(
                "UPDATE versions SET file_name = ?1, error_summary = ?1, logs = ?2", (EVIL, json.dumps([EVIL]))
            )
        with closing(sqlite3.connect(folder / "m.json.ledger.db", isolation_level=None)) as ledger:
            ledger.execute(
                "UPDATE entries SET name = name || ?1, message = ?1, cause = ?1, path = ?1, version_label = ?1,"
                " status = ?1, labels = ?2, logs = ?1",
                (EVIL, json.dumps({EVIL: EVIL})),
            )
            ledger.execute("UPDATE meta SET value = ? WHERE key = 'manifest'", (EVIL,))
        yield place


COMMANDS = [
    *(["results", "{}/m.json", "--format", form] for form in ("table", "csv", "jsonl", "json")),
    *(["status", "{}/m.json", *json] for json in ([], ["--json"])),
    *(["verify", "{}/m.json", *json] for json in ([], ["--json"])),
    *(["models", "list", *json] for json in ([], ["--json"])),
    *(["models", "versions", "good", *json] for json in ([], ["--json"])),
    *(["models", what, "ID", *json] for what in ("show", "config", "logs") for json in ([], ["--json"])),
    ["models", "logs", "ID", "--timestamps"],
    *(["workspaces", "list", *json] for json in ([], ["--json"])),
    ["doctor", "--ledger", f"{{}}/{EVIL}"],
    *(["plan", "{}/new.json", "--offline", *json] for json in ([], ["--json"])),
    ["plan", "{}/" + EVIL], ["run", "{}/m.json", "--workspace", EVIL, "--ledger", "{}/n.db"], [EVIL],
    ["run", "--" + EVIL], ["results", EVIL], ["results", "{}/m.json", "--format", EVIL],
    ["results", "{}/m.json", "-o", EVIL],
    ["manifest", "convert", "{}/new.json", "--format", "yaml"], ["--config", EVIL, "status", "x"],
    ["models", "show", EVIL], ["models", "versions", EVIL], ["workspaces", "create", "123" + EVIL],
]  # fmt: skip


def words_of(place: Place, command: list[str]) -> list[str]:
    with closing(sqlite3.connect(place.folder / "registry" / "registry.db")) as registry:
        (found,) = registry.execute("SELECT max(id) FROM versions").fetchone()
    return [str(found) if word == "ID" else word.replace("{}", str(place.folder)) for word in command]


def shown(place: Place, command: list[str]) -> tuple[int, str]:
    """The exit code, and what a terminal got by both streams."""
    with (
        terminal() as (stream, pieces),
        environment_of(place),
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        code = run_command_line(words_of(place, command))
    return code, b"".join(pieces).decode()


def obeyed(text: str) -> str:
    """What is left in it that a terminal would obey, or that shows nothing."""
    plain = OURS.sub("", text).replace("\n", "").replace("\t", "")
    return "" if visible(plain) == plain else plain


def test_no_terminal_obeys_what_others_wrote(place):
    """Both streams are one, in every command."""
    found = {}
    for command in COMMANDS:
        _, text = shown(place, command)
        found[" ".join(command)] = obeyed(text)
        # Manifests are several lines, and so is what is printed of them as they are.
        assert command[0] == "manifest" or "csv" in command or not re.search("^bulkload: forged", text, re.MULTILINE), (
            text
        )
        assert "internal error" not in text
    assert {command: text for command, text in found.items() if text} == {}


def test_no_pipe_carries_it_on(place, tmp_path):
    """A pager or the next program shows it to a terminal. csv and manifests stay exact: they are data."""
    found = {}
    for command in COMMANDS:
        with (tmp_path / "out").open("w+", encoding="utf-8") as stdout:
            _, said = run_with(place, words_of(place, command), stdout, tmp_path / "said")
        text = (tmp_path / "out").read_bytes().decode()
        exact = "csv" in command or "convert" in command
        found[" ".join(command)] = obeyed(said) + ("" if exact else obeyed(text))
    assert {command: text for command, text in found.items() if text} == {}


def test_data_is_exact(place, tmp_path):
    """Escapes of JSON are the same text; a cell of csv is what it was."""
    for form in ("jsonl", "csv"):
        with (tmp_path / form).open("w+", encoding="utf-8") as stdout:
            words = ["results", f"{place.folder}/m.json", "--format", form]
            assert run_with(place, words, stdout, tmp_path / "said")[0] == 0
    lines = (tmp_path / "jsonl").read_bytes().decode().split("\n")
    assert [json.loads(line)["message"] for line in lines if line] == [EVIL, EVIL]
    with (tmp_path / "csv").open(encoding="utf-8", newline="") as file:
        assert [row["message"] for row in csv.DictReader(file)] == [EVIL, EVIL]


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers everything with an error full of it."""

    def do_POST(self) -> None:
        body = json.dumps(
            {"error": EVIL, "message": EVIL, "error_description": EVIL, "code": 500, "status": "error"}
        ).encode()
        self.send_response(500, "x")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_an_error_answer_is_shown_as_it_is(place):
    """Of a registry, of Keycloak, of whoever stands before them."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hostile = Place(
            place.folder, place.environment | {"BULKLOAD_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        )
        for command in (["doctor"], ["login"]):
            code, text = shown(hostile, command)
            assert code != 0
            assert obeyed(text) == ""
            assert "internal error" not in text
            assert not re.search("^bulkload: forged", text, re.MULTILINE)
        server.shutdown()


def test_what_a_library_prints_passes_the_sink_too():
    """A log record, a traceback, a plain print."""
    with (
        terminal() as (stream, pieces),
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
        standard_sinks(),
    ):
        print(EVIL)  # noqa: T201
        traceback.print_exception(ValueError(EVIL))
        assert logging.lastResort is not None
        logging.lastResort.handle(logging.makeLogRecord({"msg": f"logged {EVIL}"}))
    text = b"".join(pieces).decode()
    assert obeyed(text) == ""
    assert "ValueError" in text
    assert "logged" in text
