"""The plan: the manifest's entries into the ledger, a page at a time, in the transaction in which the run begins."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from bulkload.core.identity.content import entry_key
from bulkload.core.model.errors import ManifestError
from bulkload.core.model.events import Advanced
from bulkload.core.model.records import Problem
from bulkload.engine.context import Run
from bulkload.engine.preflight.checks import Instance, StagedManifest
from bulkload.ledger.interface import PlanEntries
from bulkload.ledger.records import PlannedEntry
from bulkload.manifest import place_of
from bulkload.system.abandonable import AbandonableThread

ENTRIES_A_PAGE = 1000
# More than anyone reads; the count goes on.
MOST_PROBLEMS = 10_000


async def plan_entries(run: Run, instance: Instance, staged: StagedManifest) -> None:
    """Hand the entries to the ledger, each with how its file looked at the check.

    Raises ``ManifestError`` when two entries turn out to be the same, and the reason when the run is to stop.
    """
    loop = asyncio.get_running_loop()
    entries, problems = _planned(staged, instance), list[Problem]()
    done, count = 0, 0

    def next_page() -> tuple[PlannedEntry, ...]:
        return tuple(islice(entries, ENTRIES_A_PAGE))

    while page := await loop.run_in_executor(AbandonableThread(), next_page):
        run.stop.raise_if_asked()
        met = await run.ledger.execute(PlanEntries(page))
        count += len(met)
        problems += [_same_entry(staged.manifest, *lines) for lines in met[: MOST_PROBLEMS - len(problems)]]
        done += len(page)
        run.events(Advanced(done))
    if count:
        plural = "problem" if count == 1 else "problems"
        raise ManifestError(f"{staged.manifest}: {count} {plural}; nothing was sent", tuple(problems))


def _planned(staged: StagedManifest, instance: Instance) -> Iterator[PlannedEntry]:
    """The staged entries, resolved."""
    for each in staged.entries():
        entry, workspace_id = each.entry, instance.workspaces[each.entry.workspace]
        yield PlannedEntry(
            entry_key=entry_key(entry, workspace_id, instance.default_arch),
            workspace_id=workspace_id,
            entry=entry,
            look=each.look,
        )


def _same_entry(manifest: str, line: int, first_line: int) -> Problem:
    return Problem(
        manifest=manifest,
        place=place_of(manifest, line),
        field="name",
        what=f"the same entry as {place_of(manifest, first_line)}, once the workspaces and defaults are looked up",
        remedy="remove one of them, or give them different version labels",
    )
