"""A second call while one is up: answered with the first on hold, swapped, and left for the first again."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.demonstration.stage import Stage
from tests.e2e.test_remote_control import SOUND, control
from tests.e2e.tmux import Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")


@pytest.fixture
async def tmux(tmp_path: Path) -> AsyncIterator[Tmux]:
    server = Tmux(tmp_path / "tmux")
    yield server
    await server.close()


async def test_two_calls_on_one_phone(tmux: Tmux, phones: Stage) -> None:
    await phones.enrol("carol", "hefei")
    alice = await tmux.open("alice", phones.phone("alice", "tui", *SOUND), 120, 40)
    await alice.shows("alice@beijing", "● online")
    bob = await phones.call("bob", "alice", *SOUND)
    await alice.shows("Incoming call")
    await bob.event("secured")
    await control(phones, "alice", "answer")
    await bob.event("media")

    carol = await phones.call("carol", "alice", *SOUND)
    await alice.shows("answering puts the call that is up on hold")
    await carol.event("secured")
    await control(phones, "alice", "answer")
    await carol.event("media")
    assert (await bob.event("held"))["on"]
    await alice.shows("carol  TALKING", "bob on hold")

    await control(phones, "alice", "swap")
    assert (await carol.event("held"))["on"]
    await bob.until(lambda events: [e["on"] for e in events if e["event"] == "held"] == [True, False])
    await alice.shows("bob  TALKING", "carol on hold")

    await control(phones, "alice", "hangup")
    assert (await bob.event("ended"))["reason"] == "remote-hangup"
    await alice.shows("carol  TALKING")
    calls = (await control(phones, "alice", "status"))["calls"]
    assert [(call["contact"], call["state"]) for call in calls if call["state"] != "ended"] == [
        ("carol", "talking")
    ]
