"""Two phones and their key nodes over real mutual TLS, joined by the modelled 16-node chain."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from qcall.errors import RelayRefused
from qcall.net.kme import KeyNode, sae_key_and_request
from relay.network import topology
from relay.network.faults import FaultRequest
from relay.network.sites import KeySites, kme_id
from relay.pki import Authority

Phone = Callable[[str, str], KeyNode]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open_or_create(tmp_path / "ca")


@pytest.fixture
async def sites(authority: Authority, tmp_path: Path) -> AsyncIterator[KeySites]:
    running = await KeySites.start(
        topology.load("beijing-hefei"),
        authority=authority,
        directory=tmp_path / "kme",
        node_keys=lambda _: bytes(32),
        host="127.0.0.1",
        ports={},
        clock=time.monotonic,
        entropy=os.urandom,
    )
    yield running
    await running.close()


@pytest.fixture
async def phone(authority: Authority, sites: KeySites, tmp_path: Path) -> AsyncIterator[Phone]:
    made: list[KeyNode] = []

    def enrol(name: str, site: str) -> KeyNode:
        key, request = sae_key_and_request()
        (tmp_path / f"{name}.key").write_bytes(key)
        (tmp_path / f"{name}.pem").write_bytes(authority.sign_sae_csr(request, f"sae-{name}", kme_id(site)))
        node = KeyNode(
            sites.sites[site].server.url,
            kme_id=kme_id(site),
            certificate=tmp_path / f"{name}.pem",
            key=tmp_path / f"{name}.key",
            ca_pem=authority.ca_pem,
        )
        made.append(node)
        return node

    yield enrol
    for node in made:
        await node.close()


async def test_both_phones_get_the_same_key_over_sixteen_nodes(phone: Phone) -> None:
    alice, bob = phone("alice", "beijing"), phone("bob", "hefei")
    [sent] = await alice.enc_keys("sae-bob")
    [got] = await bob.dec_keys("sae-alice", [sent.key_id])
    assert got.key == sent.key
    assert len(sent.key.reveal()) == 32
    assert got.path == sent.path
    assert (len(sent.path), sent.path[0], sent.path[-1]) == (16, "beijing", "hefei")
    assert len(sent.extension["qcall_qber"]) == 15


async def test_a_key_is_given_to_each_side_once(phone: Phone) -> None:
    alice, bob = phone("alice", "beijing"), phone("bob", "hefei")
    [sent] = await alice.enc_keys("sae-bob")
    await bob.dec_keys("sae-alice", [sent.key_id])
    with pytest.raises(RelayRefused, match="not found on KME") as refused:
        await bob.dec_keys("sae-alice", [sent.key_id])
    assert refused.value.code == "qkd-key-not-found"


async def test_another_phone_cannot_fetch_the_key(phone: Phone) -> None:
    alice, bob, eve = phone("alice", "beijing"), phone("bob", "hefei"), phone("eve", "hefei")
    [sent] = await alice.enc_keys("sae-bob")
    with pytest.raises(RelayRefused) as refused:
        await eve.dec_keys("sae-alice", [sent.key_id])
    assert refused.value.code == "qkd-unauthorized"
    assert (await bob.dec_keys("sae-alice", [sent.key_id]))[0].key == sent.key


async def test_a_key_under_way_when_the_alarm_rises_on_its_path_is_void(
    phone: Phone, sites: KeySites
) -> None:
    alice, bob = phone("alice", "beijing"), phone("bob", "hefei")
    [sent] = await alice.enc_keys("sae-bob")
    await sites.disturb(FaultRequest("eve", (sent.path[3], sent.path[4])))
    with pytest.raises(RelayRefused, match="not found on KME"):
        await bob.dec_keys("sae-alice", [sent.key_id])
    [fresh] = await alice.enc_keys("sae-bob")
    assert (await bob.dec_keys("sae-alice", [fresh.key_id]))[0].key == fresh.key
