"""No callback keeps an event loop for over 20 ms: the screen's loop or the phone's, in a real call."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from scripts.benchmarks.blocking import SCHEDULE, watched_callbacks
from scripts.benchmarks.tui import PAGES, alice, open_and_leave, press, until
from scripts.demonstration.stage import Stage
from tests.e2e.real_time import REAL_TIME

pytestmark = pytest.mark.skipif(not SCHEDULE.exists(), reason="needs Linux's account of its threads")
LONGEST = 0.020
"""Seconds."""
SETTLING = 1.0
"""Seconds after coming online in which what the phone imported settles."""


async def test_what_sleeps_is_found_and_what_waits_is_not() -> None:
    with watched_callbacks(LONGEST) as found:
        await asyncio.sleep(0.03)
        assert found == []
        asyncio.get_running_loop().call_soon(time.sleep, 0.03)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    (only,) = found
    assert only.seconds >= 0.03 > only.busy
    assert "sleep" in only.callback


@REAL_TIME
async def test_no_callback_blocks_in_a_call(phones: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)  # It runs its callbacks in C, past everybody's eyes.
    await phones.listen("bob", "--auto-answer", "--input", "tone", "--output", "null")
    async with alice(phones) as (app, _):
        await asyncio.sleep(SETTLING)
        with watched_callbacks(LONGEST) as found:
            app.dial("bob")
            await until(lambda: app.talk is not None and app.talk.talking_at is not None)
            for key in PAGES:
                await open_and_leave(app, key)
            for _ in range(5):
                await press(app)
            app.command("hangup")
            await until(lambda: not app.snapshot.live)
    assert not found, f"{len(found)} blocked, the longest for {max(found)}"
