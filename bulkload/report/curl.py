"""An entry's upload as a curl command: for a look at what is sent, or to send one file by other means."""

import shlex

from bulkload.core.contract.routes import upload_call
from bulkload.core.model.settings import Connection, Route
from bulkload.core.text.visible import visible_json, visible_line
from bulkload.engine.plan import Step
from bulkload.registry.form import upload_metadata

# Signs that stand for themselves in the format of printf and in double quotes.
_PLAIN = " /._-=;@:,+"


def curl_command(step: Step, endpoint: str, route: Route, connection: Connection) -> str:
    """Shell lines that send the same upload, with the token that BULKLOAD_TOKEN holds when they are run.

    The token comes in by a descriptor: neither this text nor a list of processes shows it. So does the metadata: in
    the command itself, curl would take a semicolon in it for its end.
    """
    entry = step.entry.entry
    if entry.source.endswith("/"):
        name, folder = visible_line(entry.name), visible_line(entry.source)
        return f"# line {entry.line}: {name}: {folder} is sent as a zip, which curl cannot make; `bulkload run` does\n"
    words = [
        "curl", "--silent", "--show-error", "--fail-with-body", "--header", "@/dev/fd/3",
        *_connection_words(connection),
        "--form", "metadata=<-;type=application/json",
        "--form", f"file=@{_quoted(entry.source)};type=application/octet-stream",
        f"{endpoint}/v1/api/{upload_call(entry.conversion.framework, route)}",
    ]  # fmt: skip
    metadata = visible_json(upload_metadata(entry, step.entry.workspace_id).decode())
    return (
        f"# line {entry.line}: {visible_line(entry.name)}\n"
        f"printf '%s' {shlex.quote(metadata)} | {' '.join(map(shell_word, words))} 3<<END\n"
        "Authorization: Bearer $BULKLOAD_TOKEN\n"
        "END\n"
    )


def shell_word(word: str) -> str:
    """A word as any POSIX shell reads it, also where it holds what a terminal would obey, or is no text."""
    if visible_line(word) == word:
        return shlex.quote(word)
    signs = "".join(sign if sign.isascii() and (sign.isalnum() or sign in _PLAIN) else _octal(sign) for sign in word)
    if signs.startswith("-"):  # it would be taken for an option of printf
        signs = _octal("-") + signs[1:]
    return f"\"$(printf '{signs}')\""


def _octal(sign: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", "surrogateescape"))


def _connection_words(connection: Connection) -> list[str]:
    files = {"--cacert": connection.ca_file, "--cert": connection.client_cert, "--key": connection.client_key}
    return [word for flag, file in files.items() if file is not None for word in (flag, str(file))]


def _quoted(path: str) -> str:
    """A path as curl's --form takes any: in double quotes."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
