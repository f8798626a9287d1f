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
        assert 0.005 < told["roundTripTime"] < 1, "seconds; the path alone takes 12 ms"
        assert 0 < told["fractionLost"] < 0.5


async def test_without_copies_fec_does_what_it_can(homes: Stage, spoken: Path) -> None:
    await homes.serve("--loss", "0.06", "--seed", "4")
    sound = ("--input", spoken, "--output", "null", "--no-copies")
    bob = await homes.listen("bob", "--auto-answer", "--once", *sound)
    alice = await homes.call("alice", "bob", "--duration", "5", *sound)
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    for phone in (alice, bob):
        told = (await phone.event("ended"))["quality"]
        assert told["redundantPacketsSent"] == told["redundantPacketsReceived"] == 0
        assert told["fecRecoveredSamples"] > 0
        assert told["fecPacketsReceived"] > told["fecPacketsDiscarded"]
        assert told["bytesSent"] == 80 * told["packetsSent"], "20 ms at 32 kb/s, and nothing else"
