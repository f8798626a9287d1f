"""How a phone comes by the authority's revocation list: in many segments, and at a later attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcall.errors import Unavailable
from qcall.net import signalling
from qcall.net.address import RelayAddress
from qcall.net.authority import KnownAuthority, fetch
from qcall.wire.invite import SECRET_LENGTH, Invite
from relay.pki import Authority, serial_of
from tests.e2e.phone_at_relay import PATIENCE, open_house

SEGMENT = 100


@contextlib.asynccontextmanager
async def dribbling(body: bytes) -> AsyncIterator[RelayAddress]:
    """A relay that answers whatever it is asked with ``body``, in segments that come one after the other."""

    answering: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(answer(reader, writer)))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(body), SEGMENT):
                await writer.drain()
                await asyncio.sleep(0.001)
                writer.write(body[start : start + SEGMENT])
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield RelayAddress.parse(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.gather(*answering)


async def test_a_list_that_comes_in_many_segments_is_taken_whole(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    authority._revoke(set(range(1, 60)))
    known = KnownAuthority(authority.ca_pem, tmp_path / "held.pem")
    async with dribbling(authority.crl.read_bytes()) as relay:
        await known.follow(relay, authority.revocations().number)
    assert known.objection(1000) is None
    assert "its certificate is revoked" in (known.objection(59) or "")


async def test_a_list_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    monkeypatch.setattr("qcall.net.authority.MAX_LIST", 2 * SEGMENT)
    async with dribbling(bytes(3 * SEGMENT)) as relay:
        with pytest.raises(Unavailable, match="more than 200 bytes"):
            await fetch(relay, authority.ca_pem)


async def test_an_authoritys_certificate_in_many_segments_is_taken_whole(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    invite = Invite.create(bytes(SECRET_LENGTH), authority.fingerprint)
    async with dribbling(authority.ca_pem) as relay:
        assert await signalling._first_contact(relay, invite) == authority.ca_pem


async def test_a_key_node_is_not_trusted_until_the_list_that_was_named_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcall.net.authority.FIRST_DELAY", 0.02)
    async with open_house(tmp_path / "house") as house:
        relay, authority = RelayAddress.parse(house.server.url), house.authority
        serial = serial_of(authority.kme_files(tmp_path / "kme", "kme-a", [])[0].read_bytes())
        known = KnownAuthority(authority.ca_pem, tmp_path / "held.pem")
        await known.follow(relay, authority.revocations().number)
        assert known.objection(serial) is None
        authority.revoke_kme("kme-a", tmp_path / "kme")
        number, away = authority.revocations().number, tmp_path / "away.pem"
        authority.crl.rename(away)
        await known.follow(relay, number)
        assert "may have been revoked" in (known.objection(serial) or "")
        catching_up = asyncio.create_task(known.catch_up(relay))
        await asyncio.sleep(0)
        assert known.is_behind
        away.rename(authority.crl)
        async with asyncio.timeout(PATIENCE):
            await catching_up
        assert known.objection(serial) == "its certificate is revoked; ask the relay's operator"
        assert known.objection(serial + 1) is None


async def test_a_relay_that_brings_an_older_list_than_it_names_is_not_believed(tmp_path: Path) -> None:
    async with open_house(tmp_path / "house") as house:
        relay, number = RelayAddress.parse(house.server.url), house.authority.revocations().number
        known = KnownAuthority(house.authority.ca_pem, tmp_path / "held.pem")
        await known.follow(relay, number + 1)
        assert "an older revocation list than it named" in (known.objection(1) or "")
        await known.follow(relay, number)
        assert known.objection(1) is None
