"""A call that rekeys: new keys from all three layers, nothing heard of it, one receipt on both phones."""

from __future__ import annotations

import json

from scripts.demonstration.stage import Stage

SOUND = ("--input", "tone", "--output", "null")


async def test_a_call_rekeys_without_losing_a_packet_and_leaves_one_receipt(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once", "--rekey", "5", *SOUND)
    alice = await phones.call("alice", "bob", "--duration", "13", "--rekey", "5", *SOUND)
    assert (await alice.ended(limit=30), await bob.ended()) == (0, 0), alice.account() + bob.account()
    for phone in (alice, bob):
        epochs = [event["epoch"] for event in phone.events if event["event"] == "rekeyed"]
        assert epochs[:2] == [1, 2], phone.account()
        ended = await phone.event("ended")
        assert ended["quality"]["packetsLost"] == 0
        assert ended["quality"]["srtpAuthenticationFailures"] == 0
        assert ended["security"]["epoch"] == epochs[-1]

    call_id = (await alice.event("ended"))["security"]["call_id"]
    theirs = await phones.run("receipt", *phones.phone("bob", "history", "--receipt", call_id, "--json"))
    (phones.directory / "bob.json").write_text(json.dumps(theirs.events[0]))
    options = ("history", "--receipt", call_id, "--verify", phones.directory / "bob.json")
    said = (await phones.run("verify", *phones.phone("alice", *options))).text
    assert "alice and bob both signed that" in said
    assert theirs.events[0]["receipt"]["epochs"][0]["qkd"] == "present"
