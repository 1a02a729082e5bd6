"""``bulkload.engine.calls`` on virtual time: calls that may be repeated without harm."""

from typing import TYPE_CHECKING, Any

from benchmarks.simulation.clock import Action
from benchmarks.simulation.gates import Gate
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.retry import RetryBudget, may_retry
from bulkload.core.model.errors import RegistryUnavailable
from bulkload.core.verdicts import Failure
from bulkload.engine.calls import pause_seconds

if TYPE_CHECKING:
    from benchmarks.simulation.run import Run


class Read:
    """One call, and again while its failure passes; then ``then(subject)``, with the answer in ``done``."""

    __slots__ = (
        "_attempt", "_began", "_budget", "_call", "_failure", "_gate", "_run", "_then", "_tried_enough",
        "done", "subject", "version_id",
    )  # fmt: skip

    def __init__(
        self,
        run: "Run",
        call: str,
        then: Action,
        subject: Any = None,
        *,
        gate: Gate | None,
        version_id: int = -1,
        tried_enough: Action | None = None,
    ) -> None:
        """``gate``: None for what is asked before the run has one, with a budget of its own.

        ``tried_enough``: what comes of a call that fails again and again while others do not; None: the run ends.
        """
        self._run = run
        self._call = call
        self._then = then
        self._tried_enough = tried_enough
        self._gate = gate
        self._budget = run.budget if gate is not None else RetryBudget()
        self._attempt = 0
        self._began = 0.0
        self._failure: Failure | None = None
        self.subject = subject
        self.version_id = version_id
        self.done = False

    def start(self, _: object = None) -> None:
        if self._run.stopped:
            return
        self._attempt += 1
        if self._gate is None:
            self._send()
        else:
            self._gate.enter(self._send, None)

    def _send(self, _: object = None) -> None:
        run = self._run
        if run.stopped:
            return
        self._began = run.clock.now
        answered, self._failure, self.done = run.registry.ask(self._began, self._call, self.version_id)
        run.clock.at(answered, self._answered)

    def _answered(self, _: object = None) -> None:
        run, failure = self._run, self._failure
        if run.stopped:
            return
        if self._gate is not None:
            self._gate.answered(self._began, failure)
        if failure is None:
            self._budget.earn()
            self._then(self)
            return
        try:
            seconds = pause_seconds(failure, self._attempt, run.random() if self._gate is not None else 0.5, Pauses())
        except RegistryUnavailable:
            run.stop(self._call)
            return
        prospect = self._prospect()
        if prospect is Prospect.GIVE_UP or not (may_retry(self._attempt, self._budget) or prospect is Prospect.GO_ON):
            if prospect is Prospect.GIVE_UP or self._tried_enough is None:
                run.stop(self._call)
            else:
                self._tried_enough(self)
            return
        if failure.retry_after and self._gate is not None:
            run.gates.hold(failure.retry_after)
        run.clock.at(run.clock.now + seconds, self.start)

    def _prospect(self) -> Prospect:
        if self._gate is None:
            return Prospect.NO_OUTAGE
        return self._gate.prospect(self._run.settings.patience)
