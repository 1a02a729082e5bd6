"""Faults on demand: the grammar, and the plan that says which request meets which fault. Pure and seeded.

    CALL:FAULT[=ARG][WHEN]      upload:lost-answer%20    poll:503*3    upload:429=5@2    list:html

WHEN counts the requests that the fault can happen to: `@N` the Nth, `*N` the first N, `%P` P percent of them by the
seed, nothing: each. When several faults want one request, the first one given has it; all of them count it.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bulkload.sandbox.limits import CALLS

ANSWERING = frozenset({"upload", "poll", "list", "token", "other"})
SHOWING_VERSIONS = frozenset({"upload", "poll", "list"})
LISTING = frozenset({"upload", "list"})  # of an upload: that version only, for all listings


class Argument(Enum):
    """What may stand after the `=` of a fault."""

    NONE = "nothing"
    SECONDS = "a number of seconds"
    BYTES = "a number of bytes"
    STATUS = "a status code"


# Name: the calls it can happen to, its argument. Status codes are faults too; their argument is a Retry-After, for 3xx
# a Location, or `body:` and the whole body.
FAULTS: dict[str, tuple[frozenset[str], Argument]] = {
    "refuse": (ANSWERING, Argument.NONE),  # the connection is closed at once, nothing is read
    "reset": (ANSWERING, Argument.BYTES),  # TCP reset in the middle of the body (default: after half of it)
    "lost-answer": (ANSWERING, Argument.STATUS),  # done, then dropped; with a code: done, then the gateway answers that
    "late": (frozenset({"upload"}), Argument.SECONDS),  # dropped after the body, stored up to 1 s (or ARG s) later
    "stall": (ANSWERING, Argument.SECONDS),  # done, and no answer for 600 s (or ARG s), then dropped
    "stall-body": (ANSWERING, Argument.BYTES),  # reading stops after that much of the body (default: half)
    "slow": (ANSWERING, Argument.SECONDS),  # the answer comes 1 s (or ARG s) later
    "garbage": (ANSWERING, Argument.NONE),  # done, and the 2xx answer is no JSON
    "html": (ANSWERING, Argument.STATUS),  # nothing done: a gateway's HTML page, 502 unless said otherwise
    "half": (ANSWERING, Argument.NONE),  # done, half of the answer, then the connection is closed
    "wrong-digest": (SHOWING_VERSIONS, Argument.NONE),  # upload: other bytes stored; else: another digest shown
    "no-digest": (SHOWING_VERSIONS, Argument.NONE),  # the digest is null
    "stuck": (SHOWING_VERSIONS, Argument.NONE),  # never terminal
    "unknown-status": (SHOWING_VERSIONS, Argument.NONE),  # a status that nobody knows
    "no-status": (SHOWING_VERSIONS, Argument.NONE),  # no status in the answer at all
    "null-summary": (SHOWING_VERSIONS, Argument.NONE),  # the error_summary of an `error` is the word null
    "lag": (LISTING, Argument.SECONDS),  # versions younger than 5 s (or ARG s) are in no listing, only found by id
    "late-summary": (SHOWING_VERSIONS, Argument.SECONDS),  # error_summary null, for uploads until 1 s after the error
}
FAULT_PATTERN = re.compile(
    r"(?P<call>[a-z]+):(?P<name>[a-z0-9-]+)(?:=(?P<argument>[^@*%]*))?"
    r"(?:(?P<when>[@*%])(?P<number>[0-9]+(?:\.[0-9]+)?))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request: a name of FAULTS, or a status code as text, and what stood after its `=`."""

    name: str
    argument: str | None = None

    @property
    def status(self) -> int | None:
        """The status code, when the fault is one."""
        return int(self.name) if self.name.isdigit() else None

    def number(self, default: float) -> float:
        """The argument as a number."""
        return default if self.argument is None else float(self.argument)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault, the calls it happens to, and when: `@`, `*`, `%` with a number, or `` (each request)."""

    call: str
    fault: Fault
    when: str
    number: float

    def concerns(self, call: str) -> bool:
        """Whether this fault can happen to a request of `call`."""
        if self.call not in {call, "any"}:
            return False
        return self.fault.status is not None or call in FAULTS[self.fault.name][0]


def parse_fault(text: str) -> FaultSpec:
    """Read `CALL:FAULT[=ARG]` and its WHEN. Raises ValueError with what is wrong and what would be right."""
    match = FAULT_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"fault {text!r}: expected CALL:FAULT[=ARG] and @N, *N, %P or nothing: upload:lost-answer%20")
    call, name, argument = match["call"], match["name"], match["argument"]
    if call not in CALLS:
        raise ValueError(f"fault {text!r}: unknown call {call!r}, expected one of {', '.join(CALLS)}")
    _check_name(text, call, name)
    _check_argument(text, name, argument)
    when, number = match["when"] or "", float(match["number"] or 0)
    if when in {"@", "*"} and (number < 1 or number != int(number)):
        raise ValueError(f"fault {text!r}: {when} wants a whole number from 1")
    if when == "%" and number > 100:
        raise ValueError(f"fault {text!r}: % wants a number from 0 to 100")
    return FaultSpec(call, Fault(name, argument), when, number)


def _check_name(text: str, call: str, name: str) -> None:
    if name.isdigit():
        if not 200 <= int(name) <= 599:
            raise ValueError(f"fault {text!r}: a status code is a number from 200 to 599")
    elif name not in FAULTS:
        raise ValueError(f"fault {text!r}: unknown fault {name!r}, expected {', '.join(FAULTS)} or a status code")
    elif call != "any" and call not in FAULTS[name][0]:
        possible = ", ".join(sorted(FAULTS[name][0] - {"other"}))
        raise ValueError(f"fault {text!r}: {name} cannot happen to {call}, only to {possible}")


def _check_argument(text: str, name: str, argument: str | None) -> None:
    if argument is None or name.isdigit():
        return
    wanted = FAULTS[name][1]
    patterns = {
        Argument.SECONDS: r"[0-9]+(\.[0-9]+)?",
        Argument.BYTES: r"[0-9]+",
        Argument.STATUS: r"[2-5][0-9][0-9]",
    }
    if wanted is Argument.NONE:
        raise ValueError(f"fault {text!r}: {name} takes no argument")
    if re.fullmatch(patterns[wanted], argument) is None:
        raise ValueError(f"fault {text!r}: {name} wants {wanted.value} after =, not {argument!r}")


class FaultPlan:
    """Which request meets which fault: the same seed and the same order of requests give the same faults."""

    def __init__(self, specs: Iterable[FaultSpec], seed: int) -> None:
        self._specs = tuple(specs)
        self._counts = [0] * len(self._specs)
        # One generator a fault: adding a fault does not change when the others happen.
        self._chances = [
            random.Random(f"{seed}:{index}:{spec}")  # noqa: S311 - chance, not secrecy
            for index, spec in enumerate(self._specs)
        ]
        self._delays = random.Random(f"{seed}:delays")  # noqa: S311 - chance, not secrecy

    def next(self, call: str) -> Fault | None:
        """The fault that the next request of `call` meets."""
        chosen: Fault | None = None
        for index, spec in enumerate(self._specs):
            if not spec.concerns(call):
                continue
            self._counts[index] += 1
            if self._happens(index, spec) and chosen is None:
                chosen = spec.fault
        return chosen

    def landing_delay_seconds(self, fault: Fault) -> float:
        """How long after the drop a `late` upload is stored: ARG seconds, else up to one second by the seed."""
        chance = self._delays.random()
        return fault.number(chance)

    def _happens(self, index: int, spec: FaultSpec) -> bool:
        count = self._counts[index]
        if spec.when == "@":
            return count == spec.number
        if spec.when == "*":
            return count <= spec.number
        if spec.when == "%":
            return self._chances[index].random() * 100 < spec.number
        return True
