"""kill -9 of the process that holds the keys: what was delivered stays so, the rest is still there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcall.errors import RelayRefused, Unavailable
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, QkdKey, sae_key_and_request
from relay.pki import Authority

PROGRAM = Path(__file__).with_name("key_nodes.py")
ROOT = Path(__file__).parent.parent.parent


class KeyNodes:
    """The key nodes as a process of their own; ``home`` outlives them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.authority = Authority.open_or_create(home / "ca")
        self.urls: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), str(self.home), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(45):
            self.urls = json.loads(await self._process.stdout.readline())

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await process.communicate()

    def phone(self, name: str, site: str) -> KeyNode:
        key, certificate = self.home / f"{name}.key", self.home / f"{name}.pem"
        if not key.exists():
            private, request = sae_key_and_request()
            key.write_bytes(private)
            certificate.write_bytes(self.authority.sign_sae_csr(request, f"sae-{name}", f"kme-{site}"))
        return KeyNode(
            self.urls[site],
            kme_id=f"kme-{site}",
            certificate=certificate,
            key=key,
            authority=KnownAuthority(self.authority.ca_pem, self.authority.crl),
        )


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[KeyNodes]:
    made = KeyNodes(tmp_path)
    await made.start()
    yield made
    await made.kill()


async def test_a_killed_node_keeps_what_waits_and_never_repeats_a_delivery(nodes: KeyNodes) -> None:
    async with nodes.phone("alice", "beijing") as alice, nodes.phone("bob", "hefei") as bob:
        fetched, left = await alice.enc_keys("sae-bob", number=2)
        await bob.dec_keys("sae-alice", [fetched.key_id])
        await nodes.kill()
    await nodes.start()
    async with nodes.phone("bob", "hefei") as bob:
        with pytest.raises(RelayRefused) as refused:
            await bob.dec_keys("sae-alice", [fetched.key_id])
        assert refused.value.code == "qkd-key-not-found"
        [got] = await bob.dec_keys("sae-alice", [left.key_id])
        assert got.key == left.key


async def test_a_node_killed_amid_deliveries_gives_no_key_to_a_side_twice(nodes: KeyNodes) -> None:
    async with nodes.phone("alice", "beijing") as alice, nodes.phone("bob", "hefei") as bob:
        keys = await alice.enc_keys("sae-bob", number=40)
        asking = [asyncio.create_task(bob.dec_keys("sae-alice", [key.key_id])) for key in keys]
        await asyncio.wait(asking[:3], return_when=asyncio.FIRST_COMPLETED)
        await nodes.kill()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    delivered = {each[0].key_id for each in answers if isinstance(each, list)}
    assert all(isinstance(each, list | Unavailable | RelayRefused) for each in answers)
    assert 0 < len(delivered) < len(keys), "the kill came in between"
    await nodes.start()
    async with nodes.phone("bob", "hefei") as bob:
        for key in keys:
            for attempt in range(2):
                got = await fetch(bob, key.key_id)
                assert got is None or (attempt == 0 and key.key_id not in delivered and got.key == key.key)


async def test_a_master_never_sees_a_key_twice_across_a_kill(nodes: KeyNodes) -> None:
    seen: list[QkdKey] = []
    await nodes.phone("bob", "hefei").close()
    async with nodes.phone("alice", "beijing") as alice:
        seen += await alice.enc_keys("sae-bob", number=20)
        await nodes.kill()
    await nodes.start()
    async with nodes.phone("alice", "beijing") as alice:
        seen += await alice.enc_keys("sae-bob", number=20)
    assert len({key.key_id for key in seen}) == len({key.key.reveal() for key in seen}) == 40


async def fetch(phone: KeyNode, key_id: str) -> QkdKey | None:
    try:
        return (await phone.dec_keys("sae-alice", [key_id]))[0]
    except RelayRefused as refused:
        if refused.code != "qkd-key-not-found":
            raise
        return None
