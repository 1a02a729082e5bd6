"""All limits of a run: how often each kind of call, how many uploads at a time, how many bytes a second."""

from bulkload.core.limits.pacing import Pacer, byte_pacer
from bulkload.core.model.events import Held
from bulkload.core.model.settings import Settings
from bulkload.core.polls.schedule import AUTO_POLL_RATE
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events
from bulkload.engine.limits.rate_limiter import RateLimiter
from bulkload.engine.limits.turns import Turns
from bulkload.engine.limits.upload_slots import UploadSlots
from bulkload.engine.stop import Stop


class Limits:
    """The limiters that the calls of a run pass."""

    def __init__(self, settings: Settings, stop: Stop, clock: Clock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self.uploads = RateLimiter(clock, "upload", settings.upload_rate, stop, events)
        self.polls = RateLimiter(clock, "poll", settings.poll_rate, stop, events)
        self.lists = RateLimiter(clock, "list", settings.list_rate, stop, events)
        self.tokens = RateLimiter(clock, "token", settings.token_rate, stop, events)
        self.slots = UploadSlots(clock, settings.concurrency, events)
        # `--poll-rate auto`: a version's first poll keeps pace with the uploads, all further ones share this.
        further = Pacer(AUTO_POLL_RATE if settings.poll_rate is None else None)
        self.further_polls = Turns(clock, further.take, stop)
        # A body under way is given its grace time when the run stops.
        self.bytes = Turns(clock, byte_pacer(settings.bandwidth).take)

    async def before_login(self) -> None:
        """A token is about to be asked for, by whichever call needs one."""
        await self.tokens.reserve()
        self.tokens.note_request()

    def hold(self, seconds: float) -> None:
        """The registry asked for a pause: it holds for everybody, not only for the call that was told."""
        now = self._clock.now()
        for limiter in (self.uploads, self.polls, self.lists, self.tokens):
            limiter.throttle.pacer.hold(now, seconds)
        self._events(Held(seconds, now + seconds))
