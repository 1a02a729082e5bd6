"""What the registry holds of this manifest's models: asked once for a run, and afresh for one model.

A workspace is listed whole, in one call; where that is refused, or too slow, each model is asked for by itself, when
its turn comes.
"""

from contextlib import aclosing
from http import HTTPStatus

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.permits import Call
from bulkload.core.model.errors import RegistryUnavailable
from bulkload.core.model.events import Advanced, ListingRead, NotListed, VersionNotShown
from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.verdicts import CallFailed, FailureKind, another_call_may_do
from bulkload.engine.calls import TriedEnough, always, read
from bulkload.engine.context import Run
from bulkload.ledger.interface import (
    Compare,
    FindEqual,
    ForgetListing,
    KeepListing,
    RememberDigest,
    WorkspacesToList,
)
from bulkload.ledger.records import LedgerEntry

# One message for many models: a big workspace has tens of thousands.
VERSIONS_A_COMMIT = 500


async def list_models(run: Run) -> None:
    """Ask each workspace in which something is to be sent or reconciled, and keep this manifest's models on disk."""
    run.events.phase("listing")
    await run.ledger.execute(ForgetListing())
    seen = 0
    for workspace_id in await run.ledger.execute(WorkspacesToList()):
        seen += await _list_or_leave(run, workspace_id, seen)


async def _list_or_leave(run: Run, workspace_id: int, seen: int) -> int:
    """List a workspace; leave it to be asked for model by model where only this call fails.

    ``seen``: versions of other workspaces. Returns how many this one has.
    """
    while True:
        try:
            versions = await read(run, Call.LIST, lambda: _list_workspace(run, workspace_id, seen), few_tries=always)
        except (CallFailed, RegistryUnavailable) as error:
            if not _is_down(error):
                run.unlisted.add(workspace_id)
                run.events(NotListed(workspace_id, str(error)))
                # It says nothing of other listings.
                run.limits.excuse(Call.LIST)
                return 0
            if not isinstance(error, TriedEnough) or run.limits.prospect(Call.LIST) is not Prospect.GO_ON:
                raise
        else:
            run.events(ListingRead(workspace_id, versions))
            return versions


def _is_down(error: CallFailed | RegistryUnavailable) -> bool:
    """Whether the registry cannot be reached or wants to be left alone, rather than fail at this one call."""
    failed = error if isinstance(error, CallFailed) else error.__cause__
    if not isinstance(failed, CallFailed):
        return True
    return failed.failure.kind is FailureKind.NO_CONNECTION or failed.failure.status in (429, 503)


async def _list_workspace(run: Run, workspace_id: int, seen: int) -> int:
    batch: list[RegistryVersion] = []
    count = 0

    async def keep() -> None:
        versions = tuple(batch)
        batch.clear()
        await run.ledger.execute(KeepListing(versions))

    async with aclosing(run.registry.list_workspace(workspace_id)) as models:
        async for versions in models:
            batch.extend(versions)
            count += len(versions)
            if run.events.hears(Advanced):
                run.events(Advanced(seen + count))
            if len(batch) >= VERSIONS_A_COMMIT:
                await keep()
    await keep()
    return count


async def have_listed(run: Run, entry: LedgerEntry) -> None:
    """See to it that this run's listing has the versions of a model."""
    if entry.workspace_id in run.unlisted:
        await run.ledger.execute(KeepListing(tuple(await versions_now(run, entry))))


async def versions_now(run: Run, entry: LedgerEntry, sha256: str | None = None) -> list[RegistryVersion]:
    """The versions of one model as the registry holds them now; with ``sha256`` those that may have these bytes.

    By ``list_versions_for_model`` where the registry has it, else by ``list_versions``, which matches the name in all
    workspaces and of all owners: its rows are filtered, and each survivor is confirmed by its id.
    """
    workspace_id, name = entry.model
    try:
        found = await read(
            run,
            Call.LIST,
            lambda: run.registry.list_versions_for_model(name, workspace_id),
            give_way=another_call_may_do,
        )
    except CallFailed:
        rows = await read(run, Call.LIST, lambda: run.registry.list_versions(name))
        wanted = [row for row in rows if row.name == name and (sha256 is None or row.sha256 in (None, sha256))]
        found = [v for row in wanted if (v := await _seen(run, row.version_id, sha256)) is not None]
    return [version for version in found if (version.workspace_id, version.name) == entry.model]


async def _seen(run: Run, version_id: int, sha256: str | None) -> RegistryVersion | None:
    """A version that a list of all owners names; None where it is not this account's to see, or gone by now."""
    try:
        return await read(run, Call.FIRST_POLL, lambda: run.registry.version(version_id))
    except CallFailed as failed:
        refusal = failed.failure.refusal
        # Who looks for bytes that were sent must not take "not found" for "not there".
        if refusal == HTTPStatus.FORBIDDEN or (refusal == HTTPStatus.NOT_FOUND and sha256 is None):
            run.events(VersionNotShown(version_id, str(failed)))
            return None
        raise


async def digest_to_compare(run: Run, entry: LedgerEntry, look: Look) -> str | None:
    """The file's digest, where an equal version may be there; None where the listing rules that out.

    It is computed only when neither the manifest nor the ledger knows it. Raises ``OSError`` and ``SourceChanged``.
    """
    comparison = await run.ledger.execute(Compare(entry, look))
    if not comparison.possible:
        return None
    known = entry.entry.sha256 or comparison.sha256
    if known is None:
        source = entry.entry.source
        look, known = await run.sources.digest(source)
        await run.ledger.execute(RememberDigest(source, look, known))
    return known


async def find_equal(run: Run, entry: LedgerEntry, sha256: str) -> ExistingDecision | None:
    """An equal version that is there already, in the listing or published by this ledger for another entry."""
    return await run.ledger.execute(FindEqual(entry=entry, sha256=sha256, registry_time=run.registry.answered_at))
