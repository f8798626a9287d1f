"""The signalling server as phones see it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest

from qcall.wire import signalling as wire
from relay.errors import AddressInUse, UsageError
from relay.path.model import Hop
from relay.path.routes import Routes
from relay.signalling.accounts import Accounts
from relay.signalling.directory import Limits
from relay.signalling.websocket import LEAST_TIMEOUT, SignallingServer
from tests.e2e.signalling import CA, FINGERPRINT, Phone, enrolled, services, serving

CALL = bytes(range(16))


async def test_enrolment_gives_what_the_phone_needs(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, Phone(server.url, "alice") as phone:
        code = server.accounts.invite("alice", "beijing", time.time())
        challenge = await phone.greet()
        assert challenge.relay == FINGERPRINT
        await phone.send(phone.enrol(challenge, code))
        got = await phone.receive(wire.Enrolled)
        assert got == wire.Enrolled(
            "beijing", "sae-alice", "kme-beijing", b"certificate of sae-alice at kme-beijing", CA
        )
        assert await phone.frame() is None


async def test_a_login_gives_a_lease_and_turn_credentials(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as phone:
            welcome = await phone.log_in()
            assert (welcome.site, welcome.sae_id, welcome.kme_id) == ("beijing", "sae-alice", "kme-beijing")
            assert welcome.lease_ttl == wire.LEASE_TTL
            assert welcome.turn.username.endswith(":beijing:alice")
            await phone.send(wire.Heartbeat())
            assert await phone.receive(wire.HeartbeatAck) == wire.HeartbeatAck(None)


async def test_a_heartbeat_brings_fresh_turn_credentials_when_half_their_time_is_over(tmp_path: Path) -> None:
    async with serving(tmp_path, turn_lifetime=0.0) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as phone:
            first = (await phone.log_in()).turn
            await phone.send(wire.Heartbeat())
            fresh = (await phone.receive(wire.HeartbeatAck)).turn
            assert fresh is not None
            assert fresh.expires > first.expires


async def test_an_envelope_takes_the_path_between_two_sites(tmp_path: Path) -> None:
    routes = Routes({("beijing", "hefei"): [Hop("a", 20_000.0), Hop("b", 20_000.0)]}, seed=1)
    path = routes.between("beijing", "hefei")
    assert path is not None
    async with serving(tmp_path, routes=routes) as server:
        identities = [
            await enrolled(server, name, site) for name, site in (("alice", "beijing"), ("bob", "hefei"))
        ]
        async with (
            Phone(server.url, "alice", identities[0]) as alice,
            Phone(server.url, "bob", identities[1]) as bob,
        ):
            await alice.log_in()
            await bob.log_in()
            started = time.monotonic()
            await alice.send(wire.Envelope("bob", CALL, 7, b"M1"))
            assert await alice.receive(wire.Accepted) == wire.Accepted(CALL, 7)
            delivery = await bob.receive(wire.Delivery)
            took = time.monotonic() - started
    assert delivery == wire.Delivery("alice", "beijing", CALL, 7, b"M1")
    assert path.propagation <= took < path.propagation + 1.0


async def test_whoever_owns_the_relay_sees_every_frame_both_ways(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []
    tap = lambda now, direction, client, frame: seen.append((direction, frame))  # noqa: E731
    async with serving(tmp_path, tap=tap) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as alice:
            await alice.log_in()
            await alice.send(wire.Envelope("alice", CALL, 7, b"M1"))
            await alice.receive(wire.Accepted)
            await alice.receive(wire.Delivery)
    kinds = [(direction, msgspec.msgpack.decode(frame)["type"]) for direction, frame in seen]
    enrolment = [("in", "hello"), ("out", "challenge"), ("in", "enrol"), ("out", "enrolled")]
    login = [("in", "hello"), ("out", "challenge"), ("in", "login"), ("out", "welcome")]
    assert kinds[:8] == enrolment + login
    assert ("in", "envelope") in kinds
    assert ("out", "delivery") in kinds


async def test_a_lossy_path_delays_and_loses_nothing(tmp_path: Path) -> None:
    routes = Routes({("beijing", "hefei"): [Hop("a", 100.0, loss=0.3)]}, seed=4)
    async with serving(tmp_path, routes=routes) as server:
        identities = [
            await enrolled(server, name, site) for name, site in (("alice", "beijing"), ("bob", "hefei"))
        ]
        async with (
            Phone(server.url, "alice", identities[0]) as alice,
            Phone(server.url, "bob", identities[1]) as bob,
        ):
            await alice.log_in()
            await bob.log_in()
            started = time.monotonic()
            for seq in range(20):
                await alice.send(wire.Envelope("bob", CALL, seq, b"M1"))
            assert [(await bob.receive(wire.Delivery)).seq for _ in range(20)] == list(range(20))
            assert time.monotonic() - started >= LEAST_TIMEOUT


async def test_a_cut_path_is_told_to_the_sender(tmp_path: Path) -> None:
    routes = Routes({("beijing", "hefei"): [Hop("a", 100.0, up=False)]}, seed=4)
    async with serving(tmp_path, routes=routes) as server:
        identities = [
            await enrolled(server, name, site) for name, site in (("alice", "beijing"), ("bob", "hefei"))
        ]
        async with (
            Phone(server.url, "alice", identities[0]) as alice,
            Phone(server.url, "bob", identities[1]) as bob,
        ):
            await alice.log_in()
            await bob.log_in()
            await alice.send(wire.Envelope("bob", CALL, 0, b"M1"))
            await alice.receive(wire.Accepted)
            assert await alice.receive(wire.Failed) == wire.Failed(CALL, 0, wire.Reason.NO_PATH)


async def test_who_is_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        identity = await enrolled(server, "alice", "beijing")
        await enrolled(server, "bob", "hefei")
        async with Phone(server.url, "alice", identity) as alice:
            await alice.log_in()
            await alice.send(wire.Envelope("bob", CALL, 0, b"M1"))
            assert (await alice.receive(wire.Failed)).reason is wire.Reason.OFFLINE
            await alice.send(wire.Envelope("nobody", CALL, 0, b"M1"))
            assert (await alice.receive(wire.Failed)).reason is wire.Reason.UNKNOWN_CONTACT


async def test_a_second_login_fences_the_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as old, Phone(server.url, "alice", identity) as new:
            before = await old.log_in()
            after = await new.log_in()
            assert after.epoch > before.epoch
            assert await old.rejection() is wire.Code.SUPERSEDED
            await new.send(wire.Heartbeat())
            await new.receive(wire.HeartbeatAck)


async def test_a_phone_that_falls_silent_loses_its_registration(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=Limits(ttl=0.1)) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as phone:
            await phone.log_in()
            assert await phone.rejection() is wire.Code.TIMEOUT
            assert server.directory.online("alice") is None


async def test_a_phone_that_hangs_up_is_offline_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as phone:
            await phone.log_in()
            assert server.directory.online("alice") is not None
        async with asyncio.timeout(5):
            while server.directory.online("alice") is not None:
                await asyncio.sleep(0)


async def test_accounts_and_epochs_outlive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        identity = await enrolled(server, "alice", "beijing")
        async with Phone(server.url, "alice", identity) as phone:
            before = await phone.log_in()
    async with serving(tmp_path) as server, Phone(server.url, "alice", identity) as phone:
        assert (await phone.log_in()).epoch > before.epoch


async def test_closing_ends_every_connection_and_frees_the_port(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    async with serving(tmp_path) as server:
        port = server.address[1]
        identity = await enrolled(server, "alice", "beijing")
        phone = await Phone(server.url, "alice", identity).__aenter__()
        await phone.log_in()
        stranger = await Phone(server.url, "stranger").__aenter__()
        closing = asyncio.create_task(server.close())
        assert await phone.frame() is None
        assert await stranger.frame() is None
        await closing
        await phone.__aexit__()
        await stranger.__aexit__()
    assert asyncio.all_tasks() == tasks
    async with serving(tmp_path, port=port):
        pass


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        with pytest.raises(AddressInUse, match=f"port {server.address[1]} of 127.0.0.1 is in use"):
            async with serving(tmp_path, port=server.address[1]):
                pass


async def test_no_signalling_in_clear_outside_loopback(tmp_path: Path) -> None:
    with (
        Accounts(tmp_path / "accounts.db", FINGERPRINT) as accounts,
        pytest.raises(UsageError, match="needs TLS"),
    ):
        await SignallingServer.start("0.0.0.0", 0, accounts=accounts, services=services(), ca=CA)


async def test_health_and_the_authority_are_shown_to_anyone(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        base = server.url.replace("ws", "http", 1)
        async with session.get(base + "/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with session.get(base + wire.CA_PATH) as answer:
            assert (answer.status, await answer.read()) == (200, CA)
