"""The facts of a live run, for those who ask its ledger."""

import os
import time

import anyio
import msgspec

from bulkload.ledger import Heartbeat, LedgerReader
from bulkload.report.display import Look
from bulkload.report.facts import Facts, aged

BEAT_SECONDS = 1.0
# One that is so old is not the run's word any more: the process is stopped, or its machine asleep.
LONGEST_SECONDS = 60.0
TRIES = 3


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says of itself: who, when (seconds since 1970), and how it is getting on."""

    pid: int
    at: float
    facts: Facts


async def keep_heartbeat(look: Look, heartbeat: Heartbeat) -> None:
    """Write the facts every second until cancelled, from when the ledger knows of the run."""
    while True:
        facts = look()
        if facts is not None and facts.endpoint is not None:
            heartbeat.beat(msgspec.json.encode(Beat(pid=os.getpid(), at=time.time(), facts=facts)))
        await anyio.sleep(BEAT_SECONDS)


def live_facts(reader: LedgerReader) -> Facts | None:
    """How the run that holds this ledger is getting on now; None where nothing says so."""
    holder = reader.holder
    if holder is None:
        return None
    for _ in range(TRIES):
        data = reader.heartbeat
        if data is None:
            return None
        try:
            beat = msgspec.json.decode(data, type=Beat)
        except msgspec.MsgspecError:
            continue  # it was just being written
        passed = max(0.0, time.time() - beat.at)
        return aged(beat.facts, passed) if beat.pid == holder.pid and passed < LONGEST_SECONDS else None
    return None
