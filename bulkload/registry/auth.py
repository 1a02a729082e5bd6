"""The bearer token: given, read from a file, or printed by a command."""

import anyio

from bulkload.core.errors import NotAuthorised, UsageError
from bulkload.core.settings import Credentials


class TokenSource:
    """Holds the current token and gets a new one when the registry refuses it. Never shows it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._token: str | None = None
        self._lock = anyio.Lock()

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
        if not token.isascii() or any(character.isspace() for character in token):
            raise NotAuthorised("the token is not one word of ASCII; check where it comes from")
        return token

    async def _run(self, command: str) -> str:
        result = await anyio.run_process(["/bin/sh", "-c", command], check=False)
        if result.returncode != 0:
            words = result.stderr.decode(errors="replace").strip()[-300:]
            raise NotAuthorised(f"--token-command ended with {result.returncode}: {words}")
        return result.stdout.decode(errors="replace")
