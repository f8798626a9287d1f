"""What runs beside the machines of one call: tasks, wake-up calls, and where their faults go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class Work:
    """The tasks and callbacks of one call. Whatever one of them raises goes to ``on_fault``, at once.

    Nothing that fails is only noticed when the call is over, and nothing that fails stops a library that
    called us.
    """

    def __init__(self, on_fault: Callable[[Exception], None]) -> None:
        self._on_fault = on_fault
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the call, until the call ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def guarded(self, callback: Callable[P, None]) -> Callable[P, None]:
        """``callback`` for a library to call."""

        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self._on_fault(error)

        return run

    async def stop(self) -> None:
        """Cancel every task and wait until it is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_fault(error)


class Alarm:
    """Wakes one machine at its deadline."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None

    def set(self, deadline: float | None) -> None:
        """Wake at ``deadline``, in seconds on the monotonic clock, and not before; ``None``: not at all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)
