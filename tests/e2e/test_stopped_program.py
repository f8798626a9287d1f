"""A phone whose program stands still for a while, as on a laptop that was closed: the call goes on."""

from __future__ import annotations

import os
import signal

from scripts.demonstration.stage import Program, Stage

SOUND = ("--input", "tone", "--output", "null", "--stats", "0.2")
LONG = 0.7
"""Seconds; more than the third of a second that a copy may be older than its packet (RFC 2198)."""


async def heard(phone: Program, packets: int) -> None:
    """Wait until so many packets more have come."""
    so_far = max(
        (each["quality"]["packetsReceived"] for each in phone.events if each["event"] == "stats"), default=0
    )
    await phone.until(
        lambda events: any(
            each["event"] == "stats" and each["quality"].get("packetsReceived", 0) >= so_far + packets
            for each in events
        )
    )


async def test_a_call_survives_a_program_that_stood_still(homes: Stage) -> None:
    await homes.serve("--loss", "0.05", "--seed", "3")
    bob = await homes.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await homes.call("alice", "bob", "--duration", "8", *SOUND)
    await heard(bob, 100)
    os.kill(alice.process.pid, signal.SIGSTOP)
    # What is still on its way comes; then nothing does, for as long as alice's program stands still.
    stats = len(bob.events) + round(LONG / 0.2)
    await bob.until(lambda events: len(events) >= stats)
    os.kill(alice.process.pid, signal.SIGCONT)
    await heard(bob, 100)
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    told = (await alice.event("ended"))["quality"]
    assert told["droppedSamplesDuration"] > LONG / 2
    quality = (await bob.event("ended"))["quality"]
    assert quality["concealedSamples"] < 2 * 48_000
