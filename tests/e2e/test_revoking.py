"""``relay revoke``: a phone that is turned out gets no key from nodes that run, and is let in no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from qcall.config import Home
from qcall.errors import RelayRefused
from qcall.net.kme import KeyNode
from scripts.demonstration.stage import BIN, Program, Stage

NETWORK = """name = "pair"
description = "modelled: one link"
sites = ["a", "b"]
links = [{ a = "a", b = "b", km = 20 }]
"""


def key_node(theatre: Stage, name: str, site: str) -> KeyNode:
    """The key node as the phone ``name`` asks it."""
    home = Home(theatre.home(name))
    return KeyNode(
        theatre.ready["kme"][site], kme_id=f"kme-{site}", certificate=home.sae_certificate, key=home.sae_key,
        ca_pem=home.ca(),
    )  # fmt: skip


async def revoke(theatre: Stage, name: str, *options: str, code: int = 0) -> Program:
    command = (BIN / "relay", "--home", theatre.relay_home, "revoke", name, *options)
    return await theatre.run("relay revoke", *command, code=code)


@pytest.mark.parametrize("where", [(), ("--processes",)], ids=["one process", "processes"])
async def test_a_revoked_phone_gets_no_key_and_cannot_log_in(theatre: Stage, where: Sequence[str]) -> None:
    network = theatre.directory / "pair.toml"
    network.write_text(NETWORK)
    await theatre.serve("--topology", network, *where)
    for name, site in (("alice", "a"), ("bob", "a")):
        await theatre.enrol(name, site, network)
    async with key_node(theatre, "alice", "a") as alice, key_node(theatre, "bob", "a") as bob:
        [held] = await alice.enc_keys("sae-bob")
        assert await bob.enc_keys("sae-alice")
        done = await (await revoke(theatre, "alice", "--json")).event("revoked")
        assert (done["name"], done["certificate"], done["account"]) == ("alice", True, True)
        assert done["online"] is False
        assert not (theatre.relay_home / "turn.secret").exists(), (
            "the next start gives no old credentials room"
        )
        with pytest.raises(RelayRefused, match="revoked") as refused:
            await alice.enc_keys("sae-bob")
        assert refused.value.code == "qkd-unauthorized"
        with pytest.raises(RelayRefused, match="not known"):
            await bob.enc_keys("sae-alice")
        assert (await bob.dec_keys("sae-alice", [held.key_id]))[0].key == held.key
    out = await theatre.run("qcall listen", *theatre.phone("alice", "listen", "--json"), code=1)
    assert "does not know this name" in out.stderr
    assert "in a new home: qcall --home DIR init" in out.stderr
    theatre.home("alice").rename(theatre.directory / "the old home")
    await theatre.enrol("alice", "a", network)
    await theatre.listen("alice", "--auto-answer")
    await revoke(theatre, "alice")

    again = await revoke(theatre, "alice", code=2)
    assert (
        again.stderr.strip() == "relay: no phone called alice is enrolled; names are spelt as in its invite"
    )


async def test_a_phone_that_is_revoked_in_a_call_is_offline_and_relays_nothing_at_once(
    theatre: Stage,
) -> None:
    network = theatre.directory / "pair.toml"
    network.write_text(NETWORK)
    await theatre.serve("--topology", network)
    for name, site in (("alice", "a"), ("bob", "b")):
        await theatre.enrol(name, site, network)
    sound = ("--input", "tone", "--output", "null")
    bob = await theatre.listen("bob", "--auto-answer", "--once", *sound)
    alice = await theatre.call("alice", "bob", *sound)
    await alice.event("media")
    await until_allocated(theatre, {2})
    done = await (await revoke(theatre, "alice", "--json")).event("revoked")
    assert done["online"] is True
    assert (await alice.event("gone"))["code"] == "not-enrolled"
    await until_allocated(theatre, {0, 1})  # bob's may go on
    alice.interrupt()
    bob.interrupt()
    await alice.ended()
    await bob.ended()


async def until_allocated(theatre: Stage, wanted: set[int]) -> None:
    """Wait until the relay tells of so many TURN allocations."""
    command = (BIN / "relay", "--home", theatre.relay_home, "status", "--json")
    async with asyncio.timeout(45):
        while True:
            told = await (await theatre.run("relay status", *command)).event("status")
            if told["turn"]["allocations"] in wanted:
                return


async def test_a_home_without_a_relay_is_named(theatre: Stage) -> None:
    refused = await revoke(theatre, "alice", code=2)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "nobody is enrolled" in refused.stderr
    assert not theatre.relay_home.exists()
