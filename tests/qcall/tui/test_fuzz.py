"""Whatever is pressed, pasted, clicked or resized, the screen stays up."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest
from textual import events

from qcall.tui.keys import DTMF, KEYS
from tests.qcall.tui.phones import IDLE, IN_CALL, OTHER, PEOPLE, RINGING, WAITING

PRESSED = [
    *(name for key in KEYS for name in key.key.split(",") if key.id != "quit"),
    *DTMF.values(),
    "tab", "shift+tab", "enter", "escape", "up", "down", "left", "right", "pageup", "end",
    "backspace", "delete", "space", "slash", "n", "e", "x", "i", "k", "T", "y", "é", "ctrl+a", "f5",
]  # fmt: skip
PASTED = ["bob", "\x1b[31mred\x1b[0m", "a\nb\r\nc", "\0", "x" * 5000, "[bold]no markup[/", "\u202eevil", ""]
NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
CHANGED = replace(IDLE, people=(replace(PEOPLE[0], offered=OTHER), *PEOPLE[1:]))
SHOWN = [IDLE, IN_CALL, RINGING, WAITING, CHANGED]


async def shake(app, link, pilot, chance, steps):
    """Do whatever a hand, a mouse, a terminal and a phone can do, at random."""
    for _ in range(steps):
        match chance.randrange(10):
            case 0:
                app.screen.post_message(events.Paste(chance.choice(PASTED)))
            case 1:
                await pilot.resize_terminal(chance.randint(1, 200), chance.randint(1, 60))
            case 2:
                width, height = app.size
                at = (chance.randrange(max(1, width)), chance.randrange(max(1, height)))
                await pilot.click(offset=at, times=chance.randint(1, 2))
            case 3:
                link.show(chance.choice(SHOWN))
            case _:
                await pilot.press(chance.choice(PRESSED))
        assert app.is_running
    await pilot.resize_terminal(80, 24)
    await pilot.pause()
    assert app._exception is None


@pytest.mark.parametrize("seed", range(40 if NIGHTLY else 2))
async def test_nothing_takes_the_screen_down(running, seed):
    async with running(IN_CALL) as (app, link, pilot):
        await shake(app, link, pilot, random.Random(seed), 60 if NIGHTLY else 40)


@pytest.mark.parametrize("seed", range(20 if NIGHTLY else 1))
async def test_nothing_takes_the_first_start_down(running, seed):
    async def enrol(name, relay, invite):
        return "beijing"

    async with running(enrol=enrol) as (app, link, pilot):
        await shake(app, link, pilot, random.Random(seed), 40 if NIGHTLY else 27)
