"""The phone's signalling against the real relay: enrol, log in, send, lose the relay, be refused."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from qcall.errors import QcallError, RelayRefused, StorageError, Unavailable, UsageError
from qcall.net import outbox
from qcall.net.address import RelayAddress
from qcall.net.authority import KnownAuthority
from qcall.net.signalling import SignallingClient
from qcall.session.enrolment import RelaySigner
from qcall.wire.signalling import MAX_PAYLOAD, Code, Failed, Reason
from relay.path.model import Hop
from relay.path.routes import Routes
from relay.pki import Authority
from relay.signalling.directory import Limits
from tests.e2e.phone_at_relay import PATIENCE, Phone, RelayHouse, online, open_house

CALL = bytes(range(16))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[RelayHouse]:
    async with open_house(tmp_path) as opened:
        yield opened


def one_line(error: QcallError) -> str:
    text = str(error)
    assert text
    assert len(text.splitlines()) == 1
    return text


async def test_enrolment_gives_a_certificate_for_this_name_and_site(house: RelayHouse) -> None:
    enrolled = await Phone(house, "alice").enrol(house.invite("alice", "hefei"))
    assert (enrolled.site, enrolled.sae_id, enrolled.kme_id) == ("hefei", "sae-alice", "kme-hefei")
    authority = x509.load_pem_x509_certificate(enrolled.ca_pem)
    x509.load_pem_x509_certificate(enrolled.certificate_pem).verify_directly_issued_by(authority)


async def test_a_login_says_where_everything_is(house: RelayHouse) -> None:
    async with online(house, "alice") as alice:
        welcome = alice.client.welcome
        assert (welcome.site, welcome.sae_id, welcome.kme_id) == ("beijing", "sae-alice", "kme-beijing")
        assert alice.client.turn == welcome.turn
        await alice.until(lambda: alice.states == [True])


async def test_envelopes_arrive_whole_and_in_order(house: RelayHouse) -> None:
    payloads = [os.urandom(size) for size in (0, 1, 3000, MAX_PAYLOAD)] + [bytes([n]) for n in range(20)]
    async with online(house, "alice") as alice, online(house, "bob", "hefei") as bob:
        for seq, payload in enumerate(payloads):
            await alice.client.send("bob", CALL, seq, payload)
        await bob.until(lambda: len(bob.delivered) == len(payloads))
        assert [got.payload for got in bob.delivered] == payloads
        assert {(got.sender, got.site, got.call_id) for got in bob.delivered} == {("alice", "beijing", CALL)}
        assert [got.seq for got in bob.delivered] == list(range(len(payloads)))


async def test_envelopes_sent_at_once_keep_their_order(house: RelayHouse) -> None:
    async with online(house, "alice") as alice, online(house, "bob") as bob:
        large = bytes(20_000)
        await asyncio.gather(*(alice.client.send("bob", CALL, seq, large) for seq in range(20)))
        await bob.until(lambda: len(bob.delivered) == 20)
        assert [got.seq for got in bob.delivered] == list(range(20))


async def test_between_two_sites_the_path_takes_its_time(tmp_path: Path) -> None:
    hop = Hop("beijing-hefei", km=10_000)
    routes = Routes({("beijing", "hefei"): [hop]}, seed=1)
    async with (
        open_house(tmp_path, routes=routes) as house,
        online(house, "alice") as alice,
        online(house, "bob", "hefei") as bob,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await alice.client.send("bob", CALL, 0, b"")
        await bob.until(lambda: bob.delivered)
        assert loop.time() - began >= hop.floor


@pytest.mark.parametrize("to", ["nobody", "Nobody!", ""])
async def test_a_contact_nobody_knows(house: RelayHouse, to: str) -> None:
    async with online(house, "alice") as alice:
        await alice.client.send(to, CALL, 3, b"")
        await alice.until(lambda: alice.failed)
        assert alice.failed == [Failed(CALL, 3, Reason.UNKNOWN_CONTACT)]


async def test_a_contact_who_is_offline(house: RelayHouse) -> None:
    async with online(house, "bob"):
        pass
    async with online(house, "alice") as alice:
        await alice.client.send("bob", CALL, 0, b"")
        await alice.until(lambda: alice.failed)
        assert alice.failed == [Failed(CALL, 0, Reason.OFFLINE)]


async def test_a_phone_that_dials_too_often(house: RelayHouse) -> None:
    async with online(house, "alice") as alice, online(house, "bob"):
        for call in range(11):
            await alice.client.send("bob", call.to_bytes(16), 0, b"")
        await alice.until(lambda: alice.failed)
        assert alice.failed == [Failed((10).to_bytes(16), 0, Reason.RATE_LIMITED)]


async def test_a_payload_that_is_too_large_never_leaves(house: RelayHouse) -> None:
    async with online(house, "alice") as alice:
        with pytest.raises(ValueError, match="65536"):
            await alice.client.send("bob", CALL, 0, bytes(MAX_PAYLOAD + 1))


async def test_the_lease_is_kept_alive(tmp_path: Path) -> None:
    async with open_house(tmp_path, limits=Limits(ttl=0.3)) as house, online(house, "alice") as alice:
        with pytest.raises(TimeoutError):
            await alice.until(lambda: False in alice.states, limit=0.8)
        assert house.server.directory.online("alice") is not None


async def test_turn_credentials_are_renewed_before_they_expire(tmp_path: Path) -> None:
    async with open_house(tmp_path, limits=Limits(ttl=0.15)) as house:
        house.turn_lifetime = 0.4
        async with online(house, "alice") as alice:
            first = alice.client.turn
            async with asyncio.timeout(5):
                while alice.client.turn == first:
                    await asyncio.sleep(
                        0.02
                    )  # nothing tells of fresh credentials: they are there when needed
            assert alice.client.turn.expires > first.expires
            assert alice.states == [True]


async def test_a_relay_that_comes_back_is_found_again(house: RelayHouse) -> None:
    async with online(house, "alice") as alice, online(house, "bob") as bob:
        _, port = house.server.address
        epoch = alice.client.welcome.epoch
        await house.server.close()
        await alice.until(lambda: alice.states == [True, False])
        await bob.until(lambda: bob.states == [True, False])
        await house.start(port)
        await alice.until(lambda: alice.states == [True, False, True])
        await bob.until(lambda: bob.states == [True, False, True])
        assert alice.client.welcome.epoch > epoch
        await alice.client.send("bob", CALL, 0, b"again")
        await bob.until(lambda: bob.delivered)


async def test_what_is_sent_while_the_relay_is_away_arrives_once_it_is_back(house: RelayHouse) -> None:
    async with online(house, "alice") as alice, online(house, "bob") as bob:
        _, port = house.server.address
        await house.server.close()
        await alice.until(lambda: alice.states[-1:] == [False])
        for seq in range(3):
            await alice.client.send("bob", CALL, seq, bytes([seq]))
        await house.start(port)
        await bob.until(lambda: bob.states == [True, False, True])
        # Whoever comes back first may find the other still away; that is told, and is no silence.
        await alice.until(lambda: alice.states[-1] and len(alice.failed) + len(bob.delivered) == 3)
        assert [got.seq for got in bob.delivered] == [0, 1, 2][len(alice.failed) :]


async def test_a_relay_that_stays_away_is_told_of_what_was_sent(
    house: RelayHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.2)
    async with online(house, "alice") as alice:
        await house.server.close()
        await alice.until(lambda: alice.states[-1:] == [False])
        await alice.client.send("bob", CALL, 0, b"")
        await alice.until(lambda: alice.failed)
        assert alice.failed == [Failed(CALL, 0, Reason.RELAY_LOST)]


async def test_every_envelope_is_answered_once(house: RelayHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.2)
    async with online(house, "alice") as alice, online(house, "bob") as bob:
        await alice.client.send("bob", CALL, 0, b"")
        await alice.client.send("nobody", CALL, 1, b"")
        await alice.until(lambda: alice.failed and bob.delivered)
        with pytest.raises(TimeoutError):
            await alice.until(lambda: len(alice.failed) > 1, limit=0.5)


async def test_a_second_login_ends_the_first_for_good(house: RelayHouse) -> None:
    async with online(house, "alice") as first:
        second = Phone(house, "alice")
        await second.connect()
        try:
            await first.until(lambda: first.client.failure)
            assert first.client.failure is not None
            assert first.client.failure.code == Code.SUPERSEDED
            one_line(first.client.failure)
            with pytest.raises(RelayRefused):
                await first.client.send("bob", CALL, 0, b"")
            assert second.states == [True]
        finally:
            await second.client.close()


async def test_a_name_that_never_enrolled(house: RelayHouse) -> None:
    with pytest.raises(RelayRefused) as raised:
        await Phone(house, "alice").connect()
    assert raised.value.code == Code.NOT_ENROLLED
    assert "invite" in one_line(raised.value)


async def test_somebody_elses_name(house: RelayHouse) -> None:
    async with online(house, "alice") as alice:
        thief = Phone(house, "mallory")
        thief.name = "alice"
        with pytest.raises(RelayRefused):
            await thief.connect()
        assert alice.states == [True]


async def test_a_used_invite(house: RelayHouse) -> None:
    code = house.invite("alice")
    await Phone(house, "alice").enrol(code)
    thief = Phone(house, "mallory")
    thief.name = "alice"
    with pytest.raises(RelayRefused) as raised:
        await thief.enrol(code)
    assert raised.value.code == Code.INVITE
    assert "new one" in one_line(raised.value)


async def test_an_expired_invite(house: RelayHouse) -> None:
    with pytest.raises(RelayRefused) as raised:
        await Phone(house, "alice").enrol(house.invite("alice", lifetime=-1.0))
    assert raised.value.code == Code.INVITE


async def test_an_invite_for_somebody_else(house: RelayHouse) -> None:
    with pytest.raises(RelayRefused) as raised:
        await Phone(house, "bob").enrol(house.invite("alice"))
    assert raised.value.code == Code.INVITE
    assert "or is for another name" in one_line(raised.value)


async def test_whose_invite_it_is_nobody_learns(house: RelayHouse) -> None:
    """An invite for somebody else is refused in the words for one that never was."""
    told = []
    for code in (house.invite("alice"), house.never_made()):
        with pytest.raises(RelayRefused) as raised:
            await Phone(house, "bob").enrol(code)
        told.append(str(raised.value))
    assert told[0] == told[1]


async def test_a_phone_whose_site_is_not_served_is_told_so(
    house: RelayHouse, caplog: pytest.LogCaptureFixture
) -> None:
    code = house.invite("bob")
    async with online(house, "alice") as alice:
        house.served = {"hefei"}
        with pytest.raises(RelayRefused) as refused_in:
            await Phone(house, "alice").connect()
        assert alice.states == [True]
    phone = Phone(house, "bob")
    with pytest.raises(RelayRefused) as refused:
        await phone.enrol(code)
    for raised in (refused_in, refused):
        assert raised.value.code == Code.NO_SITE
        assert "serves no site beijing now" in one_line(raised.value)
    assert not caplog.records
    # The invite was not used up.
    house.served = {"beijing"}
    assert (await phone.enrol(code)).site == "beijing"


@pytest.mark.parametrize("code", ["", "ABCD-EFGH", "0000-0000-0000-0000-0000-0000-0000-0001"])
async def test_a_mistyped_invite(house: RelayHouse, code: str) -> None:
    with pytest.raises(RelayRefused) as raised:
        await Phone(house, "alice").enrol(code)
    assert raised.value.code == Code.INVITE
    assert "invite" in one_line(raised.value)


async def test_a_name_that_is_taken(house: RelayHouse) -> None:
    earlier, later = house.invite("alice"), house.invite("alice")
    await Phone(house, "alice").enrol(earlier)
    thief = Phone(house, "mallory")
    thief.name = "alice"
    with pytest.raises(RelayRefused) as raised:
        await thief.enrol(later)
    assert raised.value.code == Code.NAME_TAKEN
    one_line(raised.value)


async def test_a_name_that_cannot_be_one(house: RelayHouse) -> None:
    phone = Phone(house, "alice")
    phone.name = "Alice Liddell"
    with pytest.raises(UsageError):
        await phone.enrol(house.invite("alice"))


async def test_an_invite_is_shown_to_no_other_relay(house: RelayHouse, tmp_path: Path) -> None:
    async with open_house(tmp_path / "other") as other:
        with pytest.raises(RelayRefused) as raised:
            await Phone(other, "alice").enrol(house.invite("alice"))
        assert raised.value.code == "wrong-relay"
        one_line(raised.value)
        assert other.server.counters["enrolments"] == 0
        assert not any(name.startswith("connections-rejected") for name in other.server.counters)


async def test_a_phone_does_not_log_in_at_another_relay(house: RelayHouse, tmp_path: Path) -> None:
    async with open_house(tmp_path / "other") as other, online(other, "alice") as alice:
        impostor = Phone(house, "alice")
        with pytest.raises(RelayRefused) as raised:
            await impostor.connect(url=other.server.url)
        assert raised.value.code == "wrong-relay"
        assert alice.states == [True]


async def test_tls_from_the_first_contact_on(tmp_path: Path) -> None:
    async with open_house(tmp_path, tls=True) as house, online(house, "alice") as alice:
        assert house.server.url.startswith("wss://")
        assert alice.client.connected


async def test_first_contact_over_tls_with_a_relay_in_between(house: RelayHouse, tmp_path: Path) -> None:
    async with open_house(tmp_path / "between", tls=True) as between:
        with pytest.raises(RelayRefused) as raised:
            await Phone(between, "alice").enrol(house.invite("alice"))
        assert raised.value.code == "wrong-relay"
        assert between.server.counters["connections"] == 0


async def test_a_certificate_of_another_authority(tmp_path: Path) -> None:
    other = Authority.open_or_create(tmp_path / "other")
    async with open_house(tmp_path / "relay", tls=True) as house:
        with pytest.raises(Unavailable, match="certificate"):
            await Phone(house, "alice").connect(ca_pem=other.ca_pem)


async def test_a_stored_certificate_that_is_damaged(house: RelayHouse) -> None:
    with pytest.raises(StorageError) as raised:
        await Phone(house, "alice").connect(ca_pem=b"damaged")
    one_line(raised.value)


async def test_no_relay_there(house: RelayHouse) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        for attempt in (Phone(house, "alice").connect(url=url), enrolling(house, url)):
            with pytest.raises(Unavailable) as raised:
                await attempt
            assert url in one_line(raised.value)
            assert "relay" in str(raised.value)


async def enrolling(house: RelayHouse, url: str) -> None:
    await Phone(house, "alice").enrol(house.invite("alice"), url=url)


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-dropbear\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", b"\xff" * 99]
)
async def test_something_else_listens_there(house: RelayHouse, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable) as raised:
            await Phone(house, "alice").connect(url=f"ws://127.0.0.1:{port}")
        one_line(raised.value)


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_login_that_is_cancelled_leaves_nothing(house: RelayHouse, steps: int) -> None:
    phone = Phone(house, "alice")
    await phone.enrol(house.invite("alice"))
    before = asyncio.all_tasks()
    attempt = asyncio.create_task(phone.connect())
    for _ in range(steps):
        await asyncio.sleep(0)
    attempt.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await attempt).close()
    mine = {task for task in asyncio.all_tasks() - before if "signalling client" in task.get_name()}
    assert mine == set()
    gc.collect()  # a socket or a task that was left behind warns, and a warning is an error here


async def test_closing_twice_is_no_fault(house: RelayHouse) -> None:
    async with online(house, "alice") as alice:
        await alice.client.close()
        await alice.client.close()
        assert not alice.client.connected
        with pytest.raises(Unavailable):
            await alice.client.send("bob", CALL, 0, b"")


async def test_what_a_callback_raises_is_not_lost(house: RelayHouse) -> None:
    phone = Phone(house, "alice")
    await phone.enrol(house.invite("alice"))

    def on_state(up: bool) -> None:
        raise ZeroDivisionError

    client = await SignallingClient.connect(
        house.server.url, "alice", RelaySigner(phone.identity), on_state=on_state
    )
    assert client._task is not None
    await asyncio.wait((client._task,), timeout=5)
    with pytest.raises(ZeroDivisionError):
        await client.close()


async def test_a_phone_is_told_of_a_new_revocation_list_at_login_and_with_the_next_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcall.net.signalling.HEARTBEAT_INTERVAL", 0.05)
    async with open_house(tmp_path) as house, online(house, "alice") as alice:
        assert alice.client.welcome.crl == house.authority.revocations().number
        known = KnownAuthority(house.authority.ca_pem, tmp_path / "held.pem")
        told = asyncio.Queue[int]()
        alice.client.on_crl = told.put_nowait
        house.authority.kme_files(tmp_path / "kme", "kme-beijing", [])
        house.authority.revoke_kme("kme-beijing", tmp_path / "kme")
        async with asyncio.timeout(PATIENCE):
            number = await told.get()
        assert number == house.authority.revocations().number
        await known.follow(RelayAddress.parse(house.server.url), number)
        assert (tmp_path / "held.pem").read_bytes() == house.authority.crl.read_bytes()
        [revoked] = house.authority.revoked()
        assert "revoked" in (known.objection(revoked) or "")
        beats = 0
        heartbeat = house.server.directory.heartbeat

        def counted(epoch: int, now: float) -> bool:
            nonlocal beats
            beats += 1
            house.news.set()
            return heartbeat(epoch, now)

        house.server.directory.heartbeat = counted  # type: ignore[method-assign]
        await alice.until(lambda: beats >= 3)
        assert told.empty(), "once"


async def test_a_relay_that_gives_no_list_is_named_when_the_key_node_is_asked(tmp_path: Path) -> None:
    async with open_house(tmp_path / "house") as house:
        where = RelayAddress.parse(house.server.url)
        known = KnownAuthority(house.authority.ca_pem, tmp_path / "held.pem")
        house.authority.crl.unlink()
        await known.follow(where, 1)
        assert "answered 503 instead of its revocation list" in (known.objection(1) or "")
    await known.follow(where, 1)
    assert "cannot reach the relay" in (known.objection(1) or "")
