"""Faults of tasks and callbacks go where the call can end because of them."""

from __future__ import annotations

import asyncio
import time

from qcall.session.work import Alarm, Work


async def failing() -> None:
    raise KeyError("a fault")


async def test_a_task_that_fails_is_told_at_once() -> None:
    told: asyncio.Queue[Exception] = asyncio.Queue()
    Work(told.put_nowait).start(failing())
    assert isinstance(await asyncio.wait_for(told.get(), 1), KeyError)


def test_a_callback_that_fails_does_not_stop_who_called_it() -> None:
    told: list[Exception] = []
    Work(told.append).guarded(lambda n: [][n])(7)
    assert [type(error) for error in told] == [IndexError]


async def test_stopping_ends_every_task_and_tells_nothing() -> None:
    told: list[Exception] = []
    work = Work(told.append)
    work.start(asyncio.Event().wait())  # type: ignore[arg-type]
    await work.stop()
    assert told == []
    assert len(asyncio.all_tasks()) == 1


async def test_an_alarm_wakes_at_its_latest_deadline_only() -> None:
    woken: asyncio.Queue[float] = asyncio.Queue()
    alarm = Alarm(lambda: woken.put_nowait(time.monotonic()))
    alarm.set(time.monotonic())
    deadline = time.monotonic() + 0.05
    alarm.set(deadline)
    assert await asyncio.wait_for(woken.get(), 1) >= deadline - 0.002
    assert woken.empty()
    alarm.set(None)
