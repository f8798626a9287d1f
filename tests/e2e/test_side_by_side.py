"""``scripts/demo --tui`` in terminals of several sizes: both phones can be used, and reached by a key."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.tmux import Screen, Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")
DEMONSTRATION = ("env", "-u", "TMUX", sys.executable, "-m", "scripts.demonstration", "--tui")


@pytest.fixture
async def tmux(tmp_path: Path) -> AsyncIterator[Tmux]:
    server = Tmux(tmp_path / "outer")
    yield server
    await server.close()


async def answered(screen: Screen) -> None:
    """Press a, and once more if nothing comes of it: the dialog ignores keys for its first moment."""
    await screen.press("a")
    with contextlib.suppress(AssertionError):
        await screen.shows("TALKING", limit=5.0)
        return
    await screen.press("a")
    await screen.shows("TALKING", limit=20.0)


async def test_one_phone_at_a_time_in_a_small_terminal(tmux: Tmux) -> None:
    demo = await tmux.open("demo", DEMONSTRATION, 80, 24)
    await demo.shows("alice is registered", "[alice]", "F12 other phone")
    await demo.press("F12")
    await demo.shows("bob is registered", "[bob]")
    await demo.press("F12")
    await demo.press("d")
    await demo.shows("a name as the relay knows it")
    await demo.press("b", "o", "b", "Enter")
    await demo.shows("RINGING", "bob rings!")
    await demo.press("F12")
    await demo.shows("bob@hefei", "Incoming call")
    await answered(demo)
    await demo.shows("Quality", "Route")
    await demo.press("q")
    await demo.shows("Hang up and leave")
    await demo.press("l")
    await demo.shows("alice@beijing", "they hung up")
    await demo.press("q")
    await demo.shows("exit code 0")


async def test_the_words_are_whole_beside_each_other(tmux: Tmux) -> None:
    demo = await tmux.open("demo", DEMONSTRATION, 120, 40)
    await demo.shows("alice is registered", "bob is registered", "alice left, bob right", "F12 other phone")
    await demo.press("d")
    await demo.shows("a name as the relay knows it")
    await demo.press("b", "o", "b", "Enter")
    await demo.shows("Incoming call")
    await demo.press("F12")
    await answered(demo)
    for _ in range(2):
        await demo.press("v")
        await demo.press("F12")
    text = await demo.shows("Is it really alice?", "Is it really bob?")
    words = re.findall(r"[1-4] ((?:[A-Z] )+[A-Z])\b", text)
    assert len(words) == 8
    assert len(set(words)) == 4
