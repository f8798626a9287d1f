"""Who is known: pinned, verified, changed; the user's word is needed for each step."""

from __future__ import annotations

import shutil

from scripts.demonstration.stage import BIN, Stage

SOUND = ("--input", "null", "--output", "null")


async def talk(phones: Stage, contact: str = "new") -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", "--duration", "0.3", *SOUND)
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    assert (await alice.event("ended"))["security"]["trust"] == contact


async def test_verification_is_asked_for_once_and_kept(phones: Stage) -> None:
    await talk(phones)
    verified = await phones.run("verify", *phones.phone("alice", "verify", "bob", "--same"))
    assert "bob is verified" in verified.text
    await talk(phones, "verified")


async def test_nobody_is_verified_before_a_call(phones: Stage) -> None:
    program = await phones.run("verify", *phones.phone("alice", "verify", "bob", "--same"), code=2)
    assert "no call with bob yet" in program.stderr


async def test_a_changed_identity_is_blocked_until_it_is_accepted(phones: Stage) -> None:
    await talk(phones)
    shutil.rmtree(phones.home("bob"))
    options = ("invite", "bob", "--site", "hefei", "--renew", "--json")
    invite = await phones.run("invite", BIN / "relay", "--home", phones.relay_home, *options)
    where = ("--relay", phones.ready["signalling"], "--invite", invite.events[0]["code"])
    await phones.run("init", *phones.phone("bob", "init", "bob", *where))

    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    blocked = await phones.run("call", *phones.phone("alice", "call", "bob", *SOUND), code=1)
    assert "identity of bob has changed" in blocked.stderr
    assert await bob.ended() == 1

    listed = await phones.run("contacts", *phones.phone("alice", "contacts", "--json"))
    contact = listed.events[0]
    assert contact["changed"]
    for fingerprint in (contact["fingerprint"], contact["offered"]):
        assert fingerprint in blocked.stderr
        assert fingerprint in blocked.text
    await phones.run("accept", *phones.phone("alice", "contacts", "accept-new-key", "bob"))
    await talk(phones, "pinned")


async def test_words_that_differ_are_shown_until_they_were_the_same(phones: Stage) -> None:
    await talk(phones)
    await phones.run("verify", *phones.phone("alice", "verify", "bob", "--same"))
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", "--duration", "9", "--rekey", "5", *SOUND)
    assert (await alice.event("secured"))["trust"] == "verified"
    await phones.run("verify", *phones.phone("alice", "verify", "bob", "--different"))
    assert (await alice.event("rekeyed"))["trust"] == "words-differ"
    assert (await alice.ended(), await bob.ended()) == (1, 0), alice.account() + bob.account()
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", "--duration", "0.3", *SOUND)
    assert await alice.event("doubted")
    assert await alice.ended() == 1
    assert await bob.ended() == 0
    await phones.run("verify", *phones.phone("alice", "verify", "bob", "--same"))
    await talk(phones, "verified")
