"""What the programs tell of a call over a path that loses packets."""

from __future__ import annotations

from pathlib import Path

from scripts.demonstration.stage import Stage

INBOUND = {
    "packetsReceived", "packetsLost", "packetsDiscarded", "jitter", "totalSamplesReceived",
    "concealedSamples", "silentConcealedSamples", "concealmentEvents", "insertedSamplesForDeceleration",
    "removedSamplesForAcceleration", "jitterBufferDelay", "jitterBufferTargetDelay",
    "jitterBufferEmittedCount", "fecPacketsReceived", "fecPacketsDiscarded",
}  # fmt: skip
"""Of RTCInboundRtpStreamStats (W3C, Identifiers for WebRTC's Statistics API, section 7.4)."""


async def test_losses_are_told_with_what_became_of_them(homes: Stage, spoken: Path) -> None:
    await homes.serve("--loss", "0.12", "--burst", "2", "--seed", "4")
    sound = ("--input", spoken, "--output", "null")
    bob = await homes.listen("bob", "--auto-answer", "--once", *sound)
    alice = await homes.call("alice", "bob", "--duration", "5", *sound)
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    for phone in (alice, bob):
        told = (await phone.event("ended"))["quality"]
        assert set(told) >= INBOUND
        expected = told["packetsReceived"] + told["packetsLost"]
        assert 0.03 < told["packetsLost"] / expected < 0.3
        assert told["fecPacketsReceived"] > 0
        assert told["redundantPacketsSent"] > 0
        assert told["concealedSamples"] > 0
        assert told["concealmentEvents"] > 0
        missing = told["packetsLost"] * 960
        assert told["concealedSamples"] < missing, "copies and FEC mended some of it"
        assert told["totalSamplesReceived"] > 4 * 48_000
