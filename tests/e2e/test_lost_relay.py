"""What phones do when the relay dies, or will not have them any more: they say so, and they end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import pytest

from scripts.demonstration.stage import Program, Stage
from tests.e2e.terminal import one_line

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
SOUND = ("--input", "tone", "--output", "null")


async def talking(phones: Stage) -> tuple[Program, Program]:
    """Alice and bob in a call."""
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", *SOUND)
    await alice.event("media")
    await bob.event("media")
    return alice, bob


async def test_a_call_over_a_relay_that_was_killed_is_given_up_on_both_phones(phones: Stage) -> None:
    both = await talking(phones)
    phones.programs[0].process.kill()
    for phone in both:
        assert not (await phone.event("silent", limit=8))["connected"]
        assert await phone.ended(limit=20) == 1, phone.account()
        assert (await phone.event("ended"))["reason"] == "media-lost"
        assert "dial again" in one_line(phone)


@pytest.mark.skipif(not NIGHTLY, reason="waits for 20 s; QCALL_TEST_PROFILE=nightly")
async def test_a_call_that_rings_over_a_relay_that_was_killed_is_given_up(phones: Stage) -> None:
    bob = await phones.listen("bob", "--once", *SOUND)
    alice = await phones.call("alice", "bob", *SOUND)
    await alice.event("secured")
    await bob.event("secured")
    phones.programs[0].process.kill()
    for phone in (alice, bob):
        assert await phone.ended(limit=35) == 1, phone.account()
        assert (await phone.event("ended"))["reason"] == "media-lost"


async def test_ctrl_c_ends_a_call_whose_relay_was_killed(phones: Stage) -> None:
    both = await talking(phones)
    phones.programs[0].process.kill()
    await phones.programs[0].ended()
    for phone in both:
        phone.interrupt()
    for phone in both:
        assert await phone.ended(limit=6) == 0, phone.account()
        assert phone.stderr == ""


async def test_whoever_keeps_pressing_ctrl_c_is_out_at_once_and_reads_nothing(phones: Stage) -> None:
    alice, _ = await talking(phones)
    phones.programs[0].process.kill()
    await phones.programs[0].ended()
    over = asyncio.create_task(alice.ended(limit=3))
    while not over.done():
        alice.interrupt()
        await asyncio.wait({over}, timeout=0.05)
    assert over.result() in (130, -signal.SIGINT)  # The second is what a shell shows as the first.
    assert alice.stderr == ""


async def test_a_phone_that_waits_finds_the_relay_and_its_key_node_after_a_restart(phones: Stage) -> None:
    require = ("--qkd", "require", *SOUND)
    bob = await phones.listen("bob", "--auto-answer", "--once", *require)
    relay = phones.programs[0]
    relay.interrupt()
    await relay.ended()
    await phones.serve()
    await bob.until(lambda events: any(event.get("again") for event in events))
    alice = await phones.call("alice", "bob", "--duration", "0.5", *require)
    assert await bob.ended() == 0, bob.account()
    assert await alice.ended() == 0, alice.account()


async def test_a_phone_whose_name_logs_in_elsewhere_says_so_and_ends(phones: Stage) -> None:
    first = await phones.listen("bob", "--auto-answer")
    shutil.copytree(phones.home("bob"), phones.home("bobs-copy"), ignore=shutil.ignore_patterns("*.sock"))
    await phones.listen("bobs-copy", "--auto-answer")
    assert await first.ended(limit=5) == 1, first.account()
    assert "another phone has logged in" in (said := one_line(first))
    assert "start this one again" in said
