"""The fast path over real sockets: nobody hears what is not for them, and no one can break it for others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from ipaddress import ip_network

import pytest

from relay.turn.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    CHANNEL_NUMBER,
    DATA,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
    Family,
)
from relay.turn.credentials import StaticUsers
from relay.turn.fastpath import BUFFERS
from relay.turn.message import MessageClass, Method, encode
from relay.turn.overflow import dropped
from relay.turn.udp import TurnServer
from scripts.benchmarks.turnload import CHANNEL, Client, Login, udp

LIMIT = 5.0
NAMES = ("alice", "bob", "carol", "dave")
USERS = StaticUsers({name: f"{name}'s" for name in NAMES})
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
SECRET = b"SECRET-OF-ALICE!"


@pytest.fixture
async def start():
    """Start servers; they are closed at the end."""
    servers = []

    async def start(**more) -> TurnServer:
        servers.append(
            await TurnServer.start(
                "127.0.0.1", 0, realm="relay", credentials=USERS, allow_peers=LOOPBACK, **more
            )
        )
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


class Town:
    """Clients and peers; their sockets are closed at the end."""

    def __init__(self, closing: contextlib.ExitStack) -> None:
        self._closing = closing

    def keep(self, made: socket.socket) -> socket.socket:
        return self._closing.enter_context(made)

    def peer(self, host: str = "127.0.0.3") -> socket.socket:
        return self.keep(udp(host))

    def stranger(self, server: TurnServer, name: str) -> Client:
        made = Client(server.address, Login(name, f"{name}'s"))
        self.keep(made.socket)
        return made

    def client(self, server: TurnServer, name: str) -> Client:
        made = self.stranger(server, name)
        made.allocate()
        return made

    def pair(self, server: TurnServer) -> tuple[Client, Client]:
        """Two who talk on the fast path."""
        alice, bob = self.client(server, "alice"), self.client(server, "bob")
        alice.bind(bob.relayed)
        bob.bind(alice.relayed)
        talk(alice, bob.socket, b"hi")
        return alice, bob


@pytest.fixture
def town():
    with contextlib.ExitStack() as closing:
        yield Town(closing)


def channel_data(payload: bytes, number: int = CHANNEL) -> bytes:
    return (number << 16 | len(payload)).to_bytes(4, "big") + payload


def talk(sender, receiver: socket.socket, payload: bytes, times: int = 3) -> None:
    """Until the flow is on the fast path."""
    receiver.settimeout(LIMIT)
    for _ in range(times):
        sender.socket.send(channel_data(payload))
        assert receiver.recv(2048).endswith(payload)


def silent(receiver: socket.socket) -> list[bytes]:
    """What is there to be read."""
    patience, heard = receiver.gettimeout(), []
    receiver.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(receiver.recv(65_536))
    receiver.settimeout(patience)
    return heard


def unused(server: TurnServer) -> int:
    """Buffers that hold nothing, or wait for what comes next."""
    inboxes = (server._fast._inbox, server._fast._peer_inbox)
    return server._fast._buffers.free + sum(len(inbox._slots) - inbox._used for inbox in inboxes)


@pytest.mark.parametrize("size", [2043, 2044, 2045, 2047, 2048, 2049, 8000, 65_000])
async def test_long_datagrams_carry_their_own_bytes_and_nobody_elses(start, town, size):
    """The second of a flow has a shortcut, and does not fit into the fast path's buffers."""
    server = await start()

    def work() -> None:
        alice, bob, eve, zoe = (town.client(server, name) for name in NAMES)
        for one, other in ((alice, bob), (bob, alice), (eve, zoe), (zoe, eve)):
            one.bind(other.relayed)
        for _ in range(60):
            alice.socket.send(channel_data(SECRET * 10))
        bob.socket.settimeout(LIMIT)
        for _ in range(60):
            bob.socket.recv(2048)
        peer = town.peer()
        peer.settimeout(LIMIT)
        eve.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(0x4001), XOR_PEER_ADDRESS(peer.getsockname()))
        zoe.socket.settimeout(LIMIT)
        eve.socket.settimeout(LIMIT)
        for number in range(3):
            payload = bytes([number]) * size
            eve.socket.send(channel_data(payload))
            assert zoe.socket.recv(65_536) == channel_data(payload)
            eve.socket.send(channel_data(payload, 0x4001))
            assert peer.recv(65_536) == payload
            peer.sendto(payload, eve.relayed)
            assert eve.socket.recv(65_536) == channel_data(payload, 0x4001)

    await asyncio.to_thread(work)
    assert server.shortcuts


async def test_a_channel_bound_elsewhere_ends_with_its_new_receiver(start, town, monkeypatch):
    monkeypatch.setattr("relay.turn.allocation.CHANNEL_LIFETIME", 0.2)
    server = await start()

    def work() -> list[bytes]:
        alice, bob, carol = (town.client(server, name) for name in NAMES[:3])
        alice.bind(bob.relayed)
        bob.bind(alice.relayed)
        talk(alice, bob.socket, b"to bob")
        monkeypatch.setattr("relay.turn.allocation.CHANNEL_LIFETIME", 600.0)
        rebind(alice, carol.relayed)
        carol.bind(alice.relayed)
        talk(alice, carol.socket, b"to carol")
        carol.request(Method.REFRESH, LIFETIME(0))
        for _ in range(3):
            alice.socket.send(channel_data(b"after"))
        alice.request(Method.REFRESH, LIFETIME(600))
        return silent(carol.socket)

    assert await asyncio.to_thread(work) == []
    assert server.counters.drops["peer-denied"] + server.counters.peer_packets_out == 3


def rebind(one: Client, peer: tuple[str, int]) -> None:
    """Bind the channel elsewhere as soon as it has run out."""
    for _ in range(1000):
        try:
            one.bind(peer)
        except RuntimeError:
            continue
        return
    pytest.fail("the channel never ran out")


async def test_giving_back_one_family_breaks_nothing_for_others(start, town, monkeypatch):
    """A channel that led to an IPv4 peer leads to an IPv6 peer, whose relayed address is given back."""
    monkeypatch.setattr("relay.turn.allocation.CHANNEL_LIFETIME", 0.2)
    server = await start(relay_hosts=("127.0.0.1", "::1"))
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def work() -> None:
        alice = town.stranger(server, "alice")
        alice.request(
            Method.ALLOCATE, REQUESTED_TRANSPORT(17), LIFETIME(3600), ADDITIONAL_ADDRESS_FAMILY(Family.IPV6)
        )
        narrow = town.peer()
        wide = town.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        wide.bind(("::1", 0))
        alice.bind(narrow.getsockname())
        talk(alice, narrow, b"to 4")
        monkeypatch.setattr("relay.turn.allocation.CHANNEL_LIFETIME", 600.0)
        rebind(alice, wide.getsockname()[:2])
        talk(alice, wide, b"to 6")
        alice.request(Method.REFRESH, LIFETIME(0), REQUESTED_ADDRESS_FAMILY(Family.IPV6))
        for _ in range(50):
            alice.socket.send(channel_data(b"to nobody"))
            alice.request(Method.REFRESH, LIFETIME(600))
        assert silent(wide) == []

    await asyncio.to_thread(work)
    assert faults == []
    assert server.counters.drops == {"peer-family": 50}
    assert unused(server) == BUFFERS


async def test_one_batch_is_dealt_with_in_its_order(start, town):
    server = await start()

    alice, bob = await asyncio.to_thread(town.pair, server)

    def say(*payloads: bytes) -> None:
        """Send indications for letters and ChannelData for numbers."""
        for payload in payloads:
            if payload.isdigit():
                alice.socket.send(channel_data(payload))
            else:
                values = (XOR_PEER_ADDRESS(bob.relayed), DATA(payload))
                alice.socket.send(encode(Method.SEND, MessageClass.INDICATION, bytes(12), values))

    # Nothing runs between the lines but at "await": what is sent meanwhile is one batch.
    say(b"0", b"a", b"1", b"b", b"2")
    await asyncio.to_thread(alice.request, Method.REFRESH, LIFETIME(600))
    assert [data[4:] for data in silent(bob.socket)] == [b"0", b"a", b"1", b"b", b"2"]
    say(b"3")
    alice.ask(Method.REFRESH, LIFETIME(0))
    say(b"4", b"5", b"6")
    async with asyncio.timeout(LIMIT):
        while server.counters.drops["no-allocation"] < 3:
            await asyncio.sleep(0)
    assert [data[4:] for data in silent(bob.socket)] == [b"3"]


async def test_a_fault_costs_one_batch_and_no_buffer(start, town, monkeypatch, caplog):
    server = await start()

    alice, bob = await asyncio.to_thread(town.pair, server)
    with monkeypatch.context() as broken:
        broken.setattr(server._fast._calls, "send_part", lambda *_: 1 // 0)
        for _ in range(40):
            alice.socket.send(channel_data(b"lost"))
        async with asyncio.timeout(LIMIT):
            while server.counters.drops["fault"] < 40:
                await asyncio.sleep(0)
    assert unused(server) == BUFFERS
    await asyncio.to_thread(talk, alice, bob.socket, b"again")
    assert "ZeroDivisionError" in caplog.text


async def test_busy_relayed_sockets_shut_out_nobody(start, town):
    server = await start()

    def prepare():
        busy = [town.client(server, "alice") for _ in range(9)]
        victim = town.client(server, "bob")
        voice = town.peer("127.0.0.8")
        victim.bind(voice.getsockname())
        return busy, victim, voice

    busy, victim, voice = await asyncio.to_thread(prepare)
    junk = town.peer("127.0.0.9")

    def flood() -> None:
        for each in busy:
            for _ in range(70):
                junk.sendto(b"junk", each.relayed)

    flood()
    flood()
    await asyncio.sleep(0)
    voice.sendto(b"voice", victim.relayed)
    for _ in range(20):  # rounds of the loop, before each of which more junk waits than a batch holds
        flood()
        await asyncio.sleep(0)
        if heard := silent(victim.socket):
            break
    assert heard == [channel_data(b"voice")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what it dropped")
async def test_what_the_kernel_had_no_room_for_is_counted(start, town):
    server = await start()
    victim = await asyncio.to_thread(town.client, server, "alice")
    junk = town.peer()

    def flood(address, socket_of_server: socket.socket) -> int:
        socket_of_server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            junk.sendto(bytes(1000), address)
        return dropped(socket_of_server)

    lost = flood(server.address, server._listener)
    assert 50 < lost < 100
    async with asyncio.timeout(LIMIT):
        while server.counters.drops["receive-buffer-full"] < lost:
            await asyncio.sleep(0.01)
    lost += flood(victim.relayed, server._relayed[victim.relayed])
    await asyncio.to_thread(victim.request, Method.REFRESH, LIFETIME(0))
    assert server.counters.drops["receive-buffer-full"] == lost


async def test_the_size_of_the_clients_buffer_is_told(start):
    server = await start()
    told = server.counters.receive_buffer
    assert told == server._listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert server.counters.as_json()["receive_buffer"] == told


async def test_shortcuts_that_ran_out_are_forgotten_over_time(start, town, monkeypatch):
    monkeypatch.setattr("relay.turn.allocation.CHANNEL_LIFETIME", 0.2)
    server = await start()
    await asyncio.to_thread(town.pair, server)
    assert server.shortcuts
    async with asyncio.timeout(LIMIT):
        while server.shortcuts:
            await asyncio.sleep(0.01)
