"""The alarm rings when it is set for, and once."""

from __future__ import annotations

import asyncio
import time

from relay.turn.timerfd import Alarm


class Bell:
    """Counts its rings and lets one be awaited."""

    def __init__(self) -> None:
        self.rings: list[float] = []
        self._rung = asyncio.Event()
        self.alarm = Alarm(self.ring)

    def ring(self) -> None:
        self.rings.append(time.monotonic())
        self._rung.set()

    async def rung(self) -> None:
        await asyncio.wait_for(self._rung.wait(), 5.0)
        self._rung.clear()


async def test_it_never_rings_before_its_time() -> None:
    bell = Bell()
    at = time.monotonic() + 0.002
    bell.alarm.set(at)
    await bell.rung()
    assert bell.rings[0] >= at
    bell.alarm.close()


async def test_the_earliest_of_its_times_counts() -> None:
    bell = Bell()
    now = time.monotonic()
    bell.alarm.set(now + 60.0)
    bell.alarm.set(now + 0.002)
    bell.alarm.set(now + 50.0)
    await bell.rung()
    bell.alarm.close()


async def test_what_is_due_already_rings_at_the_next_turn() -> None:
    bell = Bell()
    bell.alarm.set(time.monotonic() + 60.0)
    bell.alarm.set(time.monotonic() - 1.0)
    assert not bell.rings
    await asyncio.sleep(0)
    assert len(bell.rings) == 1
    bell.alarm.close()


async def test_a_closed_alarm_is_silent() -> None:
    bell = Bell()
    bell.alarm.set(time.monotonic() - 1.0)
    bell.alarm.close()
    await asyncio.sleep(0)
    assert not bell.rings
