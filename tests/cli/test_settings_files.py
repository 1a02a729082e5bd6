"""Flags, variables and keys: every flag is all three, files say no more than they may, and nothing is ignored."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner, Result

from bulkload.cli import COMMANDS, cli
from bulkload.cli.flags import Flag, flags_of
from bulkload.cli.settings_files import SECRETS, take_settings

# What a file of the current folder may say: no address, account, program, or place of a file.
OF_A_FOLDER = {
    "all-entries",
    "all-problems",
    "answer-timeout",
    "bandwidth",
    "columns",
    "concurrency",
    "converters",
    "create-workspace",
    "curl",
    "device-interval",
    "device-life",
    "failed",
    "fault",
    "for-spreadsheet",
    "format",
    "json",
    "limit",
    "limit-rows",
    "lines",
    "list-rate",
    "max-converting",
    "max-duration",
    "max-failures",
    "no-strict",
    "no-wait",
    "offline",
    "on-existing",
    "patience",
    "poll-interval",
    "poll-rate",
    "port",
    "progress",
    "progress-interval",
    "quiet",
    "refresh-once",
    "refresh-token-life",
    "resend-in-doubt",
    "retry-failed",
    "route",
    "sandbox",
    "seed",
    "set",
    "settle",
    "state",
    "strict",
    "stuck-native-via-convert",
    "time-scale",
    "timestamps",
    "token-life",
    "token-rate",
    "upload-rate",
    "verbose",
    "wait",
    "wait-timeout",
    "watch",
    "workspace",
}
PERSONAL = {
    "summary-file",
    "allow-host",
    "approve-device-after",
    "auth-url",
    "ca-file",
    "client-cert",
    "client-id",
    "client-key",
    "client-secret-file",
    "data",
    "endpoint",
    "host",
    "insecure-http",
    "ledger",
    "output",
    "password-file",
    "request-log",
    "root",
    "sandbox-of",
    "token-command",
    "token-file",
    "username",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings, and a user without any."""
    for name in os.environ:
        if name.upper().startswith(("BULKLOAD_", "WALLAROO_", "XDG_", "SSL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Every command, by the words that call it."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield name, command


def every_flag() -> list[tuple[str, Flag]]:
    return [(words, flag) for words, command in leaves() for flag in flags_of(command)]


def seen(words: str, **environment: str) -> tuple[dict[str, Any], dict[str, ParameterSource | None]]:
    """What a command would be told, and by what. It is not run."""
    first, *inner = words.split()
    with CliRunner().isolation(env=environment), click.Context(cli) as ctx:
        ctx.invoked_subcommand = first
        take_settings(ctx, os.environ.get("BULKLOAD_CONFIG"), {name: module for name, (module, _) in COMMANDS.items()})
        command, parent, name = cli.get_command(ctx, first), ctx, first
        if inner:
            assert isinstance(command, click.Group)
            parent, name = click.Context(command, parent=ctx, info_name=first), inner[0]
            command = command.get_command(parent, name)
        assert command is not None
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        found = command.make_context(name, ["1" for _ in arguments], parent=parent)
        return found.params, {each: found.get_parameter_source(each) for each in found.params}


def asked(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, list(words), env=environment)


def write_settings(place: Path, content: str, mode: int = 0o600) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)
    place.chmod(mode)
    return place


def test_every_flag_of_every_command_is_a_variable_and_a_key():
    """Under its own name. (The one that the program gives itself is hidden.)"""
    for words, command in leaves():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert isinstance(parameter, Flag), f"{words}: {parameter.opts}"
                main = max(parameter.opts, key=len).lstrip("-")
                assert f"BULKLOAD_{main.upper().replace('-', '_')}" in parameter.variables
                assert main in parameter.keys


def test_every_key_is_either_of_the_folder_or_of_the_user():
    """A new flag is put on one of the two lists by somebody who thought about it."""
    found = {(key, flag.personal) for _, flag in every_flag() for key in flag.keys}
    assert {key for key, personal in found if not personal} == OF_A_FOLDER
    assert {key for key, personal in found if personal} == PERSONAL


@pytest.mark.parametrize("key", sorted(PERSONAL))
def test_a_file_in_the_current_folder_does_not_choose_programs_addresses_and_files(key, folder):
    """Whatever lies beside a manifest may be somebody else's: exit 2, and nothing is run."""
    write_settings(folder / "here" / "bulkload.toml", f'{key} = "touch was-run; echo token"\n')
    for words in ("whoami", "run models.csv", "status ledger.db"):
        result = asked(*words.split())
        assert f"bulkload.toml: {key!r} is not taken from a file that merely lies in the current folder" in str(
            result.exception
        )
    assert not (folder / "here" / "was-run").exists()


@pytest.mark.parametrize(
    "key",
    [
        "auth-url", "ca-file", "client-cert", "client-id", "client-key", "client-secret-file", "endpoint",
        "insecure-http", "password-file", "token-command", "token-file", "username",
    ],
)  # fmt: skip
def test_the_users_own_file_and_one_that_the_user_names_may(key, folder):
    """$XDG_CONFIG_HOME/bulkload/bulkload.toml, and --config."""
    content = f"{key} = true" if key == "insecure-http" else f'{key} = "from-file"'
    file = write_settings(folder / "own" / "bulkload" / "bulkload.toml", content)
    name = key.replace("-", "_")
    params, sources = seen("models list")
    assert str(params[name]) in ("from-file", "True")
    assert sources[name] is ParameterSource.DEFAULT_MAP
    other = file.rename(folder / "other.toml")
    params, _ = seen("models list", BULKLOAD_CONFIG=str(other))
    assert str(params[name]) in ("from-file", "True")


def test_the_nearer_file_is_stronger_and_a_named_one_stands_alone(folder):
    """Own, then the folder's, then a variable, then a flag."""
    write_settings(folder / "own" / "bulkload" / "bulkload.toml", 'workspace = "own"\nconcurrency = 2\n')
    assert seen("run")[0]["workspace"] == "own"
    write_settings(folder / "here" / "bulkload.toml", 'workspace = "here"\n')
    params, _ = seen("run")
    assert (params["workspace"], params["concurrency"]) == ("here", 2)
    assert seen("run", BULKLOAD_WORKSPACE="variable")[0]["workspace"] == "variable"
    write_settings(folder / "other.toml", "concurrency = 3\n")
    params, _ = seen("run", BULKLOAD_CONFIG=str(folder / "other.toml"))
    assert (params["workspace"], params["concurrency"]) == (None, 3)


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_an_own_file_that_others_can_change_is_refused(mode, folder):
    write_settings(folder / "own" / "bulkload" / "bulkload.toml", 'workspace = "x"', mode)
    assert "others can change it" in str(asked("status", "ledger.db").exception)


def test_a_file_that_is_used_is_named_once(folder):
    """With its keys; one of which the command takes nothing is not."""
    write_settings(folder / "own" / "bulkload" / "bulkload.toml", 'endpoint = "https://r.example.com"\n')
    write_settings(folder / "here" / "bulkload.toml", 'workspace = "here"\nconcurrency = 3\n')
    result = asked("run", "models.csv")
    own = folder / "own" / "bulkload" / "bulkload.toml"
    assert result.stderr.splitlines()[:2] == [
        f"bulkload: settings from {own}: endpoint",
        "bulkload: settings from bulkload.toml: workspace, concurrency",
    ]
    assert "settings from" not in asked("status", "ledger.db").stderr


@pytest.mark.parametrize(
    ("words", "key", "written", "name", "value"),
    [
        ("status", "json", "true", "as_json", True),
        ("models list", "json", "true", "as_json", True),
        ("results", "format", '"jsonl"', "form", "jsonl"),
        ("manifest convert", "format", '"csv"', "form", "csv"),
        ("run", "set", '["framework=onnx", "arch=x86"]', "overrides", ("framework=onnx", "arch=x86")),
        ("run", "set", '{framework = "onnx", requirements = ["a", "b"]}', "overrides",
         ("framework=onnx", 'requirements=["a", "b"]')),
        ("run", "set", "{framework_config = {a = 1, b = true}}", "overrides",
         ('framework_config={"a": 1, "b": true}',)),
        ("run", "set", '"framework=onnx"', "overrides", ("framework=onnx",)),
        ("run", "no-wait", "true", "wait", False),
        ("run", "no_wait", "false", "wait", True),
        ("run", "wait", "false", "wait", False),
        ("run", "concurrency", "3", "concurrency", 3),
        ("run", "upload-rate", '"10/s"', "upload_rate", 10.0),
        ("sandbox", "limit", '["upload=20/s", "poll=5/s"]', "limits", ("upload=20/s", "poll=5/s")),
        ("sandbox", "token-life", '"5m"', "token_seconds", 300.0),
        ("sandbox", "time-scale", "0.5", "time_scale", 0.5),
    ],
)  # fmt: skip
def test_keys_have_the_names_of_the_flags_and_values_the_words_of_the_manifest(
    words, key, written, name, value, folder
):
    write_settings(folder / "here" / "bulkload.toml", f"{key} = {written}\n")
    assert seen(words)[0][name] == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("workspace = [1, 2]", "'workspace' takes one value, not several"),
        ("set = [[1]]", "'set' takes a list of texts"),
        ("wait = 3", "'wait' is a switch: true or false"),
        ("concurency = 3", "unknown key 'concurency'; did you mean 'concurrency'?"),
        ("as_json = true", "unknown key 'as-json'"),
        ("x = " + "[" * 5000, "is no TOML (it is nested too deep)"),
        ("set." + "a." * 5000 + "a = 1", "is nested too deep"),
        ("\x00", "is no TOML"),
        ("concurrency = 1" + "0" * 5000, "is no TOML (a number has too many digits)"),
        ("concurrency = 0x" + "f" * 5000, "is longer than a number can be"),
        ("# " + "x" * (2 << 20), "is longer than"),
    ],
)
def test_what_a_file_may_not_say_is_said_with_its_name(content, said, folder):
    write_settings(folder / "here" / "bulkload.toml", content)
    result = asked("run", "models.csv")
    assert str(result.exception).startswith("bulkload.toml: ")
    assert said in str(result.exception)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("framework=onnx", ("framework=onnx",)),
        ('framework_config={"a": 1, "b": 2}', ('framework_config={"a": 1, "b": 2}',)),
        ("a=with blanks\nb=2\n", ("a=with blanks", "b=2")),
        ('["a=1", "b=with\\nline"]', ("a=1", "b=with\nline")),
    ],
)
def test_several_values_in_a_variable_are_lines_or_a_list_in_json(words, values):
    assert seen("run", BULKLOAD_SET=words)[0]["overrides"] == values


@pytest.mark.parametrize("words", ["[1]", "[", '{"a": 1}\n['])
def test_a_list_that_is_none_is_said(words):
    result = asked("run", "models.csv", BULKLOAD_SET=words)
    assert result.exit_code == 2 or "no field" in str(result.exception) or "FIELD=VALUE" in str(result.exception)


@pytest.mark.parametrize(
    ("flag", "wrong"),
    [("--concurrency", "many"), ("--upload-rate", "ten"), ("--route", "there"), ("--poll-interval", "5")],
)
def test_a_wrong_value_is_said_with_the_place_where_it_stands(flag, wrong, folder):
    """Where nobody wrote the flag, its name alone helps nobody."""
    key = flag.removeprefix("--")
    variable = f"BULKLOAD_{key.upper().replace('-', '_')}"
    result = asked("run", "models.csv", **{variable: wrong})
    assert result.exit_code == 2
    assert f"'{flag}' (from the variable {variable})" in result.output
    write_settings(folder / "here" / "bulkload.toml", f'{key} = "{wrong}"')
    result = asked("run", "models.csv")
    assert result.exit_code == 2
    assert f"'{flag}' (from the settings file)" in result.output
    result = asked("run", "models.csv", flag, wrong)
    assert f"Invalid value for '{flag}': '{wrong}' is not" in result.output


def test_the_line_end_of_a_variable_is_none_of_its_value():
    params, _ = seen("run", BULKLOAD_USERNAME="me\n", BULKLOAD_WORKSPACE="fraud\r\n", BULKLOAD_TOKEN_FILE="f\n")
    assert (params["username"], params["workspace"], params["token_file"]) == ("me", "fraud", Path("f"))


def test_the_other_side_of_a_switch_is_a_variable_too():
    assert seen("run", BULKLOAD_NO_WAIT="1")[0]["wait"] is False
    assert seen("run", BULKLOAD_NO_WAIT="0")[0]["wait"] is True
    assert seen("run", BULKLOAD_WAIT="0")[0]["wait"] is False


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BULKLOAD_CONCURENCY", "did you mean BULKLOAD_CONCURRENCY?"),
        ("BULKLOAD_TOKENS", "did you mean BULKLOAD_TOKEN?"),
        ("BULKLOAD_PASSWORT", "did you mean BULKLOAD_PASSWORD?"),
        ("BULKLOAD_ENTPOINT", "did you mean BULKLOAD_ENDPOINT?"),
        ("BULKLOAD_SOMETHING_ELSE", "is ignored\n"),
    ],
)
def test_a_variable_that_nobody_reads_is_warned_of(name, meant):
    """By every command; its value, which may be a secret, is not shown."""
    for words in ("status ledger.db", "models list", "run models.csv"):
        stderr = asked(*words.split(), **{name: "a-secret"}).stderr
        assert f"bulkload: warning: {name} is no variable of bulkload, and is ignored" in stderr
        assert meant in stderr
        assert "a-secret" not in stderr


def test_what_is_a_variable_of_any_command_is_not():
    variables = {variable: "1" for _, flag in every_flag() for variable in flag.variables}
    mine = dict.fromkeys((*SECRETS, "BULKLOAD_TRACEBACK", "BULKLOAD_CONFIG"), "")
    assert "warning" not in asked("manifest", "schema", **variables, **mine).stderr


LINKS = {
    "BULKLOAD_SERVICE_HOST": "10.0.0.1", "BULKLOAD_SERVICE_PORT": "80", "BULKLOAD_SERVICE_PORT_HTTP": "80",
    "BULKLOAD_PORT": "tcp://10.0.0.1:80", "BULKLOAD_PORT_80_TCP": "tcp://10.0.0.1:80",
    "BULKLOAD_PORT_80_TCP_PROTO": "tcp", "BULKLOAD_PORT_80_TCP_PORT": "80", "BULKLOAD_PORT_80_TCP_ADDR": "10.0.0.1",
    "BULKLOAD_SANDBOX_SERVICE_HOST": "10.0.0.1", "BULKLOAD_SANDBOX_PORT": "udp://10.0.0.1:80",
    "BULKLOAD_SANDBOX_PORT_8080_UDP_ADDR": "10.0.0.1",
}  # fmt: skip


def test_kubernetes_says_where_services_are_and_nobody_is_disturbed():
    """A service called bulkload, or bulkload-sandbox, is told to every container beside it."""
    assert seen("sandbox", **LINKS)[0]["port"] == 0
    assert "warning" not in asked("status", "ledger.db", **LINKS).stderr
    assert seen("sandbox", BULKLOAD_PORT="8080")[0]["port"] == 8080


@pytest.mark.parametrize("how", ["-m", "PYTHONPATH"])
def test_nothing_is_imported_from_the_current_folder(how, folder):
    """Neither by the command nor by the sandbox that it starts: what lies beside a manifest is data."""
    for name in ("typing", "click", "aiohttp", "msgspec", "anyio"):
        (folder / "here" / f"{name}.py").write_text("open('was-imported', 'w'); raise SystemExit(99)")
    (folder / "here" / "m.onnx").write_bytes(b"model")
    (folder / "here" / "models.csv").write_text("name,path\nm,m.onnx\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(Path(sys.executable).with_name("bulkload"))]
    if how == "PYTHONPATH":
        environment["PYTHONPATH"] = os.pathsep.join(["", ".", str(folder)])
    else:
        command = [sys.executable, "-m", "bulkload"]
    words = ["run", "models.csv", "--sandbox", "--quiet"]
    result = subprocess.run(
        [*command, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode in (0, 3), result.stderr
    assert not (folder / "here" / "was-imported").exists()
