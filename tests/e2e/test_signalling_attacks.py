"""What strangers and dishonest phones send to the signalling server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from qcall.wire import signalling as wire
from relay.signalling import websocket
from relay.signalling.budget import Rate
from relay.signalling.websocket import SignallingServer
from tests.e2e.signalling import Identity, Phone, enrolled, serving

CALL = bytes(16)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SignallingServer]:
    async with serving(tmp_path) as made:
        yield made


def hello(**change: Any) -> bytes:
    return msgspec.msgpack.encode({"type": "hello", "version": wire.VERSION, "name": "alice"} | change)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", wire.Code.BAD_MESSAGE),
        (b"\xc1", wire.Code.BAD_MESSAGE),
        (b"\x91" * 60_000, wire.Code.BAD_MESSAGE),
        (wire.encode(wire.Heartbeat()), wire.Code.BAD_MESSAGE),
        (wire.encode(wire.Envelope("bob", CALL, 0, b"")), wire.Code.BAD_MESSAGE),
        (hello(extra=1), wire.Code.BAD_MESSAGE),
        (hello(name=b"alice"), wire.Code.BAD_MESSAGE),
        (hello(version="1"), wire.Code.BAD_MESSAGE),
        (hello(version=wire.VERSION + 1), wire.Code.VERSION),
        (hello(version=1), wire.Code.VERSION),  # it would not understand the welcome
        (hello(version=wire.VERSION + 1, something=["new"]), wire.Code.VERSION),
        (hello(name="../alice"), wire.Code.BAD_NAME),
        (hello(name=""), wire.Code.BAD_NAME),
        (hello(name="alice\n"), wire.Code.BAD_NAME),
    ],
)
async def test_a_first_frame_that_is_no_hello(
    server: SignallingServer, frame: bytes, code: wire.Code
) -> None:
    async with Phone(server.url, "alice") as phone:
        await phone.send(frame)
        assert await phone.rejection() is code


async def test_text_frames_are_refused(server: SignallingServer) -> None:
    async with Phone(server.url, "alice") as phone:
        await phone.socket.send_str("hello")
        assert await phone.rejection() is wire.Code.BAD_MESSAGE


async def test_a_frame_that_is_too_large_ends_the_connection(server: SignallingServer) -> None:
    async with Phone(server.url, "alice") as phone:
        await phone.send(bytes(wire.MAX_FRAME + 1))
        assert await phone.frame() is None
        assert phone.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_payload_that_is_too_large_is_refused(server: SignallingServer) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone:
        await phone.log_in()
        await phone.send(wire.Envelope("bob", CALL, 0, bytes(wire.MAX_PAYLOAD + 1)))
        assert await phone.rejection() is wire.Code.BAD_MESSAGE


async def test_a_stranger_cannot_take_a_name(server: SignallingServer) -> None:
    await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", Identity()) as thief:
        await thief.send(thief.login(await thief.greet()))
        assert await thief.rejection() is wire.Code.NOT_ENROLLED
    assert server.directory.online("alice") is None


async def test_an_unknown_name_is_answered_like_a_wrong_signature(server: SignallingServer) -> None:
    async with Phone(server.url, "nobody") as phone:
        await phone.send(phone.login(await phone.greet()))
        assert await phone.rejection() is wire.Code.NOT_ENROLLED


@pytest.mark.parametrize("broken", ["ed25519", "mldsa"])
async def test_one_good_signature_is_not_enough(server: SignallingServer, broken: str) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone:
        login = phone.login(await phone.greet())
        stranger = Phone(server.url, "alice", Identity()).login(wire.Challenge(bytes(32), bytes(32)))
        field = f"{broken}_signature"
        await phone.send(msgspec.structs.replace(login, **{field: getattr(stranger, field)}))
        assert await phone.rejection() is wire.Code.NOT_ENROLLED


@pytest.mark.parametrize(
    "change", [{"relay": bytes(32)}, {"nonce": bytes(32)}, {"name": "bob"}], ids=["relay", "nonce", "name"]
)
async def test_a_signature_for_another_relay_nonce_or_name(
    server: SignallingServer, change: dict[str, Any]
) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone:
        await phone.send(phone.login(await phone.greet(), **change))
        assert await phone.rejection() is wire.Code.NOT_ENROLLED


async def test_a_login_cannot_be_replayed(server: SignallingServer) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone, Phone(server.url, "alice") as tap:
        recorded = phone.login(await phone.greet())
        await phone.send(recorded)
        await phone.receive(wire.Welcome)
        await tap.greet()
        await tap.send(recorded)
        assert await tap.rejection() is wire.Code.NOT_ENROLLED
        await phone.send(wire.Heartbeat())
        await phone.receive(wire.HeartbeatAck)


async def test_an_enrolment_signature_is_no_login(server: SignallingServer) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone:
        enrolment = phone.enrol(await phone.greet(), "0000")
        await phone.send(wire.Login(enrolment.ed25519_signature, enrolment.mldsa_signature))
        assert await phone.rejection() is wire.Code.NOT_ENROLLED


@pytest.mark.parametrize("field", ["invite", "ed25519_public", "mldsa_public", "csr_pem"])
async def test_every_field_of_an_enrolment_is_signed(server: SignallingServer, field: str) -> None:
    code = server.accounts.invite("alice", "beijing", time.time())
    other = Identity()
    swapped = {
        "invite": code.lower(),
        "ed25519_public": other.ed25519,
        "mldsa_public": other.mldsa,
        "csr_pem": b"-----BEGIN CERTIFICATE REQUEST-----\nof the man in the middle",
    }
    async with Phone(server.url, "alice") as phone:
        await phone.send(phone.enrol(await phone.greet(), code, **{field: swapped[field]}))
        assert await phone.rejection() is wire.Code.BAD_SIGNATURE
    assert server.accounts.find("alice") is None


async def test_invites_wrong_used_and_stolen(server: SignallingServer) -> None:
    async def try_with(code: str, name: str) -> wire.Code:
        async with Phone(server.url, name) as phone:
            await phone.send(phone.enrol(await phone.greet(), code))
            return await phone.rejection()

    code = server.accounts.invite("alice", "beijing", time.time())
    assert await try_with("0000-0000-0000-0000", "alice") is wire.Code.INVITE
    assert await try_with(code, "mallory") is wire.Code.INVITE
    async with Phone(server.url, "alice") as phone:
        await phone.send(phone.enrol(await phone.greet(), code))
        await phone.receive(wire.Enrolled)
    assert await try_with(code, "alice") is wire.Code.INVITE


async def test_a_certificate_request_that_is_none_leaves_the_invite_good(server: SignallingServer) -> None:
    code = server.accounts.invite("alice", "beijing", time.time())
    async with Phone(server.url, "alice") as phone:
        await phone.send(phone.enrol(await phone.greet(), code, request={"csr_pem": b"rubbish"}))
        assert await phone.rejection() is wire.Code.BAD_REQUEST
    async with Phone(server.url, "alice") as phone:
        await phone.send(phone.enrol(await phone.greet(), code))
        await phone.receive(wire.Enrolled)


async def test_a_phone_that_logged_in_cannot_start_over(server: SignallingServer) -> None:
    identity = await enrolled(server, "alice", "beijing")
    async with Phone(server.url, "alice", identity) as phone:
        await phone.log_in()
        await phone.send(wire.Hello(wire.VERSION, "bob"))
        assert await phone.rejection() is wire.Code.BAD_MESSAGE


async def test_who_says_nothing_is_shown_the_door(
    server: SignallingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "GREETING_LIMIT", 0.5)
    async with Phone(server.url, "alice") as phone:
        assert await phone.rejection() is wire.Code.TIMEOUT
    async with Phone(server.url, "alice") as phone:
        await phone.greet()
        assert await phone.rejection() is wire.Code.TIMEOUT


async def test_connections_from_one_address_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "ATTEMPTS", Rate(per_second=1e-3, burst=3.0))
    async with serving(tmp_path) as server:
        for _ in range(3):
            async with Phone(server.url, "alice"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await Phone(server.url, "alice").__aenter__()
        assert refused.value.status == 429


async def test_guessing_invites_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "ENROLMENTS", Rate(per_second=1e-3, burst=2.0))
    async with serving(tmp_path) as server:
        codes = []
        for _ in range(3):
            async with Phone(server.url, "alice") as phone:
                await phone.send(phone.enrol(await phone.greet(), "0000"))
                codes.append(await phone.rejection())
        assert codes == [wire.Code.INVITE, wire.Code.INVITE, wire.Code.BUSY]


async def test_a_phone_that_does_not_read_is_dropped_and_holds_up_nobody(server: SignallingServer) -> None:
    identities = {name: await enrolled(server, name, "beijing") for name in ("alice", "bob", "carol")}
    async with (
        Phone(server.url, "alice", identities["alice"]) as alice,
        Phone(server.url, "bob", identities["bob"]) as bob,
        Phone(server.url, "carol", identities["carol"]) as carol,
    ):
        for phone in (alice, bob, carol):
            await phone.log_in()
        bob.socket._response.connection.transport.pause_reading()
        server.directory._octets._rate = server.directory._envelopes._rate = Rate(1e9, 1e9)
        for seq in range(1200):
            await alice.send(wire.Envelope("bob", CALL, seq, bytes(60_000)))
            answer = wire.decode_from_relay(await alice.frame() or b"")
            if isinstance(answer, wire.Failed):
                break
        assert server.directory.online("bob") is None
        await carol.send(wire.Heartbeat())
        await carol.receive(wire.HeartbeatAck)
        bob.socket._response.connection.transport.abort()


async def test_garbage_at_random_moments_breaks_nothing(server: SignallingServer) -> None:
    identity = await enrolled(server, "alice", "beijing")
    for step in range(3):
        async with Phone(server.url, "alice", identity) as phone:
            if step >= 1:
                challenge = await phone.greet()
            if step >= 2:
                await phone.send(phone.login(challenge))
                await phone.receive(wire.Welcome)
            await phone.send(b"\x81\xa4type\xa7nothing")
            assert await phone.rejection() is wire.Code.BAD_MESSAGE
    async with asyncio.timeout(5):
        while server._open:
            await asyncio.sleep(0)
    assert len(server.directory) == 0
