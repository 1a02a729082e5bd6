"""The bearer token: given, read from a file, or printed by a command."""

import tempfile
from subprocess import DEVNULL

import anyio

from bulkload.core.errors import NotAuthorised, UsageError
from bulkload.core.settings import Credentials
from bulkload.registry.answers import LONGEST_MESSAGE, one_line

# A command that asks somebody, who is not there, must not hold up a run for ever.
COMMAND_SECONDS = 60.0


class TokenSource:
    """Holds the current token and gets a new one when the registry refuses it. Never shows it."""

    def __init__(self, credentials: Credentials, *, command_timeout: float = COMMAND_SECONDS) -> None:
        self._credentials = credentials
        self._command_timeout = command_timeout
        self._token: str | None = None
        self._lock = anyio.Lock()

    @property
    def held(self) -> str | None:
        """The token that was sent last, if any: for keeping it out of what is shown."""
        return self._token

    async def current(self) -> str:
        """The token to send. Raises ``NotAuthorised`` when there is none."""
        if self._token is None:
            async with self._lock:
                if self._token is None:
                    self._token = await self._fetch()
        return self._token

    async def renew(self, refused: str) -> bool:
        """Get a token other than ``refused``, once for everybody who waits; False when there is no other."""
        async with self._lock:
            if self._token == refused:
                self._token = await self._fetch()
            return self._token != refused

    async def _fetch(self) -> str:
        credentials = self._credentials
        if credentials.token_file is not None:
            try:
                words = await anyio.Path(credentials.token_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{credentials.token_file}: the token cannot be read ({error})") from None
        elif credentials.token_command is not None:
            words = await self._run(credentials.token_command)
        else:
            words = credentials.token or ""
        token = words.strip()
        if not token:
            raise NotAuthorised("no token; set BULKLOAD_TOKEN, or give --token-file or --token-command")
        # Anything else cannot stand in a header, and is more likely a page or a message than a token.
        if not token.isascii() or not token.isprintable() or " " in token:
            raise NotAuthorised("the token is not one word of ASCII; check where it comes from")
        return token

    async def _run(self, command: str) -> str:
        with tempfile.TemporaryFile() as complaints:
            # Cancelled while it starts, it would be left running.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(["/bin/sh", "-c", command], stdin=DEVNULL, stderr=complaints)
            try:
                with anyio.fail_after(self._command_timeout):
                    async with process:
                        output = process.stdout
                        printed = b"" if output is None else b"".join([piece async for piece in output])
            except TimeoutError:
                raise NotAuthorised(f"--token-command printed no token within {self._command_timeout:g} s") from None
            if process.returncode != 0:
                complaints.seek(0)
                words = one_line(complaints.read(LONGEST_MESSAGE).decode(errors="replace"))
                raise NotAuthorised(f"--token-command ended with {process.returncode}: {words}")
        return printed.decode(errors="replace")
