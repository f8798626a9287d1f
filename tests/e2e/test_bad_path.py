"""A path on which most calls of an ordinary WebRTC stack wait for seconds, and some never come about."""

from __future__ import annotations

from scripts.demonstration.stage import Stage

SOUND = ("--input", "tone", "--output", "null")
PATH = ("--loss", "0.1", "--jitter", "30")
"""A packet in ten lost, a third of a second one way."""


async def test_calls_are_set_up_and_ended_where_one_packet_in_ten_is_lost(homes: Stage) -> None:
    await homes.serve(*PATH, "--seed", "19")
    for _ in range(3):
        bob = await homes.listen("bob", "--auto-answer", "--once", *SOUND)
        alice = await homes.call("alice", "bob", "--duration", "1", *SOUND)
        assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
        for phone in (alice, bob):
            assert (await phone.event("secured"))["qkd"]["state"] == "present"
        assert (await bob.event("ended"))["reason"] == "remote-hangup"
