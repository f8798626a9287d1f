"""A key node that is gone, says nothing, has no key or cannot start: told apart, each in one line."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from qcall.errors import NotSetUp, Unavailable
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode
from relay.errors import AddressInUse, StorageError
from relay.pki import Authority
from tests.e2e.town import Town, asked, start


async def test_a_key_node_that_is_gone_is_unavailable_in_one_line(town: Town) -> None:
    town.enrol("alice")
    node = town.node("alice")
    await town.sites.close()
    with pytest.raises(Unavailable, match="cannot be reached") as refused:
        await asked(node)
    assert (refused.value.code, "\n" in str(refused.value)) == ("qkd-unreachable", False)


async def test_a_key_node_that_says_nothing_is_unavailable_in_time(town: Town) -> None:
    town.enrol("alice")
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    node = KeyNode(
        f"https://127.0.0.1:{port}", kme_id="kme-beijing", certificate=town.directory / "alice.pem",
        key=town.directory / "alice.key", timeout=0.2,
        authority=KnownAuthority(town.authority.ca_pem, town.authority.crl),
    )  # fmt: skip
    with pytest.raises(Unavailable) as refused:
        await asked(node)
    assert refused.value.code == "qkd-timeout"
    silent.close()
    for writer in taken:
        writer.close()
        await writer.wait_closed()


async def test_a_connection_that_went_stale_is_opened_anew(town: Town) -> None:
    town.enrol("alice")
    async with town.node("alice") as node:
        port = town.sites.sites["beijing"].server.port
        await town.sites.close()
        town.sites = await start(town.directory, town.authority, {"beijing": port})
        assert await node.enc_keys("sae-alice")
    await town.sites.close()


async def test_an_empty_pool_is_told_apart_from_a_missing_node(town: Town) -> None:
    town.enrol("alice")
    town.enrol("bob", "hefei")
    network = town.sites.network
    for state in network.states:
        network.cut(state.link.a, state.link.b, time.monotonic())
    async with town.node("alice") as node:
        with pytest.raises(Unavailable) as refused:
            await node.enc_keys("sae-bob")
    assert refused.value.code == "qkd-depleted"


def test_a_phone_without_its_certificate_is_told_to_enrol(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    with pytest.raises(NotSetUp, match="run qcall init again"):
        KeyNode(
            "https://127.0.0.1:1", kme_id="k", certificate=tmp_path / "no.pem", key=tmp_path / "no.key",
            authority=KnownAuthority(authority.ca_pem, authority.crl),
        )  # fmt: skip


async def test_a_port_in_use_is_named_and_nothing_is_left_running(town: Town, tmp_path: Path) -> None:
    taken = town.sites.sites["beijing"].server.port
    with pytest.raises(AddressInUse, match=f"port {taken}"):
        await start(tmp_path / "second", town.authority, {"hefei": taken})
    retry = await start(tmp_path / "second", town.authority)
    await retry.close()


async def test_a_store_in_use_is_named(town: Town) -> None:
    with pytest.raises(StorageError, match="another program has it open"):
        await start(town.directory, town.authority)
