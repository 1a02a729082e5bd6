"""``bulkload`` that kills itself: ``python killed_at.py PLACE before|after N run MANIFEST ...``.

PLACE is ``module:function`` or ``module:Class.method``; at its N-th call, or when that call returns, the process sends
itself SIGKILL, in the middle of whatever its other tasks and threads are doing. Nothing else about it is different.
"""

import functools
import inspect
import itertools
import os
import signal
import sys
from importlib import import_module
from typing import Any


def found(place: str) -> tuple[Any, str]:
    """The module or class that holds a place, and the place's name there. Raises ``AttributeError`` where it is not."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner: Any = functools.reduce(getattr, owners, import_module(module))
    getattr(owner, name)
    return owner, name


def die_at(place: str, moment: str, number: int) -> None:
    """Make the process die at ``place``. Raises ``AttributeError`` where there is no such place."""
    owner, name = found(place)
    function = getattr(owner, name)
    calls = itertools.count(1)

    def count(now: str) -> None:
        if now == moment and next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(*arguments: Any, **named: Any) -> Any:
        count("before")
        result = function(*arguments, **named)
        count("after")
        return result

    async def deadly_later(*arguments: Any, **named: Any) -> Any:
        count("before")
        result = await function(*arguments, **named)
        count("after")
        return result

    wrapper = deadly_later if inspect.iscoroutinefunction(function) else deadly
    setattr(owner, name, functools.wraps(function)(wrapper))


def main(place: str, moment: str, number: str, *words: str) -> None:
    """Run the command line until that moment."""
    from bulkload.__main__ import main as bulkload

    die_at(place, moment, int(number))
    sys.argv = ["bulkload", *words]
    bulkload()


if __name__ == "__main__":
    main(*sys.argv[1:])
