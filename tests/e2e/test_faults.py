"""Faults on a running relay, as an operator puts them there: keys and voice go another way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def diamond(theatre: Stage) -> Path:
    """A small network with two ways between its sites, in a file."""
    file = theatre.directory / "diamond.toml"
    file.write_text(
        """name = "diamond"
description = "modelled: two ways from a to b"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "y", b = "a", km = 50 }, { a = "b", b = "y", km = 50 },
]
"""
    )
    return file


@pytest.mark.parametrize("where", [(), ("--processes",)], ids=["one process", "processes"])
async def test_faults_reach_the_nodes_wherever_they_run(
    theatre: Stage, diamond: Path, where: tuple[str, ...]
) -> None:
    await theatre.serve("--topology", diamond, *where)
    done = await (await fault(theatre, "cut", "a", "x", "--json")).event("fault")
    assert done["detours"] == 1
    await fault(theatre, "eve", "b", "y")
    await fault(theatre, "drain", "b", "x")
    await fault(theatre, "compromise", "x")
    shown = await status(theatre)
    conditions = {(link["a"], link["b"]): link["condition"] for link in shown["links"]}
    assert conditions == {("a", "x"): "cut", ("x", "b"): "up", ("y", "a"): "up", ("b", "y"): "alarm"}
    assert condition(shown, "x", "b")["lost"] > 500_000
    assert shown["keys"]["compromised"] == {"x": 0}
    route = (BIN / "relay", "--home", theatre.relay_home, "topology", "show", diamond)
    [cut, drained] = (await (await theatre.run("route", *route, "--json")).event("route"))["hops"]
    assert (cut["condition"], cut["pool"], drained["condition"]) == ("cut", 1.0, "up")
    assert drained["pool"] < 1.0
    drawn = (await theatre.run("route", *route)).text
    assert "● a" in drawn
    assert "████████ cut" in drawn.replace("  ", " ")
    assert "everything: done" in (await fault(theatre, "restore")).text
    shown = await status(theatre)
    assert ({link["condition"] for link in shown["links"]}, shown["keys"]["compromised"]) == ({"up"}, {})


@pytest.mark.parametrize("where", [(), ("--processes",)], ids=["one process", "processes"])
async def test_a_relay_writes_an_audit_log_wherever_its_nodes_run(
    theatre: Stage, diamond: Path, where: tuple[str, ...]
) -> None:
    await theatre.serve("--topology", diamond, *where)
    for name, site in (("alice", "a"), ("bob", "b")):
        await theatre.enrol(name, site, diamond)
    bob = await theatre.listen("bob", "--auto-answer", "--once", "--qkd", "require", *SOUND)
    alice = await theatre.call("alice", "bob", "--qkd", "require", *SOUND)
    await alice.event("media")
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    home = Path(theatre.relay_home)
    files = [home / "kme" / f"kme-{site}" / "audit.log" for site in "ab"] if where else [home / "audit.log"]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    drawn, fetched = (
        {key_id for line in lines if line["path"].endswith(method) for key_id in line["key_ids"]}
        for method in ("enc_keys", "dec_keys")
    )
    assert drawn >= fetched > set()
    assert {line["kme"] for line in lines} == {"kme-a", "kme-b"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_what_cannot_be_done_is_refused_in_one_line(theatre: Stage) -> None:
    await theatre.serve()
    refused = await fault(theatre, "cut", "beijing", "hefei", code=2)
    assert "beijing has links to: langfang, zhuozhou" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


async def test_without_a_relay_there_is_nothing_to_disturb(theatre: Stage) -> None:
    theatre.relay_home.mkdir()
    assert "no relay runs" in (await fault(theatre, "cut", "jinan", "taian", code=1)).stderr


SOUND = ("--input", "tone", "--output", "null", "--rekey", "5")
BUSY = 45.0
"""Seconds within which a busy machine gets to what takes up to two rekeys: keys in stock that are used first,
a request that failed and is made again after 5 s, a pause of the machine in the middle of either."""


class Told:
    """What a phone tells from now on."""

    def __init__(self, phone: Program) -> None:
        self._phone = phone
        self._since = len(phone.events)

    async def event(self, kind: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event of this kind that fits."""

        def found() -> dict[str, Any] | None:
            told = self._phone.events[self._since :]
            return next((event for event in told if event["event"] == kind and fits(event)), None)

        await self._phone.until(lambda _: found() is not None, limit=BUSY)
        event = found()
        assert event is not None
        return event


def faulty(told: dict[str, Any]) -> set[tuple[frozenset[str], str]]:
    return {(frozenset(fault["link"]), fault["condition"]) for fault in told["faults"]}


async def test_a_running_call_sees_every_fault_and_goes_on(phones: Stage) -> None:
    """That a phone asks at least once a rekey is proved in the tests of its key watch, by no clock."""
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
        # Stock that crossed the fibre before it was cut is good, and is used first.
        await each.event("rekeyed", lambda told: "zhengzhou" in told["qkd"]["path"])

    both = Told(alice), Told(bob)
    alarm = frozenset(("anyang", "hebi")), "alarm"
    await fault(phones, "eve", "anyang", "hebi")
    for each in both:
        told = await each.event("qkd-outlook", lambda told: faulty(told) == {cut, alarm})
        assert (told["alarm"], told["path"]) == (True, [])
        assert told["keys_left"] <= 2, "stock that had crossed the fibre before it was cut is still good"
        without = await each.event("rekeyed", lambda told: told["qkd"]["state"] == "absent")
        assert "PQC only" in without["line"]

    both = Told(alice), Told(bob)
    await fault(phones, "restore")
    for each in both:
        await each.event("rekeyed", lambda told: told["qkd"]["state"] == "present")
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    hops = (await status(phones))["hops"]
    crossed = {(hop["from"], frozenset(hop["hop"].split("–"))): hop for hop in hops}
    for phone, far in ((alice, "hefei"), (bob, "beijing")):
        lost = (await phone.event("ended"))["quality"]["packetsLost"]
        assert lost <= crossed[far, cut[0]]["lost"], "only what met the fibre that was cut"
        assert crossed[far, alarm[0]]["passed"] > 100, "then it went the other way"


@pytest.mark.parametrize("where", [(), ("--processes",)], ids=["one process", "processes"])
async def test_a_running_call_sees_faults_on_links_of_others_wherever_nodes_run(
    theatre: Stage, where: tuple[str, ...]
) -> None:
    ring = theatre.directory / "ring.toml"
    ring.write_text(
        """name = "ring"
description = "modelled: two ways from a to b, each with a link that neither of them ends"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "z", km = 30 }, { a = "z", b = "b", km = 30 },
  { a = "a", b = "y", km = 40 }, { a = "y", b = "w", km = 40 }, { a = "w", b = "b", km = 40 },
]
"""
    )
    await theatre.serve("--topology", ring, *where)
    for name, site in (("alice", "a"), ("bob", "b")):
        await theatre.enrol(name, site, ring)
    bob = await theatre.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await theatre.call("alice", "bob", *SOUND)
    usual = await Told(alice).event("qkd-outlook", lambda told: not told["faults"])
    assert usual["path"] == ["a", "x", "z", "b"]
    await bob.event("qkd-outlook")

    both = Told(alice), Told(bob)
    cut = frozenset(("x", "z")), "cut"
    await fault(theatre, "cut", "x", "z")
    for each in both:
        told = await each.event("qkd-outlook", lambda told: faulty(told) == {cut})
        assert "y" in told["path"]
    both = Told(alice), Told(bob)
    await fault(theatre, "eve", "y", "w")
    for each in both:
        told = await each.event("qkd-outlook", lambda told: len(faulty(told)) == 2)
        assert faulty(told) == {cut, (frozenset(("y", "w")), "alarm")}
        assert (told["alarm"], told["path"]) == (True, [])
    both = Told(alice), Told(bob)
    await fault(theatre, "restore")
    for each in both:
        await each.event("qkd-outlook", lambda told: not told["faults"])
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()


async def test_a_call_that_cannot_be_keyed_is_refused_with_the_reason_under_require(phones: Stage) -> None:
    for link in (("beijing", "langfang"), ("beijing", "zhuozhou")):
        await fault(phones, "eve", *link)  # who listens to the keys does not stop the voice
    bob = await phones.listen("bob", "--auto-answer", "--once", *SOUND)
    alice = await phones.call("alice", "bob", "--qkd", "require", *SOUND)
    assert await alice.ended() == 1
    failed = await alice.event("qkd-failed")
    assert failed["code"] == "qkd-depleted"
    assert "no path from beijing to hefei has key on every hop" in failed["message"]
    assert "insists on one (its policy is require)" in alice.stderr
    await bob.ended()


async def test_nodes_as_processes_key_a_call_and_one_of_them_may_be_killed(
    theatre: Stage, diamond: Path
) -> None:
    await theatre.serve("--topology", diamond, "--processes")
    for name, site in (("alice", "a"), ("bob", "b")):
        await theatre.enrol(name, site, diamond)
    require = (*SOUND, "--qkd", "require")
    bob = await theatre.listen("bob", "--auto-answer", "--once", *require)
    alice = await theatre.call("alice", "bob", *require)
    assert (await alice.event("secured"))["qkd"]["path"] == ["a", "x", "b"]
    told = Told(bob)
    kill(theatre, "x")
    # Stock that crossed x before it died is used first; a request that fails is tried again after 5 s.
    await told.event("rekeyed", lambda told: told["qkd"]["path"] == ["a", "y", "b"])
    assert (await status(theatre))["keys"]["down"] == ["x"]
    # It has its certificate: nobody but who gives certificates out needs the authority's private key.
    (theatre.relay_home / "ca" / "ca.key").unlink()
    again = (
        BIN / "relay",
        "--home",
        theatre.relay_home,
        "kme",
        "--node",
        "x",
        "--topology",
        diamond,
        "--json",
    )
    node = await theatre.start("relay kme", *again)
    await node.event("ready")
    assert (await status(theatre))["keys"]["down"] == []
    alice.interrupt()
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()


def kill(theatre: Stage, node: str) -> None:
    """kill -9 of the node's process, which is a child of the relay."""
    [relay] = [program for program in theatre.programs if program.name == "relay serve"]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == relay.process.pid and words[words.index(b"--node") + 1] == node.encode():
            os.kill(int(process.name), signal.SIGKILL)
