"""Trusted nodes as processes of their own: keys survive that one of them is killed, and none is for SAEs.

In one process a node cannot be killed alone, and has no address of its own. What holds wherever nodes run is
in ``test_key_network``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from qcall.errors import Unavailable
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, QkdKey, sae_key_and_request
from relay.config import RelayHome
from relay.errors import NoKeyMaterial, Refused, StorageError
from relay.kme.keys import ANY_PATH, EndKey
from relay.network.http import TrustedNode
from relay.network.topology import kme_id, parse
from relay.network.wire import PeerFailed
from relay.pki import Authority
from relay.processes import AUDIT_FILE, RunningNode
from tests.e2e.key_network import BUSY
from tests.e2e.real_time import REAL_TIME

PROGRAM = Path(__file__).with_name("trusted_node.py")
ROOT = Path(__file__).parent.parent.parent
DIAMOND = """name = "diamond"
description = "modelled: two ways from a to b"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "y", b = "a", km = 80 }, { a = "b", b = "y", km = 80 },
]
"""


class Nodes:
    """The four nodes, each a process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.authority = Authority.open_or_create(home / "ca")
        self.urls: dict[str, dict[str, str]] = {}
        self.running: dict[str, asyncio.subprocess.Process] = {}
        (home / "diamond.toml").write_text(DIAMOND)

    async def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = await asyncio.create_subprocess_exec(
                sys.executable, str(PROGRAM), str(self.home), str(self.home / "diamond.toml"), name,
                stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        for name in names:
            out = self.running[name].stdout
            assert out is not None
            async with asyncio.timeout(BUSY):
                self.urls[name] = json.loads(await out.readline())

    async def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        await process.communicate()

    async def books(self, name: str) -> dict[frozenset[str], int]:
        """Bits that each link of a node has used up, as this end of it counts."""
        self.running[name].send_signal(signal.SIGUSR1)
        out = self.running[name].stdout
        assert out is not None
        async with asyncio.timeout(BUSY):
            rows = json.loads(await out.readline())
        return {frozenset((row["a"], row["b"])): row["spent"] + row["lost"] for row in rows}

    def pads(self, name: str) -> tuple[list[str], list[str]]:
        """Digests of the pads that a node put on frames, and of those that it took off frames."""
        lines = [line.split() for line in (self.home / f"pads-{name}").read_text().splitlines()]
        return [pad for way, pad in lines if way == "on"], [pad for way, pad in lines if way == "off"]

    def phone(self, name: str, site: str) -> KeyNode:
        return enrolled(self.authority, self.home, name, site, self.urls[site]["kme"])


def enrolled(authority: Authority, home: Path, name: str, site: str, url: str = "") -> KeyNode:
    """A phone that has its certificate."""
    key, request = sae_key_and_request()
    files = home / f"{name}.pem", home / f"{name}.key"
    files[0].write_bytes(authority.sign_sae_csr(request, f"sae-{name}", kme_id(site)))
    files[1].write_bytes(key)
    known = KnownAuthority(authority.ca_pem, authority.crl)
    return KeyNode(url, kme_id=kme_id(site), certificate=files[0], key=files[1], authority=known)


async def until_keyed(phone: KeyNode, slave: str, *, path: tuple[str, ...] = ()) -> QkdKey:
    """The first key that came along ``path``, once links are open."""
    limit = time.monotonic() + BUSY
    while True:
        try:
            [key] = await phone.enc_keys(slave)
            if not path or key.path == path:
                return key
        except Unavailable:
            if time.monotonic() > limit:
                raise
        assert time.monotonic() < limit, f"no key came along {path}"
        await asyncio.sleep(0.05)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        await made.start("a", "b", "x", "y")
        yield made
    finally:
        for name in list(made.running):
            await made.kill(name)


async def test_keys_take_another_way_while_a_node_is_killed_and_return_when_it_is_back(
    nodes: Nodes,
) -> None:
    async with nodes.phone("alice", "a") as alice, nodes.phone("bob", "b") as bob:
        first = await until_keyed(alice, "sae-bob", path=("a", "x", "b"))
        assert (await bob.dec_keys("sae-alice", [first.key_id]))[0].key == first.key
        await nodes.kill("x")
        # Whatever stock came over x is good still; what is relayed from now on goes over y.
        west = await until_keyed(alice, "sae-bob", path=("a", "y", "b"))
        assert (await bob.dec_keys("sae-alice", [west.key_id]))[0].key == west.key
        await nodes.start("x")
        again = await until_keyed(alice, "sae-bob", path=("a", "x", "b"))
        assert (await bob.dec_keys("sae-alice", [again.key_id]))[0].key == again.key
        back = await until_keyed(bob, "sae-alice")
        assert (await alice.dec_keys("sae-bob", [back.key_id]))[0].key == back.key


async def test_keys_go_around_a_node_that_is_revoked_until_it_starts_again(nodes: Nodes) -> None:
    async with nodes.phone("alice", "a") as alice, nodes.phone("bob", "b") as bob:
        await until_keyed(alice, "sae-bob", path=("a", "x", "b"))
        nodes.authority.revoke_kme("kme-x", nodes.home / "kme" / "kme-x")
        around = await until_keyed(alice, "sae-bob", path=("a", "y", "b"))
        assert (await bob.dec_keys("sae-alice", [around.key_id]))[0].key == around.key
        await nodes.kill("x")
        await nodes.start("x")
        await until_keyed(alice, "sae-bob", path=("a", "x", "b"))


async def test_a_node_killed_amid_requests_spends_no_bit_twice_and_loses_no_key_that_was_given(
    nodes: Nodes,
) -> None:
    given: list[QkdKey] = []
    async with nodes.phone("alice", "a") as alice, nodes.phone("bob", "b") as bob:
        over = asyncio.Event()

        async def ask() -> None:
            while not over.is_set():  # so that some requests are under way whenever the kill comes
                try:
                    keys = await alice.enc_keys("sae-bob", number=4)
                except Unavailable:
                    await asyncio.sleep(0.05)  # out of quota, or the way is lost
                    continue
                given.extend(keys)
                if any(key.path == ("a", "y", "b") for key in keys):
                    over.set()

        given.append(await until_keyed(alice, "sae-bob", path=("a", "x", "b")))
        async with asyncio.timeout(BUSY), asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(ask())
            while len(given) < 20:
                await asyncio.sleep(0.01)
            await nodes.kill("x")
        assert {key.path for key in given} == {("a", "x", "b"), ("a", "y", "b")}
        await nodes.start("x")
        given.append(await until_keyed(alice, "sae-bob", path=("a", "x", "b")))
        fetched = {}
        for first in range(0, len(given), 50):
            ids = [key.key_id for key in given[first : first + 50]]
            fetched |= {key.key_id: key.key for key in await bob.dec_keys("sae-alice", ids)}
        assert fetched == {key.key_id: key.key for key in given}
    assert len({key.key.reveal() for key in given}) == len({key.key_id for key in given}) == len(given) >= 20

    put = {name: nodes.pads(name)[0] for name in "abxy"}
    taken = {name: nodes.pads(name)[1] for name in "abxy"}
    for used in (put, taken):
        every = [pad for pads in used.values() for pad in pads]
        assert len(set(every)) == len(every), "a pad was used twice"
    assert set().union(*taken.values()) <= set().union(*put.values())
    for one, other in (("a", "x"), ("x", "b"), ("a", "y"), ("y", "b")):
        await agreed(nodes, one, other)


async def agreed(nodes: Nodes, one: str, other: str) -> None:
    """Wait until both ends of a link count the same bits as used; stock may still be on its way."""
    link = frozenset((one, other))
    limit = time.monotonic() + BUSY
    while (counts := [(await nodes.books(end)).get(link) for end in (one, other)])[0] != counts[1]:
        assert time.monotonic() < limit, f"the ends of {one}–{other} count {counts}"
        await asyncio.sleep(0.05)
    assert counts[0]


async def test_a_node_is_no_place_for_an_sae(nodes: Nodes) -> None:
    phone = nodes.phone("eve", "a")
    context = nodes.authority.client_context(nodes.home / "eve.pem", nodes.home / "eve.key")
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            nodes.urls["x"]["node"] + "/network/v1/frame", data=b"", ssl=context, server_hostname="kme-x"
        ) as response,
    ):
        assert response.status == 409
        assert b"not-a-node" in await response.read()
    await phone.close()


LINE = parse(
    """name = "line"
description = "modelled: one way"
optics = "ghz"
sites = ["a", "b"]
links = [{ a = "a", b = "x", km = 10 }, { a = "x", b = "y", km = 10 }, { a = "y", b = "b", km = 10 }]
""",
    "test",
)


async def trusted(name: str, authority: Authority, home: Path) -> TrustedNode:
    """A node of the line, running in this process."""
    return await TrustedNode.start(
        name, LINE, authority=authority, directory=home / "kme", node_key=bytes(32),
        host="127.0.0.1", entropy=os.urandom,
    )  # fmt: skip


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[dict[str, TrustedNode]]:
    """Four nodes with servers of their own, joined by real connections, in this process."""
    authority = Authority.open_or_create(tmp_path / "ca")
    nodes: dict[str, TrustedNode] = {}
    try:
        for name in LINE.nodes:
            nodes[name] = await trusted(name, authority, tmp_path)
        async with asyncio.timeout(BUSY):
            while any(
                len(node.process.node.links) < len(LINE.neighbours[name]) for name, node in nodes.items()
            ):
                await asyncio.sleep(0.02)
        yield nodes
    finally:
        for node in nodes.values():
            await node.close()


@REAL_TIME
async def test_many_keys_at_once_over_cold_connections_all_arrive(
    line: dict[str, TrustedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.network.process.HOP_TIMEOUT", 2.0)  # what is late here need not be lost

    async def one(number: int) -> None:
        await asyncio.sleep(0.003 * number)  # as phones would, so that requests meet connections being made
        await line["a"].process.carry("kme-b", f"k{number}", bytes(32), ANY_PATH, os.urandom, time.time())

    async with asyncio.TaskGroup() as group:
        for number in range(24):
            group.create_task(one(number))
    ends = [line[b].process.node.links[a].end for a, b in (("a", "x"), ("x", "y"), ("y", "b"))]
    assert [(end.spent_bits, end.lost_bits) for end in ends] == [(24 * 512, 0)] * 3


async def test_a_node_whose_certificate_expires_while_its_connection_is_warm_is_refused_on_it(
    line: dict[str, TrustedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 400 * 86_400
    monkeypatch.setattr("relay.network.http.time", SimpleNamespace(time=lambda: later))
    with pytest.raises(NoKeyMaterial):
        await line["a"].process.carry("kme-b", "k", bytes(32), ANY_PATH, os.urandom, time.time())
    with pytest.raises(PeerFailed, match="expired"):
        await line["a"].process._peers.ask("x", "frame", b"", timeout=BUSY)


async def test_a_node_whose_certificate_is_revoked_while_its_connection_is_warm_is_refused_on_it(
    line: dict[str, TrustedNode], tmp_path: Path
) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    authority.revoke((tmp_path / "kme" / "kme-a" / "kme.pem").read_bytes())
    with pytest.raises(PeerFailed, match="revoked"):
        await line["a"].process._peers.ask("x", "frame", b"", timeout=BUSY)


async def test_a_node_sends_nothing_to_a_revoked_node_also_over_a_connection_that_is_warm(
    line: dict[str, TrustedNode], tmp_path: Path
) -> None:
    peers = line["a"].process._peers
    with pytest.raises(PeerFailed, match="malformed"):
        await peers.ask("x", "frame", b"", timeout=BUSY)
    asked = 0
    handle = line["x"].process.handle

    async def counted(peer: str, action: str, body: bytes) -> bytes:
        nonlocal asked
        asked += peer == "a"
        return await handle(peer, action, body)

    line["x"].process.handle = counted  # type: ignore[method-assign]
    Authority.open_or_create(tmp_path / "ca").revoke_kme("kme-x", tmp_path / "kme" / "kme-x")
    before = asked
    with pytest.raises(PeerFailed, match="node x: its certificate is revoked") as refused:
        await peers.ask("x", "frame", b"", timeout=BUSY)
    assert (refused.value.fault.a, refused.value.fault.b) == ("a", "x"), "for another way to be taken"
    assert asked == before
    async with asyncio.timeout(BUSY):
        while line["a"].process.node.links["x"].usable:
            await asyncio.sleep(0.02)


async def test_a_node_that_was_revoked_says_so_in_its_log_once(
    line: dict[str, TrustedNode], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Authority.open_or_create(tmp_path / "ca").revoke_kme("kme-x", tmp_path / "kme" / "kme-x")
    turns, tend = 0, line["x"].process.tend

    async def counted() -> None:
        nonlocal turns
        await tend()
        turns += 1

    async with asyncio.timeout(BUSY):
        while not caplog.messages:
            await asyncio.sleep(0.02)
        line["x"].process.tend = counted  # type: ignore[method-assign]
        while turns < 3:  # the third has begun, so what the second had to say is said
            await asyncio.sleep(0.02)
    said = [message for message in caplog.messages if "is revoked; start the node again" in message]
    assert said == ["the certificate of kme-x is revoked; start the node again for another"]


async def test_a_node_whose_disk_was_full_opens_its_links_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    in_the_way = tmp_path / "kme" / "kme-a" / "links.json.partial"  # as good as a full disk, for root too
    nodes: list[TrustedNode] = []
    try:
        for name in ("x", "a"):
            if name == "a":
                in_the_way.mkdir(parents=True)
            nodes.append(await trusted(name, authority, tmp_path))
        a = nodes[-1]
        async with asyncio.timeout(BUSY):
            while not caplog.messages:
                await asyncio.sleep(0.02)
            assert "x" not in a.process.node.links
            in_the_way.rmdir()
            while "x" not in a.process.node.links:
                await asyncio.sleep(0.02)
        assert sum("links.json" in message for message in caplog.messages) == 1, "not with every turn"
    finally:
        for node in nodes:
            await node.close()


async def test_upkeep_goes_on_after_a_fault_that_nobody_foresaw(
    line: dict[str, TrustedNode], tmp_path: Path
) -> None:
    a, failed, carried = line["a"], 0, asyncio.Event()
    assert a.kme is not None
    authority = Authority.open_or_create(tmp_path / "ca")
    carry = a.process.carry

    async def failing(*arguments: Any) -> EndKey:
        nonlocal failed
        failed += 1
        if failed <= 2:
            raise Refused("a message between nodes is malformed")
        carried.set()
        return await carry(*arguments)

    a.process.carry = failing  # type: ignore[method-assign, assignment]
    enrolled(authority, tmp_path, "bob", "b")
    async with enrolled(authority, tmp_path, "alice", "a", a.kme.url) as alice, asyncio.timeout(BUSY):
        await alice.status("sae-bob")  # which puts the pair in use
        await carried.wait()


async def test_a_node_whose_audit_log_cannot_be_opened_leaves_nothing_running(tmp_path: Path) -> None:
    home, pair = RelayHome(tmp_path / "home"), parse(DIAMOND, "diamond")
    (home.key_nodes / "kme-a" / AUDIT_FILE).mkdir(parents=True)
    before = asyncio.all_tasks()
    with pytest.raises(StorageError, match="cannot write the audit log"):
        await RunningNode.start(home, "a", pair, ("127.0.0.1", 0), ("127.0.0.1", 0))
    assert asyncio.all_tasks() == before
