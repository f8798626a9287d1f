"""What holds an event loop up: the callbacks that it runs one after the other, and how long each takes.

The time for which a thread is ready and waits for a processor is other programs' doing and is left out, for
every thread that is followed: one of them may hold the interpreter meanwhile. The time for which a thread
waits for another one to give the interpreter up stays in: a packet is late all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

SCHEDULE = Path("/proc/thread-self/schedstat")
"""Nanoseconds on a processor, nanoseconds ready but waiting for one, turns (Linux, sched-stats.rst)."""


class ProcessorWait:
    """How long the threads that are followed were ready and waited for a processor, together."""

    def __init__(self) -> None:
        self._opened: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def follow(self) -> None:
        """Count the thread that calls this, too; nothing where the system does not tell."""
        if threading.get_ident() not in self._opened and SCHEDULE.exists():
            self._opened[threading.get_ident()] = os.open(SCHEDULE, os.O_RDONLY)

    def seconds(self) -> float:
        """So far; the difference of two is that of the time between."""
        for each in tuple(self._opened.values()):
            with contextlib.suppress(ProcessLookupError):  # a thread that has ended keeps what it had
                self._last[each] = int(os.pread(each, 100, 0).split()[1])
        return sum(self._last.values()) / 1e9

    def close(self) -> None:
        """Follow none any more."""
        while self._opened:
            os.close(self._opened.popitem()[1])
        self._last.clear()


@dataclass(frozen=True, slots=True, order=True)
class Blocked:
    """A callback that held its loop up for ``seconds``; ``busy`` of them it computed."""

    seconds: float
    busy: float
    thread: str
    callback: str

    def __str__(self) -> str:
        times = f"{1000 * self.seconds:.1f} ms ({1000 * self.busy:.1f} ms computed)"
        return f"{times} in {self.thread}: {self.callback}"


@contextlib.contextmanager
def watched_callbacks(longest: float) -> Iterator[list[Blocked]]:
    """Every callback that blocks for more than ``longest`` seconds, in all of asyncio's own event loops."""
    found: list[Blocked] = []
    waiting = ProcessorWait()
    run = asyncio.events.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        waiting.follow()
        waited, busy, began = waiting.seconds(), time.thread_time(), time.perf_counter()
        run(handle)
        elapsed = time.perf_counter() - began
        if elapsed > longest and (blocked := elapsed - (waiting.seconds() - waited)) > longest:
            thread = threading.current_thread().name
            found.append(Blocked(blocked, time.thread_time() - busy, thread, called(handle)))

    with mock.patch.object(asyncio.events.Handle, "_run", timed):
        yield found
    waiting.close()


def called(handle: asyncio.Handle) -> str:
    """What a handle calls: a task by its name and its coroutine, where it waits now."""
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return repr(callback)
    places = [f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack()]
    return f"{task.get_name()} at {places[-1] if places else task.get_coro()}"
