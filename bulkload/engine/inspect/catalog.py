"""Looking into a registry: what the commands that read ask of it. Every read is made again while its failure passes."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from bulkload.core.model.errors import BulkloadError, ForeignAnswer, NotAuthorised, UsageError
from bulkload.core.model.events import Advanced, OnEvent
from bulkload.core.model.records import RegistryVersion, Workspace
from bulkload.core.text.words import nearest
from bulkload.core.verdicts import CallFailed, another_call_may_do
from bulkload.engine.backoff import usual_backoff
from bulkload.engine.calls import Condition, never, repeat
from bulkload.engine.events import Events
from bulkload.engine.preflight.workspaces import found_or_made
from bulkload.registry import Registry

T = TypeVar("T")

# How a registry may say that an id is none of its own; which of them the real one uses was never seen.
NO_SUCH_ID = frozenset({400, 404, 410, 422})
# More names than this are no hint.
NAMES_SHOWN = 10


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its newest version. Small: a workspace may hold a hundred thousand."""

    name: str
    workspace_id: int
    # How many there are.
    versions: int
    # All below are the newest version's; ids grow, and times may be equal.
    version_id: int
    status: str | None
    framework: str | None
    size: int | None
    created_at: str | None


class Browser:
    """The reads of one registry. Besides what is said, all raise ``NotAuthorised`` and ``RegistryUnavailable``."""

    def __init__(self, registry: Registry, on_event: OnEvent | None = None) -> None:
        self._registry = registry
        self._events = Events(on_event)
        # Versions of the workspaces whose models were listed.
        self._listed = 0
        self._backoff = usual_backoff()
        self._events.phase("asking the registry")

    @property
    def now(self) -> datetime:
        """The registry's own clock, which its times are to be compared with."""
        return self._registry.answered_at or datetime.now(UTC)

    async def workspaces(self) -> list[Workspace]:
        """The workspaces that this account sees, by their names."""
        return sorted(await self._ask(self._registry.workspaces), key=lambda workspace: workspace.name)

    async def models(self, workspace: Workspace) -> list[ModelSummary]:
        """The models of a workspace, each with its newest version, in the registry's order."""
        self._events.phase("listing models")
        before = self._listed

        async def listed() -> dict[tuple[int, str], ModelSummary]:
            found: dict[tuple[int, str], ModelSummary] = {}
            self._listed = before
            async with aclosing(self._registry.list_workspace(workspace.workspace_id)) as pages:
                async for versions in pages:
                    for version in versions:
                        model = (version.workspace_id or workspace.workspace_id, version.name)
                        found[model] = _summary(found.get(model), version, model[0])
                    self._listed += len(versions)
                    self._events(Advanced(self._listed))
            return found

        # Told only when it is whole: a listing that broke off is asked for again from its beginning.
        return list((await self._ask(listed)).values())

    async def versions(self, name: str, workspace: Workspace | None = None) -> list[RegistryVersion]:
        """The versions of every model of this name (in one workspace), newest first."""
        self._events.phase("listing versions")
        found: list[RegistryVersion] | None = None
        if workspace is not None:
            found = await self._versions_in(name, workspace.workspace_id)
        if found is None:
            found = await self._versions_anywhere(name, None if workspace is None else workspace.workspace_id)
        return sorted(found, key=lambda version: version.version_id, reverse=True)

    async def version(self, version_id: int) -> RegistryVersion:
        """One version. Raises ``UsageError`` where there is none of that id."""
        return await self._about(version_id, lambda: self._registry.version(version_id))

    async def config(self, version_id: int) -> tuple[RegistryVersion, dict[str, Any] | None]:
        """A version and its newest config. Raises ``UsageError`` where there is none of that id.

        The version is asked for as well: ids of models and of versions overlap, so its name has to be shown, and a
        registry has the same answer for a version without a config and for none at all.
        """
        version = await self.version(version_id)
        return version, await self._about(version_id, lambda: self._registry.version_config(version_id))

    async def logs(self, version_id: int, lines: int | None) -> list[str]:
        """The newest ``lines`` of a conversion's log. Raises ``UsageError`` where there is no such version."""
        return await self._about(version_id, lambda: self._registry.upload_logs(version_id, lines))

    async def create_workspace(self, name: str) -> tuple[Workspace, bool]:
        """The workspace of that name, and whether it was made just now. Raises ``UsageError`` for a name refused."""
        return await self._ask(lambda: found_or_made(self._registry, name))

    async def _versions_in(self, name: str, workspace_id: int) -> list[RegistryVersion] | None:
        """The versions of one model; None where the registry does not answer such a question."""
        try:
            found = await self._repeat(
                lambda: self._registry.list_versions_for_model(name, workspace_id), give_way=another_call_may_do
            )
        except CallFailed as failed:
            if failed.failure.refusal == HTTPStatus.FORBIDDEN:
                raise self._refused(failed) from None
            return None
        return [version for version in found if (version.workspace_id, version.name) == (workspace_id, name)]

    async def _versions_anywhere(self, name: str, workspace_id: int | None) -> list[RegistryVersion]:
        """By ``list_versions``, whose rows name no workspace: an id tells it, and then one question all of its others.

        So the requests grow with the workspaces that have such a model, not with its versions.
        """
        rows = await self._ask(lambda: self._registry.list_versions(name))
        unseen = {row.version_id for row in rows if row.name == name}
        found: dict[int, RegistryVersion] = {}
        lists = True
        while unseen:
            version = await self._confirmed(unseen.pop())
            if version is None or version.name != name or workspace_id not in (None, version.workspace_id):
                continue
            listed = await self._versions_in(name, version.workspace_id) if lists else None
            lists = listed is not None
            found |= {each.version_id: each for each in (version, *(listed or ()))}
            unseen -= found.keys()
            self._events(Advanced(len(found)))
        return list(found.values())

    async def _confirmed(self, version_id: int) -> RegistryVersion | None:
        """A version that a listing named; None where it is not for this account, or gone meanwhile."""
        try:
            return await self._repeat(lambda: self._registry.version(version_id))
        except CallFailed:
            return None

    async def _about(self, version_id: int, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._repeat(operation)
        except CallFailed as failed:
            if failed.failure.status not in NO_SUCH_ID:
                raise self._refused(failed) from None
            # Anything else than a registry answers 404 as well: this call tells them apart.
            await self._ask(self._registry.workspaces)
            raise UsageError(
                f"the registry has no version {version_id} ({failed});"
                " `bulkload models versions NAME` lists those of a model"
            ) from None

    async def _ask(self, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._repeat(operation)
        except CallFailed as failed:
            raise self._refused(failed) from None

    async def _repeat(self, operation: Callable[[], Awaitable[T]], *, give_way: Condition = never) -> T:
        return await repeat(operation, self._backoff, give_way=give_way)

    def _refused(self, failed: CallFailed) -> BulkloadError:
        if failed.failure.refusal == HTTPStatus.FORBIDDEN:
            return NotAuthorised(f"{failed}: this account may not do that; use another token")
        return ForeignAnswer(f"{failed}; is {self._registry.endpoint} the address of a Wallaroo registry?")


def find_workspace(written: str, workspaces: Iterable[Workspace]) -> Workspace:
    """The workspace meant: all digits are an id, else a name. Raises ``UsageError`` with what was perhaps meant."""
    known = list(workspaces)
    for workspace in known:
        if written == (str(workspace.workspace_id) if written.isdecimal() else workspace.name):
            return workspace
    near = nearest(written, [workspace.name for workspace in known])
    if near:
        hint = f"did you mean {near!r}?"
    else:
        shown = [f"{workspace.workspace_id} {workspace.name!r}" for workspace in known[:NAMES_SHOWN]]
        more = ", ... (`bulkload workspaces list` shows all)" if len(known) > NAMES_SHOWN else ""
        hint = f"this account sees {', '.join(shown) or 'none'}{more}"
    raise UsageError(f"workspace {written!r} does not exist; {hint}")


def _summary(before: ModelSummary | None, version: RegistryVersion, workspace_id: int) -> ModelSummary:
    """The model after one more of its versions was seen."""
    count = 1 if before is None else before.versions + 1
    if before is not None and before.version_id > version.version_id:
        return msgspec.structs.replace(before, versions=count)
    return ModelSummary(
        name=version.name,
        workspace_id=workspace_id,
        versions=count,
        version_id=version.version_id,
        status=version.status,
        framework=None if version.conversion is None else version.conversion.framework,
        size=version.size,
        created_at=version.created_at,
    )
