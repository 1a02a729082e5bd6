"""One look at a version under watch: what the registry shows, what it is to its entry, and what becomes of that."""

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.arrival import Arrival
from bulkload.core.limits.permits import Call
from bulkload.core.model.events import ErrorNotExplained
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import REGISTRY_TERMINAL, State
from bulkload.core.polls.queue import Watch
from bulkload.core.verdicts import CallFailed, another_call_may_do, may_lack_call, may_mean_no_such_version
from bulkload.engine.calls import TriedEnough, read
from bulkload.engine.context import Run
from bulkload.engine.listing import versions_now
from bulkload.ledger.interface import Disown, GetEntry, Judge, Judged, Move, NoteStatus
from bulkload.ledger.records import LedgerEntry, Outcome

# A version that was just made may not be found yet; after so many times in a row the listing is asked.
TIMES_NOT_FOUND = 5
LOG_LINES_KEPT = 200


class VersionLook:
    """Looks at versions, and writes down what that means."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # Versions that turned out to be another's.
        self.lost = 0

    async def is_done(self, watch: Watch) -> bool:
        """Ask once; True when there is nothing more to ask."""
        version = await self._version(watch)
        if version is None:
            return await self._is_gone(watch)
        watch.not_found = 0
        if watch.converting_answer is not None and _digest(version) == watch.converting_answer:
            return False  # a long wait consists of these: they cost the ledger nothing
        return await self._judge(watch, version)

    async def _judge(self, watch: Watch, version: RegistryVersion) -> bool:
        """Whether it is ours, and whether it has ended."""
        run = self._run
        verdict = REGISTRY_TERMINAL.get(version.status or "")
        seconds = round(run.clock.now() - watch.since, 3)
        ready = _ready_outcome(version, seconds, run.clock.utc_now())
        judged = await run.ledger.execute(
            Judge(entry_id=watch.entry_id, version=version, noted=watch.status, ready=ready)
        )
        entry = judged.entry
        if judged.arrival is Arrival.OURS and verdict is None:
            watch.status, watch.converting_answer = version.status, _digest(version)
            return False
        given_up = None if judged.arrival is Arrival.OURS else await self._given_up(watch, judged, version)
        if given_up is not None:
            return given_up
        if verdict is None:
            await self._note_status(watch, version)
            return False
        if watch.fresh and watch.converting:
            run.poll_schedule.note(watch.kind, watch.asked, seconds)
        outcome = ready if verdict is State.READY else await self._error_outcome(version, seconds)
        moved = judged.moved
        if moved is None:
            moved = await run.ledger.execute(Move(entry.id, verdict, outcome))
        run.moved(entry, moved, outcome)
        return True

    async def _given_up(self, watch: Watch, judged: Judged, version: RegistryVersion) -> bool | None:
        """Whether an id that leads to something else is done with (False: not yet); None: ours, as far as one sees."""
        entry, arrival = judged.entry, judged.arrival
        if arrival is Arrival.NOT_OURS:
            await self._lose(entry, f"version {version.version_id} is not the one that was sent")
            return True
        if self._run.clock.now() < watch.since + self._run.settings.settle:
            return False  # listings may not show ours yet
        sent_as = sent_file_name(entry.entry.source) if arrival is Arrival.OTHER_FILE else None
        if await self._ours_is_there_too(entry, version, sent_as):
            await self._lose(entry, f"version {version.version_id} is another upload's")
            return True
        if arrival is Arrival.OTHER_FILE:
            return None
        await self._fail_for_other_bytes(entry, version)
        return True

    async def _ours_is_there_too(self, entry: LedgerEntry, version: RegistryVersion, file_name: str | None) -> bool:
        """Whether the model has another version that ours may be. ``file_name``: where given, ours has that one."""
        return any(
            other.version_id != version.version_id
            and other.version_id not in entry.fence
            and other.sha256 == entry.sha256
            and file_name in (None, other.file_name)
            for other in await versions_now(self._run, entry, entry.sha256)
        )

    async def _note_status(self, watch: Watch, version: RegistryVersion) -> None:
        if version.status != watch.status:
            watch.status = version.status
            await self._run.ledger.execute(NoteStatus(watch.entry_id, version.status))

    async def _error_outcome(self, version: RegistryVersion, seconds: float) -> Outcome:
        if version.error_summary is None:
            await self._run.clock.sleep(self._run.settings.pauses.error_summary)
            try:
                version = await read(
                    self._run,
                    Call.FIRST_POLL,
                    lambda: self._run.registry.version(version.version_id),
                    few_tries=may_mean_no_such_version,
                )
            except (CallFailed, TriedEnough):
                self._run.events(ErrorNotExplained(version.version_id))
        try:
            lines = await read(
                self._run,
                Call.FIRST_POLL,
                lambda: self._run.registry.upload_logs(version.version_id, LOG_LINES_KEPT),
                # Older registries do not have them.
                few_tries=another_call_may_do,
                give_way=may_lack_call,
            )
        except (CallFailed, TriedEnough) as failed:
            lines = [f"(the logs could not be fetched: {failed})"]
        return Outcome(
            status=version.status,
            version_uuid=version.uuid,
            finished_at=self._run.clock.utc_now(),
            convert_seconds=seconds,
            cause="conversion_error",
            message=version.error_summary or "the registry gives no reason; the logs may",
            logs="\n".join(lines) or None,
        )

    async def _version(self, watch: Watch) -> RegistryVersion | None:
        """The version as the registry shows it; None where it does not have it, or not yet."""
        try:
            return await read(
                self._run,
                Call.FURTHER_POLL if watch.polls else Call.FIRST_POLL,
                lambda: self._run.registry.version(watch.version_id),
                few_tries=may_mean_no_such_version,
            )
        except CallFailed as failed:
            if not may_mean_no_such_version(failed.failure):
                raise
            watch.not_found += 1
            # One that was just made may not be found yet.
            return None if watch.not_found < TIMES_NOT_FOUND else await self._listed(watch)
        except TriedEnough as error:
            failed_for = error.__cause__
            if not isinstance(failed_for, CallFailed) or not may_mean_no_such_version(failed_for.failure):
                raise
            return await self._listed(watch)

    async def _listed(self, watch: Watch) -> RegistryVersion | None:
        """The version as the listing has it, which tells a version that is gone from trouble on the way."""
        entry = await self._run.ledger.execute(GetEntry(watch.entry_id))
        for version in await versions_now(self._run, entry):
            if version.version_id == watch.version_id:
                return version
        # What the poll said was an answer after all, and no outage.
        self._run.limits.excuse(Call.FIRST_POLL)
        # Before that, listings may not show it yet.
        watch.gone = self._run.clock.now() >= watch.since + self._run.settings.settle
        return None

    async def _is_gone(self, watch: Watch) -> bool:
        """Whether a version that was not found is so for good: then its entry is failed."""
        if not watch.gone:
            return False
        entry = await self._run.ledger.execute(GetEntry(watch.entry_id))
        message = f"the registry no longer has version {watch.version_id}; publish it anew with --retry-failed"
        await self._fail(entry, Outcome(cause="version_gone", message=message, finished_at=self._run.clock.utc_now()))
        return True

    async def _fail_for_other_bytes(self, entry: LedgerEntry, version: RegistryVersion) -> None:
        """What was sent is damaged there."""
        message = f"the registry holds sha256 {version.sha256}, {entry.sha256} was sent"
        outcome = Outcome(
            status=version.status,
            version_uuid=version.uuid,
            cause="wrong_digest",
            message=f"{message}; --retry-failed publishes a new version",
            finished_at=self._run.clock.utc_now(),
        )
        await self._fail(entry, outcome)

    async def _fail(self, entry: LedgerEntry, outcome: Outcome) -> None:
        moved = await self._run.ledger.execute(Move(entry.id, State.FAILED, outcome))
        self._run.moved(entry, moved, outcome)

    async def _lose(self, entry: LedgerEntry, reason: str) -> None:
        """The answer's id was another's: a lost answer, to be reconciled."""
        self.lost += 1
        moved = await self._run.ledger.execute(Disown(entry.id, reason))
        self._run.moved(entry, moved, Outcome(message=reason))


def _digest(version: RegistryVersion) -> int:
    """Of all that the judgement of a version depends on."""
    return hash((version.workspace_id, version.name, version.sha256, version.file_name, version.status))


def _ready_outcome(version: RegistryVersion, seconds: float, now: str) -> Outcome:
    return Outcome(
        status=version.status,
        version_uuid=version.uuid,
        finished_at=now,
        convert_seconds=seconds,
        message=None if version.sha256 is not None else "unverified: the registry shows no digest",
    )
