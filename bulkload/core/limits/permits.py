"""What the limiter is asked for, and what it answers: a permit, how long to wait for one, or that there is none."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

NEVER = float("inf")


class Call(StrEnum):
    """What a permit is for."""

    # An upload holds a slot until it is settled.
    UPLOAD = "upload"
    # One that the registry converts: it takes a place on the conversion queue, too, which its version keeps.
    CONVERTED_UPLOAD = "converted upload"
    # Made at the rate of uploads, and in no line with them: they may wait for what it finds.
    PROBE = "probe"
    # A version's first poll keeps pace with the uploads; all further ones share a budget.
    FIRST_POLL = "first poll"
    FURTHER_POLL = "further poll"
    LIST = "list"
    TOKEN = "token"  # noqa: S105 - no secret


@dataclass(slots=True, eq=False)
class Stage:
    """One thing that permits wait for, and those that wait for it, in the order of asking."""

    # Takes it for a permit, and returns 0; else the seconds after which to ask again (NEVER: there will be news).
    take: Callable[[float, "Permit"], float]
    # The call leaves when it has passed: whoever waits here is asked whether it is ready.
    departs: bool = False
    # A stop ends the wait.
    ends: bool = True
    waiting: deque["Permit"] = field(default_factory=deque)


class Permit:
    """One request. Each entry has several, most of which never wait: what is usual is said once, by the class."""

    # How far it came on its path, and what it waits for.
    step: int = 0
    waits_for: Stage | None = None
    # When to ask again, where it waits; NEVER: when it is named in the changes.
    until: float = NEVER
    # Why there is none.
    stop: "Stop | None" = None
    # Bytes that it waits for.
    units: int = 0
    # When it left.
    began: float = 0.0
    # One of the uploads at a time; a turn at the rate, which is not used yet; a place on the conversion queue.
    has_slot: bool = False
    has_turn: bool = False
    has_place: bool = False
    # For whoever asked: how to find it again when the changes name it.
    waiter: object = None

    def __init__(self, call: Call, size: int, path: Sequence[Stage], number: int) -> None:
        """``size``: bytes of an upload; ``path``: what it has to pass, one after the other."""
        self.call = call
        self.size = size
        self.path = path
        # As which of all it was asked for, or left: no decision that is as old, or younger, is judged by its answer.
        self.number = number


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again (``resume``) at ``until``, or when the changes name the permit.

    A moment that is not in the future: it is the first one in its line, and not ready.
    """

    permit: Permit
    until: float


class Stop(Enum):
    """There is no permit, and will be none."""

    # The run takes nothing new.
    ASKED = "asked"
    # It would not end within ``--max-duration``.
    WINDOW = "window"
