"""The two checks before the first upload, and the plan that follows from them.

Offline: the whole manifest is read once and its entries are staged on disk, so that neither a million rows nor a
manifest that changes meanwhile (or comes from a pipe) can hurt. Online: config and workspaces. Neither makes a ledger.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import anyio
import msgspec

from bulkload.core.model.errors import BulkloadError, ManifestError, UsageError
from bulkload.core.model.events import Advanced, ManifestDoubted
from bulkload.core.model.records import Entry, Look, Notice, Problem, Workspace
from bulkload.core.model.settings import Settings
from bulkload.engine.backoff import Backoff
from bulkload.engine.doors import Doors
from bulkload.engine.events import Events, advancing
from bulkload.engine.preflight.known_files import known_files
from bulkload.engine.preflight.questions import Questions
from bulkload.engine.preflight.workspaces import found_or_made
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.manifest import Outside, check, place_of, problem_list
from bulkload.registry.interface import Registry
from bulkload.system.abandonable import AbandonableThread
from bulkload.system.file_names import recorded_path
from bulkload.system.spilling import SpilledList

STAGING_BUFFER_BYTES = 1 << 18


class StagedEntry(msgspec.Struct, frozen=True, array_like=True):
    """An entry that passed the offline check, and how its file looked then; None where it could not be looked at."""

    look: Look | None
    entry: Entry


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(StagedEntry).decode


@dataclass(slots=True)
class StagedManifest:
    """A manifest that passed the offline check: its entries on disk, one JSON line each."""

    manifest: str
    file: IO[bytes]
    count: int = 0
    bytes: int = 0
    # As written; None stands for the default workspace.
    workspaces: set[str | None] = field(default_factory=set)
    # What stops nothing, but that somebody should know.
    notices: SpilledList[Problem] = field(default_factory=problem_list)
    # Files outside the manifest's own folder.
    outside: Outside = field(default_factory=Outside)

    def take(self, entry: Entry, look: Look | None) -> None:
        """One more entry."""
        self.file.write(_encode(StagedEntry(look, entry)) + b"\n")
        self.workspaces.add(entry.workspace)
        self.count += 1

    def entries(self) -> Iterator[StagedEntry]:
        """The entries, in manifest order."""
        self.file.seek(0)
        for line in self.file:
            yield _decode(line)

    def close(self) -> None:
        """Forget the entries."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class Instance:
    """What the online check learnt about the registry."""

    # Whom a ledger of this registry belongs to: its address, or a sandbox's own id (its port changes).
    identity: str
    default_arch: str | None
    # Workspace as written in the manifest -> id.
    workspaces: dict[str | None, int]
    # Names that a run would create; until then their ids are below zero.
    missing: tuple[str, ...] = ()


async def check_offline(settings: Settings, events: Events, stop: Stop) -> StagedManifest:
    """Read and check the whole manifest. Raises ``ManifestError`` with every problem; nothing is sent."""
    if settings.root is not None and not await anyio.Path(settings.root).is_dir():
        raise UsageError(f"--root {settings.root}: is no folder; name the one that holds the models")
    events.phase("checking the manifest")
    doubts = problem_list()
    try:
        with advancing(events) as advanced:
            # Left behind when the run is to stop: nobody can cancel a read from standard input, or from a disk that
            # hangs.
            loop = asyncio.get_running_loop()
            staged = await loop.run_in_executor(AbandonableThread(), _stage, settings, doubts, stop, advanced)
    except ManifestError:
        _tell_doubts(events, doubts)
        raise
    events(Advanced(staged.count))
    _tell_doubts(events, doubts)
    return staged


def _tell_doubts(events: Events, doubts: SpilledList[Problem]) -> None:
    if doubts:
        events(ManifestDoubted(doubts))


def _stage(
    settings: Settings, doubts: SpilledList[Problem], stop: Stop, advanced: Callable[[int], None]
) -> StagedManifest:
    file = tempfile.TemporaryFile(prefix="bulkload-", buffering=STAGING_BUFFER_BYTES)  # noqa: SIM115
    staged = StagedManifest(manifest=recorded_path(settings.manifest), file=file, notices=doubts)
    root = None if settings.root is None else os.path.realpath(settings.root)
    problems = problem_list()
    try:
        with known_files(settings.ledger) as is_known:
            for found in check(
                settings.manifest,
                overrides=settings.overrides,
                workspace=settings.workspace,
                workspace_needed=not settings.default_workspace,
                root=root,
                outside=staged.outside,
                is_known=is_known,
            ):
                stop.raise_if_asked()
                if isinstance(found, Problem):
                    problems.append(found)
                elif isinstance(found, Notice):
                    staged.notices.append(found.problem)
                elif not problems:
                    staged.take(found, is_known.look_of(found.line))
                    advanced(staged.count)
        if problems:
            raise problems_found(staged.manifest, problems)
    except OSError as error:
        staged.close()
        where = tempfile.gettempdir()
        raise UsageError(f"{where}: cannot hold the entries ({error.strerror}); free space, or set TMPDIR") from None
    except BaseException:
        staged.close()
        raise
    return staged


async def check_online(
    settings: Settings, doors: Doors, staged: StagedManifest, events: Events, *, create: bool
) -> Instance:
    """Ask for config and workspaces.

    ``create`` allows to make the workspaces that are missing and that the settings ask to make. Raises
    ``ManifestError`` for workspaces that do not exist, ``NotAuthorised``, ``RegistryUnavailable``.
    """
    events.phase("asking the registry")
    registry, backoff = doors.registry, Backoff(doors.clock, doors.random, settings.pauses)
    published_to = _last_endpoint(settings) == registry.endpoint
    asking = Questions(registry, backoff, settings.patience, events, published_to=published_to)
    config = await asking.config()
    await asking.token()
    found: list[Workspace] = await asking.ask(registry.workspaces)
    config = await asking.whole(config)
    workspaces, unknown = _resolve(settings, staged, found)
    if unknown:
        loop = asyncio.get_running_loop()
        raise await loop.run_in_executor(AbandonableThread(), _unknown_workspaces, staged, unknown, found)
    missing = tuple(sorted(name for name, id_ in workspaces.items() if id_ is None and name is not None))
    if create:
        for name in missing:
            workspace, _ = await asking.ask(lambda: found_or_made(registry, name))  # noqa: B023 - awaited at once
            workspaces[name] = workspace.workspace_id
    default_arch = config.get("default_arch")
    return Instance(
        identity=identity_of(registry, config),
        default_arch=default_arch if isinstance(default_arch, str) else None,
        workspaces={written: -n if id_ is None else id_ for n, (written, id_) in enumerate(workspaces.items(), 1)},
        missing=missing,
    )


def _last_endpoint(settings: Settings) -> str | None:
    try:
        with LedgerReader(settings.ledger) as reader:
            return reader.endpoint
    except BulkloadError:
        # There is none, or it is damaged, which whoever opens it for writing says.
        return None


def identity_of(registry: Registry, config: dict[str, Any]) -> str:
    """Whom a ledger of this registry belongs to: see ``Instance``."""
    sandbox = config.get("sandbox_id")
    return f"sandbox {sandbox}" if isinstance(sandbox, str) else registry.endpoint


def _resolve(
    settings: Settings, staged: StagedManifest, found: list[Workspace]
) -> tuple[dict[str | None, int | None], set[str | None]]:
    """Workspace as written -> id, None for one that is to be made; and those that are unknown."""
    by_name = {workspace.name: workspace.workspace_id for workspace in found}
    ids = set(by_name.values())
    resolved: dict[str | None, int | None] = {}
    unknown: set[str | None] = set()
    for written in sorted(staged.workspaces, key=lambda name: name or ""):
        if written is None:
            resolved[None] = _default_workspace(found)
        elif written.isdecimal():
            resolved[written] = int(written)
        else:
            resolved[written] = by_name.get(written)
        known = resolved[written] in ids
        creatable = settings.create_workspace and written is not None and not written.isdecimal()
        if not known and not creatable:
            unknown.add(written)
    return resolved, unknown


def _default_workspace(found: list[Workspace]) -> int | None:
    """The account's default workspace is named ``<email> - Default Workspace``."""
    named = [workspace.workspace_id for workspace in found if workspace.name.endswith(" - Default Workspace")]
    return named[0] if len(named) == 1 else None


def _unknown_workspaces(
    staged: StagedManifest, unknown: Collection[str | None], found: list[Workspace]
) -> ManifestError:
    """A problem for each entry that names one of them."""
    names = sorted(workspace.name for workspace in found)
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    problems = problem_list()
    for each in staged.entries():
        written = each.entry.workspace
        if written in unknown:
            remedy = f"name one of these: {shown or '(this account sees none)'}"
            what = f"{written!r} does not exist" if written else "there is no default workspace"
            if written is None or not written.isdecimal():
                remedy += "; or let it be made with --create-workspace"
            problems.append(
                Problem(
                    manifest=staged.manifest,
                    place=place_of(staged.manifest, each.entry.line),
                    field="workspace",
                    what=what,
                    remedy=remedy,
                    # Each of them is of a kind of its own.
                    kind=what,
                )
            )
    return problems_found(staged.manifest, problems)


def problems_found(manifest: str, problems: Sequence[Problem]) -> ManifestError:
    """What a manifest with problems ends with."""
    plural = "problem" if len(problems) == 1 else "problems"
    return ManifestError(f"{manifest}: {len(problems):,} {plural}; nothing was sent", problems)
