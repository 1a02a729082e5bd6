"""A thread that may be left behind: nobody can end a read from standard input, or from a disk that hangs."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class AbandonableThread(Executor):
    """A thread for each job, which keeps neither an event loop nor the process from ending."""

    def submit(self, job: Callable[P, T], /, *args: P.args, **keywords: P.kwargs) -> "Future[T]":
        """Begin a job. Raises ``RuntimeError`` where there is no thread for it."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job(*args, **keywords)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="bulkload-check", daemon=True).start()
        return future
