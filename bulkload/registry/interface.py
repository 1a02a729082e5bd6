"""What a run asks of a registry: the one door between the engine and any registry.

A call is one request: nothing is sent twice here, and nobody waits for a better moment. Only the engine tries again, by
what went wrong. ``client.Registry`` speaks to a real one over HTTP.

A call that fails raises ``CallFailed``, whose ``failure`` says what is known of it: was there a status, was there a
connection, was it cut, could the answer be read. It never raises what a library raises. A token that cannot be had is
``NotAuthorised``; an address that is none, or a token that would leave this machine without encryption, ``UsageError``.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol, Self

from bulkload.core.model.errors import NotAuthorised
from bulkload.core.model.records import RegistryVersion, Workspace
from bulkload.core.verdicts import Failure
from bulkload.registry.answers import ListedVersion
from bulkload.registry.form import Form


class KeycloakMissing(NotAuthorised):
    """What answers at Keycloak's address is no Keycloak: it is elsewhere, or somebody answers in its place for now."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure}: there is no Keycloak; give its address with --auth-url")
        self.failure = failure


class Registry(Protocol):
    """A registry: ``async with registry: await registry.version(4711)``."""

    async def __aenter__(self) -> Self:
        """Make ready to ask. Nothing is sent."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        ...

    # Without a request.

    @property
    def endpoint(self) -> str:
        """Its address, normalised."""
        ...

    @property
    def requests(self) -> Counter[str]:
        """Requests so far, by kind: upload, poll, list, auth, other."""
        ...

    @property
    def answered_at(self) -> datetime | None:
        """Its own clock, from its last answer; None before the first."""
        ...

    def has_answered(self, call: str) -> bool:
        """Whether a call (``models/upload``) was answered well: the registry has it."""
        ...

    # Getting in. A call gets its token by itself where it needs one; these look ahead.

    def pace_logins(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Have ``wait`` awaited before each request for a token, which other calls make, too."""
        ...

    def has_token(self, *, large: bool = False) -> bool:
        """Whether the next request has a token, so that ``token`` need not be awaited before it."""
        ...

    async def token(self, *, large: bool = False) -> str:
        """The token that the next request will carry. ``large``: ahead of a large body, which takes its time.

        Raises ``KeycloakMissing`` where the address of those who give tokens is another's.
        """
        ...

    # The instance.

    async def config(self) -> dict[str, Any]:
        """``{"default_arch": "x86"}``, and whatever else it says of itself. Needs no token."""
        ...

    async def workspaces(self) -> list[Workspace]:
        """Those that this account sees."""
        ...

    async def create_workspace(self, name: str) -> int:
        """Make a workspace; its id."""
        ...

    # Reading models.

    async def version(self, version_id: int) -> RegistryVersion:
        """One version by its id."""
        ...

    def list_workspace(self, workspace_id: int) -> AsyncGenerator[list[RegistryVersion]]:
        """All versions of a workspace, some at a time while the answer arrives.

        Raises also where it breaks off: half a listing must not look like a whole one.
        """
        ...

    async def list_versions_for_model(self, name: str, workspace_id: int) -> list[RegistryVersion]:
        """All versions of one model. Not every registry has this call."""
        ...

    async def list_versions(self, name: str) -> list[ListedVersion]:
        """Versions of every model of this name, or with this id, in all workspaces and of all owners."""
        ...

    async def upload_logs(self, version_id: int, lines: int | None = None) -> list[str]:
        """The conversion's log lines, the newest ``lines`` of them; often empty."""
        ...

    # Uploading.

    async def send_small(
        self, call: str, form: Form, content: bytes, *, on_first_byte: Callable[[], None] = lambda: None
    ) -> int:
        """Send a small file whole, by ``call`` (``models/upload``, ``models/upload_and_convert``); the id answered.

        ``on_first_byte`` is called when the first byte is about to leave. Where it was not called, however this ends,
        nothing can have arrived. Afterwards nothing of the upload is under way.
        """
        ...

    def uploading(self, call: str, form: Form, size: int) -> AbstractAsyncContextManager["Upload"]:
        """An upload of a file of ``size`` bytes, to be pushed piece by piece within the block.

        When the registry answers early, or the connection is lost, the block is cancelled and ends with ``CallFailed``.
        However it ends, nothing of the upload is under way afterwards.
        """
        ...

    async def look_for(self, call: str) -> Failure | None:
        """Ask a call without anything to do, to see whether the registry has it; what it fails with."""
        ...


class Upload(Protocol):
    """An upload under way, pushed by whoever reads the file."""

    @property
    def departed(self) -> bool:
        """A byte was handed to the socket. Before that, nothing can have arrived."""
        ...

    async def begin(self) -> None:
        """Connect, and send the beginning of the form; at the latest with the first piece."""
        ...

    async def write(self, piece: bytes | memoryview) -> None:
        """Send the next piece of the file, and wait until there is room for another one."""
        ...

    async def finish(self) -> int:
        """Send the end of the form: only now can anybody have the whole. The id that the answer names."""
        ...
