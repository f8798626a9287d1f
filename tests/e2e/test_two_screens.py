"""Two real terminal softphones in tmux: dial, ring, answer, verify, hold, hang up, leave."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.demonstration.stage import Stage
from tests.e2e.tmux import Screen, Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")
SOUND = ("tui", "--input", "tone", "--output", "null")


@pytest.fixture
async def tmux(tmp_path: Path) -> AsyncIterator[Tmux]:
    server = Tmux(tmp_path / "tmux")
    yield server
    await server.close()


async def open_both(tmux: Tmux, phones: Stage) -> tuple[Screen, Screen]:
    alice = await tmux.open("alice", phones.phone("alice", *SOUND), 120, 40)
    bob = await tmux.open("bob", phones.phone("bob", *SOUND), 80, 24)
    await alice.shows("alice@beijing", "online")
    await bob.shows("bob@hefei", "online")
    return alice, bob


async def answer(screen: Screen) -> None:
    """Press a; the dialog ignores keys for its first moment, so once more if need be."""
    for patience in (2.0, 20.0):
        await screen.press("a")
        with contextlib.suppress(AssertionError):
            await screen.shows("TALKING", limit=patience)
            return


async def test_a_call_from_dialling_to_leaving(tmux: Tmux, phones: Stage) -> None:
    alice, bob = await open_both(tmux, phones)
    await alice.press("d")
    await alice.shows("a name as the relay knows it")
    await alice.press("b", "o", "b", "Enter")
    await alice.shows("RINGING", "SECURED", "QKD ✓ 15 hops")
    await bob.shows("Incoming call", "never met before")
    await answer(bob)
    await alice.shows("TALKING", "MOS", "good")
    await bob.shows("TALKING", "beijing", "hefei")

    words = []
    for screen in (alice, bob):
        await screen.press("v")
        text = await screen.shows("nobody sits between you")
        words.append(re.findall(r"\d ((?:[A-Z] )+[A-Z])\b", text))
    assert len(words[0]) == 4
    assert words[0] == words[1]
    await alice.press("y")
    await alice.shows("VERIFIED")
    await bob.press("Escape")

    await alice.press("h")
    await alice.shows("ON HOLD")
    await bob.shows("HELD BY THEM")
    await alice.press("h")
    await bob.shows("alice is back")
    await bob.press("m")
    await bob.shows("MUTED")
    await alice.press("t")
    await alice.shows("goes into this call")
    await alice.press("h", "i", "Enter")
    await bob.shows("alice: hi")

    await bob.press("b")
    await alice.shows("ENDED", "they hung up")
    await bob.shows("ENDED")
    for screen in (alice, bob):
        await screen.press("q")
        await screen.shows("exit code 0")


async def test_refusing_with_a_text(tmux: Tmux, phones: Stage) -> None:
    alice, bob = await open_both(tmux, phones)
    await alice.press("d")
    await alice.shows("a name as the relay knows it")
    await alice.press("b", "o", "b", "Enter")
    await bob.shows("Refuse with text")
    while "why not now" not in await bob.text():
        await bob.press("t")
    await bob.press("l", "a", "t", "e", "r", "Enter")
    await alice.shows("bob declined the call", "later")


async def test_a_signal_hangs_up_and_gives_the_terminal_back(tmux: Tmux, phones: Stage) -> None:
    alice = await tmux.open("alice", ("timeout", "--foreground", "4", *phones.phone("alice", *SOUND)), 80, 24)
    await alice.shows("online")
    await alice.shows("exit code 124")
    assert "Traceback" not in await alice.text()
