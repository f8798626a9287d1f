"""Quantum keys are lost in the middle of a call and come back: both phones see it, or the call ends."""

from __future__ import annotations

import os

from qcall.config import Home
from qcall.records.store import Records
from relay.network.topology import load
from scripts.demonstration.stage import BIN, Program, Stage

SOUND = ("--input", "tone", "--output", "null")
NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
"""Waits until the call that requires quantum keys has ended, too; ``test_rekey`` of the core always does."""
INTERVAL = 5.0
ROUND = 1.1 * INTERVAL + 1.5
"""Seconds within which a rekey comes: the interval, its ten per cent, and what a busy machine needs."""


async def fault(phones: Stage, action: str, *nodes: str) -> None:
    await phones.run("relay fault", BIN / "relay", "--home", phones.relay_home, "fault", action, *nodes)


async def state(phone: Program, wanted: str, since: int, limit: float) -> dict:
    """The first epoch after event number ``since`` whose quantum layer is ``wanted``."""

    def found() -> dict | None:
        rekeys = [event for event in phone.events[since:] if event["event"] == "rekeyed"]
        return next((event for event in rekeys if event["qkd"]["state"] == wanted), None)

    await phone.until(lambda _: found() is not None, limit=limit)
    rekeyed = found()
    assert rekeyed is not None
    return rekeyed


async def test_what_joins_during_a_call_is_expected_of_the_next_one(phones: Stage) -> None:
    for link in load("beijing-hefei").links:
        if "hefei" in (link.a, link.b):
            await fault(phones, "eve", link.a, link.b)
    often = ("--rekey", f"{INTERVAL:g}", *SOUND)
    bob = await phones.listen("bob", "--auto-answer", "--once", *often)
    alice = await phones.call("alice", "bob", *often)
    for phone in (alice, bob):
        assert (await phone.event("secured"))["qkd"]["state"] == "absent"
    await fault(phones, "restore")
    for phone in (alice, bob):
        await state(phone, "present", 0, 2 * ROUND)
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        records = Records(Home(phones.home(name)).records)
        contact = records.contact(peer)
        records.close()
        assert contact is not None
        assert contact.qkd_seen


async def test_lost_keys_are_seen_on_both_phones_and_end_a_call_that_requires_them(phones: Stage) -> None:
    """Two calls over one network: one prefers quantum keys, the other requires them."""
    await phones.enrol("carol", "beijing")
    await phones.enrol("dave", "hefei")
    often = ("--rekey", f"{INTERVAL:g}", *SOUND)
    bob = await phones.listen("bob", "--auto-answer", "--once", *often)
    dave = await phones.listen("dave", "--auto-answer", "--once", *often)
    alice = await phones.call("alice", "bob", "--duration", "120", *often)
    carol = await phones.call("carol", "dave", "--duration", "120", "--qkd", "require", *often)
    for phone in (alice, bob, carol, dave):
        assert (await phone.event("secured"))["qkd"]["state"] == "present"
        await phone.event("media")

    seen = {phone: len(phone.events) for phone in (alice, bob)}
    for link in load("beijing-hefei").links:
        if "hefei" in (link.a, link.b):
            # Eve on the fibre: no more keys over it, while the voice goes on. The pool is emptied as well.
            await fault(phones, "eve", link.a, link.b)
            await fault(phones, "drain", link.a, link.b)
    for phone in (alice, bob):
        lost = await state(phone, "absent", seen[phone], ROUND)
        assert "QKD ✗ PQC only" in lost["line"]
        assert lost["qkd"]["reason"]

    for phone in (carol, dave):  # three failures warn, five intervals end it
        failing = await phone.event("rekey-failing", limit=4 * ROUND)
        assert 0 < failing["seconds"] <= 5 * INTERVAL
    if NIGHTLY:
        assert await carol.ended(limit=6 * ROUND) == 1
        assert await dave.ended(limit=10) == 1
        for phone in (carol, dave):
            assert (await phone.event("ended"))["reason"] == "qkd-required"
        assert "this phone insists on one (its policy is require)" in carol.stderr
        assert "carol's phone insists on one" in dave.stderr
    assert all(event["qkd"]["state"] == "present" for event in carol.events if event["event"] == "rekeyed")

    seen = {phone: len(phone.events) for phone in (alice, bob)}
    await fault(phones, "restore")
    for phone in (alice, bob):
        assert "QKD ✓" in (await state(phone, "present", seen[phone], 2 * ROUND))["line"]
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()


async def test_each_phone_insists_until_its_user_allows_less_for_one_call(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", *SOUND)
    short = ("--duration", "0.3", *SOUND)
    first = await phones.call("alice", "bob", *short)
    assert (await first.event("ringing"))["qkd"]["state"] == "present"
    assert await first.ended() == 0
    for link in load("beijing-hefei").links:
        if "hefei" in (link.a, link.b):
            await fault(phones, "eve", link.a, link.b)
            await fault(phones, "drain", link.a, link.b)

    refused = await phones.call("alice", "bob", "--allow-less", *short)
    assert await refused.ended() == 1
    assert "bob's phone insists on one" in refused.stderr
    assert "have bob do without: --qkd prefer or qcall control allow-less alice" in refused.stderr
    # Bob's phone knows no caller yet; what his user can do, alice's phone says, which has proof.
    assert "somebody on the way or alice's phone says that a quantum key is required" in bob.stderr
    assert "allow-less" not in bob.stderr

    await phones.run("control", *phones.phone("bob", "control", "allow-less", "alice"))
    allowed = await phones.call("alice", "bob", "--allow-less", *short)
    assert (await allowed.event("secured"))["qkd"]["state"] == "absent"
    assert await allowed.ended() == 0
    again = await phones.call("alice", "bob", "--allow-less", *short)
    assert await again.ended() == 1
