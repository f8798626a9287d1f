"""Faults on a running relay, as an operator puts them there: keys and voice go another way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from relay.network.topology import load
from scripts.demonstration.stage import BIN, Program, Stage

CHAIN = load("beijing-hefei")


async def fault(theatre: Stage, *arguments: str, code: int = 0) -> Any:
    command = (BIN / "relay", "--home", theatre.relay_home, "fault", *arguments)
    return await theatre.run("relay fault", *command, code=code)


async def status(theatre: Stage) -> dict[str, Any]:
    command = (BIN / "relay", "--home", theatre.relay_home, "status", "--json")
    return await (await theatre.run("relay status", *command)).event("status")


def condition(shown: dict[str, Any], a: str, b: str) -> Any:
    [link] = [link for link in shown["links"] if {link["a"], link["b"]} == {a, b}]
    return link


async def test_what_is_done_to_a_link_is_seen_in_the_status(theatre: Stage) -> None:
    await theatre.serve()
    done = await (await fault(theatre, "cut", "jinan", "taian", "--json")).event("fault")
    assert done["detours"] == 1
    await fault(theatre, "eve", "dezhou", "yucheng", "--share", "0.6")
    await fault(theatre, "drain", "beijing", "langfang")
    await fault(theatre, "compromise", "tianjin")
    shown = await status(theatre)
    assert condition(shown, "jinan", "taian")["condition"] == "cut"
    assert condition(shown, "dezhou", "yucheng")["condition"] == "alarm"
    drained = condition(shown, "beijing", "langfang")
    assert drained["pool"] < drained["capacity"] / 10
    assert shown["keys"]["compromised"] == {"tianjin": 0}
    assert "everything: done" in (await fault(theatre, "restore")).text
    shown = await status(theatre)
    assert {link["condition"] for link in shown["links"]} == {"up"}


async def test_what_cannot_be_done_is_refused_in_one_line(theatre: Stage) -> None:
    await theatre.serve()
    refused = await fault(theatre, "cut", "beijing", "hefei", code=2)
    assert "beijing has links to: langfang, zhuozhou" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


async def test_without_a_relay_there_is_nothing_to_disturb(theatre: Stage) -> None:
    theatre.relay_home.mkdir()
    assert "no relay runs" in (await fault(theatre, "cut", "jinan", "taian", code=1)).stderr


SOUND = ("--input", "tone", "--output", "null", "--rekey", "5")


class Told:
    """What a phone tells from now on."""

    def __init__(self, phone: Program) -> None:
        self._phone = phone
        self._since = len(phone.events)

    async def event(
        self, kind: str, fits: Callable[[dict[str, Any]], bool], *, limit: float = 14.0
    ) -> dict[str, Any]:
        """The first event of this kind that fits."""
        async with asyncio.timeout(limit):
            while True:
                told = [event for event in self._phone.events[self._since :] if event["event"] == kind]
                if found := next((event for event in told if fits(event)), None):
                    return found
                await asyncio.sleep(0.05)


def faulty(told: dict[str, Any]) -> set[tuple[frozenset[str], str]]:
    return {(frozenset(fault["link"]), fault["condition"]) for fault in told["faults"]}


async def test_a_running_call_sees_every_fault_within_a_rekey_and_goes_on(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", *SOUND)
    usual = await Told(alice).event("qkd-outlook", lambda told: not told["faults"])
    assert usual["path"] == list(CHAIN.path("beijing", "hefei"))
    assert usual["keys_left"] > 100
    assert usual["minutes_left"] is None
    await bob.event("qkd-outlook")

    both = Told(alice), Told(bob)
    cut = frozenset(("jinan", "taian")), "cut"
    await fault(phones, "cut", "jinan", "taian")
    for each in both:
        told = await each.event("qkd-outlook", lambda told: faulty(told) == {cut})
        assert "zhengzhou" in told["path"]
        assert not told["alarm"]
        await each.event("rekeyed", lambda told: "zhengzhou" in told["qkd"]["path"])

    both = Told(alice), Told(bob)
    alarm = frozenset(("anyang", "hebi")), "alarm"
    await fault(phones, "eve", "anyang", "hebi")
    for each in both:
        told = await each.event("qkd-outlook", lambda told: faulty(told) == {cut, alarm})
        assert (told["alarm"], told["path"], told["keys_left"]) == (True, [], 0)
        without = await each.event("rekeyed", lambda told: told["qkd"]["state"] == "absent", limit=20)
        assert "PQC only" in without["line"]

    both = Told(alice), Told(bob)
    await fault(phones, "restore")
    for each in both:
        await each.event("rekeyed", lambda told: told["qkd"]["state"] == "present", limit=20)
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    lost = [(await phone.event("ended"))["quality"]["packetsLost"] for phone in (alice, bob)]
    assert all(0 < each < 25 for each in lost), "only what was under way while the fibre was switched"
