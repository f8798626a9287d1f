"""``relay revoke``: a phone that is turned out gets no key from nodes that run, and is let in no more.

A node whose certificates are revoked gets nothing more from phones, whether they are online or come later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

import msgspec
import pytest

from qcall.config import Home
from qcall.errors import RelayRefused
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode
from qcall.wire.signalling import CRL_PATH
from relay.pki import Authority
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
        authority=KnownAuthority(home.ca(), theatre.relay_home / "ca" / "crl.pem"),
    )  # fmt: skip


async def revoke(theatre: Stage, *options: str, code: int = 0) -> Program:
    command = (BIN / "relay", "--home", theatre.relay_home, "revoke", *options)
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


async def test_phones_take_no_key_from_a_node_that_was_revoked_until_it_starts_again(theatre: Stage) -> None:
    network = theatre.directory / "pair.toml"
    network.write_text(NETWORK)
    relay = await theatre.serve("--topology", network)
    for name, site in (("alice", "a"), ("bob", "b")):
        await theatre.enrol(name, site, network)
    sound = ("--input", "tone", "--output", "null")
    bob = await theatre.listen("bob", "--auto-answer", *sound)
    done = await (await revoke(theatre, "--node", "b", "--json")).event("revoked")
    assert (done["node"], done["certificates"]) == ("b", 1)
    await until_held(theatre, "bob")  # online all the time
    alice = await theatre.call("alice", "bob", "--qkd", "require", *sound)
    told = await bob.event("qkd-failed")
    assert (told["code"], "its certificate is revoked" in told["message"]) == ("qkd-untrusted", True)
    assert await alice.ended() == 1

    assert "node a: its 1 certificate is revoked" in (await revoke(theatre, "--node", "a")).text
    alice = await theatre.call("alice", "bob", "--qkd", "require", *sound)  # comes later
    told = await alice.event("qkd-failed")
    assert "key node kme-a is not to be trusted: its certificate is revoked" in told["message"]
    assert await alice.ended() == 1
    again = await revoke(theatre, "--node", "a", code=2)
    assert again.stderr.startswith("relay: every certificate of node a is revoked already")

    for program in (bob, relay):
        program.interrupt()
        await program.ended()
    await theatre.serve("--topology", network)
    await theatre.listen("bob", "--auto-answer", *sound)
    alice = await theatre.call("alice", "bob", "--qkd", "require", "--duration", "0.2", *sound)
    assert await alice.ended() == 0, alice.account()


async def test_a_phone_that_could_not_have_a_new_list_gets_it_without_another_login(theatre: Stage) -> None:
    network = theatre.directory / "pair.toml"
    network.write_text(NETWORK)
    await theatre.serve("--topology", network)
    await theatre.enrol("alice", "a", network)
    home = Home(theatre.home("alice"))
    async with Between(theatre.ready["signalling"]) as between:
        home.save_account(msgspec.structs.replace(home.account(), relay=between.url))
        alice = await theatre.listen("alice", "--auto-answer")
        await until_held(theatre, "alice")
        between.refusals = 2
        await revoke(theatre, "--node", "b")
        await until_held(theatre, "alice")
        assert between.refusals == 0
        lost = [each for each in alice.events if each["event"] == "relay" and not each["connected"]]
        assert lost == [], "online all the time"
        alice.interrupt()
        await alice.ended()


class Between:
    """Carries connections to a relay, but for the next ``refusals`` that ask for its revocation list."""

    def __init__(self, relay: str) -> None:
        self._relay = relay.removeprefix("ws://").rsplit(":", 1)
        self.refusals = 0
        self.url = ""
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carrying.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            asked = await reader.readline()
            if asked.startswith(f"GET {CRL_PATH} ".encode()) and self.refusals:
                self.refusals -= 1
                return
            there, back = await asyncio.open_connection(*self._relay)
            with contextlib.closing(back):
                back.write(asked)
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def until_held(theatre: Stage, name: str) -> None:
    """Wait until a phone has the revocation list that its relay has."""
    latest = (theatre.relay_home / "ca" / "crl.pem").read_bytes()
    async with asyncio.timeout(45):
        while Home(theatre.home(name)).revocations.read_bytes() != latest:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name either a phone, or a node with --node"),
        (("alice", "--node", "a"), "name either a phone, or a node with --node"),
        (("--node", "nowhere"), "no node called nowhere has a certificate in this home"),
    ],
)
async def test_what_cannot_be_revoked_is_one_line(
    theatre: Stage, arguments: Sequence[str], said: str
) -> None:
    Authority.open_or_create(theatre.relay_home / "ca")
    refused = await revoke(theatre, *arguments, code=2)
    assert refused.stderr.startswith(f"relay: {said}")
    assert len(refused.stderr.strip().splitlines()) == 1


async def test_a_home_without_a_relay_is_named(theatre: Stage) -> None:
    for arguments, said in ((("alice",), "nobody is enrolled"), (("--node", "a"), "no node has run")):
        refused = await revoke(theatre, *arguments, code=2)
        assert len(refused.stderr.strip().splitlines()) == 1
        assert said in refused.stderr
        assert not theatre.relay_home.exists()
