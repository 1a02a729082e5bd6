"""How a run is getting on: its events, gathered; and looked at now and then, as facts."""

from collections import Counter, deque
from dataclasses import dataclass, field

from bulkload.core.model.counts import Counts
from bulkload.core.model.events import (
    Advanced,
    BodySent,
    ConversionPlaces,
    EntryMoved,
    Event,
    Held,
    LimitChanged,
    Noticed,
    Outage,
    OutageEnded,
    Paced,
    PhaseBegan,
    Retried,
    RunBegan,
    Stopping,
)
from bulkload.core.model.states import State
from bulkload.report.facts import Facts, Silence

# Speeds are those of the last so many seconds; the time left and the retries go by the last minute.
SPEED_SECONDS = 10.0
MINUTE_SECONDS = 60.0
SAMPLE_SECONDS = 0.5
# Before so many seconds and entries an estimate is a guess.
ESTIMATE_AFTER_SECONDS = 2.0
ESTIMATE_AFTER_ENTRIES = 3


@dataclass(slots=True)
class Progress:
    """What a display may look at while a run works: a consumer of its events, and nothing else."""

    phase: str = "starting"
    # Counted in the current phase, where it has no states to show.
    done: int = 0
    # States, bytes, retries.
    counts: Counts = field(default_factory=Counts)
    begun: RunBegan | None = None
    # Uploads at a time; None before the run began.
    at_a_time: int | None = None
    # Uploads a second at the most, and that the registry was found to take; None: no limit.
    upload_rate: float | None = None
    found_rate: float | None = None
    # Until when the registry asked for a pause.
    held_until: float = float("-inf")
    # Kind of call -> what is known of its outage.
    outages: dict[str, Outage] = field(default_factory=dict)
    # Uploads that are sent whole, and how many were answered.
    unanswered: dict[int, None] = field(default_factory=dict)
    answered: int = 0
    # (call, status) -> how often it was tried again.
    retries: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    waiting_for_places: int = 0
    stopping: Stopping | None = None
    # What people are told beside their entries.
    notices: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """What it listens to."""
        return _KINDS

    def __call__(self, event: Event) -> None:
        """One more event."""
        kind = type(event)
        if kind in Counts.kinds:
            self.counts(event)
        if isinstance(event, EntryMoved):
            if event.entry_id in self.unanswered:
                del self.unanswered[event.entry_id]
                self.answered += 1
        elif isinstance(event, BodySent):
            self.unanswered[event.entry_id] = None
        elif isinstance(event, Retried):
            self.retries[event.call, event.status] += 1
        elif kind not in Counts.kinds:
            self._note_course(event)
            self._note_limit(event)
            self._note_hold(event)

    def _note_course(self, event: Event) -> None:
        if isinstance(event, PhaseBegan):
            self.phase, self.done = event.phase, 0
        elif isinstance(event, Advanced):
            self.done = event.done
        elif isinstance(event, Noticed):
            self.notices.append(event.words)
        elif isinstance(event, Stopping):
            self.stopping = event

    def _note_limit(self, event: Event) -> None:
        if isinstance(event, RunBegan):
            self.begun = event
            self.at_a_time, self.upload_rate = event.concurrency, event.upload_rate
        elif isinstance(event, LimitChanged):
            if event.limit == "concurrency" and event.after is not None:
                self.at_a_time = int(event.after)
            elif event.limit == "rate" and event.kind == "upload":
                self.found_rate = event.found or event.after
        elif isinstance(event, Paced) and event.kind == "upload":
            self.upload_rate = event.rate
            self.found_rate = None if event.rate is None else self.found_rate

    def _note_hold(self, event: Event) -> None:
        if isinstance(event, Held):
            self.held_until = max(self.held_until, event.until)
        elif isinstance(event, Outage):
            self.outages[event.kind] = event
        elif isinstance(event, OutageEnded):
            self.outages.pop(event.kind, None)
        elif isinstance(event, ConversionPlaces):
            self.waiting_for_places = event.waiting


_KINDS: frozenset[type[Event]] = Counts.kinds | {
    PhaseBegan, Advanced, RunBegan, LimitChanged, Paced, Held, Noticed, Outage, OutageEnded, BodySent, ConversionPlaces,
    Stopping,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    bytes_sent: int
    sent: int
    done: int
    retries: Counter[tuple[str, int | None]]


class Watch:
    """Looks at a run now and then. Moments are seconds of the run's own clock."""

    def __init__(self, progress: Progress, now: float) -> None:
        self._progress = progress
        self._started = now
        self._samples: deque[_Sample] = deque()
        # What moved last (bytes, entries sent, entries done), and when.
        self._moved: tuple[int, int, int] = (0, 0, 0)
        self._retried = 0
        self._moved_at = now
        # When an upload was answered last, or none waited.
        self._answered = 0
        self._answered_at = now
        self._stops_at: float | None = None

    def look(self, now: float) -> Facts:
        """The facts of this moment."""
        progress = self._progress
        begun, states = progress.begun, progress.counts.states
        self._note(now)
        bytes_speed, models_speed = self._speeds(now)
        retries, retried = self._retries()
        still = now - self._moved_at
        return Facts(
            phase=progress.phase,
            elapsed=now - self._started,
            counted=progress.done,
            endpoint=None if begun is None else begun.endpoint,
            states=dict(states),
            bytes_sent=progress.counts.bytes_sent,
            left=self._left(now) if still < SPEED_SECONDS and not progress.outages else None,
            bytes_speed=bytes_speed,
            models_speed=models_speed,
            at_a_time=progress.at_a_time,
            most_uploads=None if begun is None else progress.upload_rate,
            found_uploads=progress.found_rate,
            stopping=None if self._stops_at is None else max(0.0, self._stops_at - now),
            silence=self._silence(now),
            pause=progress.held_until - now if progress.held_until > now else None,
            unanswered=len(progress.unanswered),
            unanswered_for=now - self._answered_at,
            answer_timeout=None if begun is None else begun.answer_timeout,
            retries=retries,
            retried=retried,
            waiting_for_places=progress.waiting_for_places,
            max_converting=None if begun is None else begun.max_converting,
            still=still,
        )

    def _note(self, now: float) -> None:
        """Remember what speeds and waits are reckoned from."""
        progress, states = self._progress, self._progress.counts.states
        done = states[State.READY] + states[State.ERROR] + states[State.SKIPPED] + states[State.FAILED]
        sent = done + states[State.UPLOADED]
        moved = (progress.counts.bytes_sent, sent, done)
        # Bytes that are sent again bring nothing forward.
        again, self._retried = progress.counts.retries > self._retried, progress.counts.retries
        if moved[1:] != self._moved[1:] or (moved != self._moved and not again):
            self._moved_at = now
        self._moved = moved
        if not progress.unanswered or progress.answered != self._answered:
            self._answered, self._answered_at = progress.answered, now
        if progress.stopping is not None and self._stops_at is None:
            self._stops_at = now + progress.stopping.grace
        samples = self._samples
        if states and (not samples or now - samples[-1].at >= SAMPLE_SECONDS):
            samples.append(_Sample(now, *moved, progress.retries.copy()))
            while len(samples) > 2 and samples[1].at <= now - MINUTE_SECONDS:
                samples.popleft()

    def _speeds(self, now: float) -> tuple[float | None, float | None]:
        since = next((sample for sample in self._samples if sample.at >= now - SPEED_SECONDS), None)
        if since is None or now - since.at < 1.0:
            return None, None
        seconds, (bytes_sent, sent, done) = now - since.at, self._moved
        states = self._progress.counts.states
        sending = states[State.PLANNED] + states[State.UPLOADING]
        models = sent - since.sent if sending else done - since.done
        return (bytes_sent - since.bytes_sent) / seconds, max(0, models) / seconds

    def _left(self, now: float) -> float | None:
        """How long the rest takes at the pace of the last minute."""
        if not self._samples:
            return None
        since, done = self._samples[0], self._moved[2]
        finished, seconds = done - since.done, now - since.at
        rest = self._progress.counts.states.total() - done
        if seconds < ESTIMATE_AFTER_SECONDS or finished < ESTIMATE_AFTER_ENTRIES or not rest:
            return None
        return rest * seconds / finished

    def _retries(self) -> tuple[int, str]:
        """How many in the last minute, and of which call most."""
        recent = self._progress.retries.copy()
        if self._samples:
            recent.subtract(self._samples[0].retries)
        total = sum(recent.values())
        if total <= 0:
            return 0, ""
        (call, status), _ = recent.most_common(1)[0]
        return total, f"no answer from {call}" if status is None else f"{status} from {call}"

    def _silence(self, now: float) -> Silence | None:
        outages = self._progress.outages.values()
        if not outages:
            return None
        first = min(outages, key=lambda outage: outage.gives_up_at)
        tries = [outage.next_try for outage in outages if outage.next_try >= now]
        return Silence(
            call=first.call,
            status=first.status,
            lasted=now - first.since,
            next_try=min(tries, default=now) - now,
            gives_up=first.gives_up_at - now,
        )
