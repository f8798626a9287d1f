"""aioice, the TURN client inside aiortc, through our server on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from ipaddress import ip_network

import pytest
import uvloop
from aioice.turn import create_turn_endpoint

from relay.errors import AddressInUse, UsageError
from relay.path.model import Hop
from relay.path.routes import Routes
from relay.turn.credentials import SharedSecret, StaticUsers
from relay.turn.udp import TurnServer

LIMIT = 10.0
USERS = StaticUsers({"alice": "wonderland"})
ALICE = ("alice", "wonderland")


class Ear(asyncio.DatagramProtocol):
    """Keeps what it hears, with the time."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, tuple[str, int], float]] = asyncio.Queue()
        self.closed = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.heard.put_nowait((data, addr, time.monotonic()))

    def connection_lost(self, exc):
        self.closed.set_result(None)

    async def hear(self):
        return await asyncio.wait_for(self.heard.get(), LIMIT)


@pytest.fixture(params=[True, False], ids=["batches", "one-by-one"])
async def start(request):
    """Start servers, with the fast path and without; they are closed at the end."""
    servers = []

    async def start(*args, realm="relay", credentials=USERS, **more) -> TurnServer:
        servers.append(
            await TurnServer.start(
                *(args or ("127.0.0.1", 0)),
                realm=realm,
                credentials=credentials,
                batches=request.param,
                **more,
            )
        )
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def dial():
    """Allocate through a server; allocations are given back at the end."""
    opened = []

    async def dial(server: TurnServer, name_and_password=ALICE, **more):
        username, password = name_and_password
        transport, ear = await asyncio.wait_for(
            create_turn_endpoint(Ear, server.address, username=username, password=password, **more), LIMIT
        )
        opened.append((transport, ear))
        return transport, ear

    yield dial
    for transport, ear in opened:
        transport.close()
        await asyncio.wait_for(ear.closed, LIMIT)


async def speak(transport, ear, other_transport, other_ear, data: bytes) -> None:
    """Send until it is heard: until the other side has bound its channel, data is lost, as TURN has it."""
    address = other_transport.get_extra_info("sockname")
    other_transport.sendto(b"open", transport.get_extra_info("sockname"))
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        transport.sendto(data, address)
        try:
            heard, _, _ = await asyncio.wait_for(other_ear.heard.get(), 0.1)
        except TimeoutError:
            continue
        if heard == data:
            return
    pytest.fail("never heard")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_two_parties_talk_inside_the_relay(start, dial, host):
    server = await start(host, 0, relay_hosts=("127.0.0.1",))
    one, other = await dial(server), await dial(server)
    await speak(*one, *other, b"hello")
    await speak(*other, *one, b"hello back")
    assert server.counters.allocations == 2
    assert server.counters.peer_packets_out == 0, "nothing between two clients goes through the kernel"


async def test_the_same_over_tcp(start, dial):
    server = await start()
    one, other = await dial(server, transport="tcp"), await dial(server)
    await speak(*one, *other, b"seven b")
    await speak(*other, *one, b"hello back")
    assert server.counters.peer_packets_out == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_flow_takes_the_fast_path_from_its_second_datagram_on(start, dial, request, host):
    server = await start(host, 0, relay_hosts=("127.0.0.1",))
    one, other = await dial(server), await dial(server)
    await speak(*one, *other, b"hello")
    await speak(*other, *one, b"hello back")
    before, heard = server.counters.hairpinned, []
    for number in range(200):
        one[0].sendto(b"%d" % number, other[0].get_extra_info("sockname"))
    while len(heard) < 200:
        heard += [data for data, _, _ in [await other[1].hear()] if data.isdigit()]
    assert heard == [b"%d" % number for number in range(200)]
    assert server.counters.hairpinned - before == 200
    assert server.shortcuts == (2 if request.node.callspec.params["start"] else 0)


@pytest.mark.parametrize("size", [2044, 2045, 8000, 65_000])
async def test_long_datagrams_arrive_whole_and_as_they_are(start, dial, size):
    server = await start(allow_peers=[ip_network("127.0.0.0/8")])
    one, other = await dial(server), await dial(server)
    await speak(*one, *other, b"hello")
    loop = asyncio.get_running_loop()
    peer_transport, peer = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    relayed = one[0].get_extra_info("sockname")
    for number in range(4):  # the first is the machine's, the others may take the fast path
        data = bytes([number]) * size
        one[0].sendto(data, other[0].get_extra_info("sockname"))
        while (heard := (await other[1].hear())[0]) != data:
            assert heard in (b"open", b"hello")
        one[0].sendto(data, peer_transport.get_extra_info("sockname"))
        assert (await peer.hear())[0] == data
        peer_transport.sendto(data, relayed)
        while (heard := (await one[1].hear())[0]) != data:
            assert heard in (b"open", b"hello")
    peer_transport.close()
    await peer.closed


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_it_runs_on_uvloop_as_well(transport):
    async def call() -> int:
        server = await TurnServer.start("127.0.0.1", 0, realm="relay", credentials=USERS)
        ends = [
            await create_turn_endpoint(Ear, server.address, *ALICE, transport=transport) for _ in range(2)
        ]
        await speak(*ends[0], *ends[1], b"hello")
        for opened, _ in ends:
            opened.close()
        for _, ear in ends:
            await asyncio.wait_for(ear.closed, LIMIT)
        await server.close()
        return server.counters.hairpinned

    assert uvloop.run(call()) >= 2


async def read_to_the_end(address, data: bytes) -> bytes:
    """What the server says over TCP to ``data`` before it hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), LIMIT)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_stream_that_is_no_turn_is_ended(start):
    server = await start()
    assert await read_to_the_end(server.address, b"\x16\x03\x01\x02\x00") == b""


async def test_a_stream_that_never_allocates_is_ended(start, monkeypatch):
    monkeypatch.setattr("relay.turn.streams.GRACE", 0.05)
    server = await start()
    assert await read_to_the_end(server.address, b"") == b""


async def test_no_more_streams_are_kept_than_there_may_be(start, monkeypatch):
    monkeypatch.setattr("relay.turn.streams.MOST", 0)
    server = await start()
    assert await read_to_the_end(server.address, b"") == b""
    assert server.counters.drops["too-many-streams"] == 1


async def test_an_allocation_ends_with_its_stream(start, dial):
    server = await start()
    transport, ear = await dial(server, transport="tcp")
    assert server.counters.allocations == 1
    transport.close()
    await asyncio.wait_for(asyncio.shield(ear.closed), LIMIT)
    deadline = time.monotonic() + LIMIT
    while server.counters.allocations and time.monotonic() < deadline:
        await asyncio.sleep(0)
    assert server.counters.allocations == 0


async def test_closing_the_server_ends_every_stream(start, dial):
    server = await start()
    _, ear = await dial(server, transport="tcp")
    await server.close()
    await asyncio.wait_for(asyncio.shield(ear.closed), LIMIT)


async def test_a_wrong_password_is_refused(start):
    server = await start()
    with pytest.raises(Exception, match="401"):
        await create_turn_endpoint(Ear, server.address, username="alice", password="wrong")
    assert server.counters.allocations == 0
    assert server.counters.auth_failures[401] == 2


async def test_a_peer_outside_is_reached_through_its_own_socket(start, dial):
    server = await start(allow_peers=[ip_network("127.0.0.0/8")])
    loop = asyncio.get_running_loop()
    peer_transport, peer = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    transport, ear = await dial(server)
    transport.sendto(b"ping", peer_transport.get_extra_info("sockname"))
    data, relayed, _ = await peer.hear()
    assert (data, relayed) == (b"ping", transport.get_extra_info("sockname"))
    peer_transport.sendto(b"pong", relayed)
    assert (await ear.hear())[0] == b"pong"
    peer_transport.close()
    await peer.closed


async def test_closing_gives_the_allocation_back(start, dial):
    server = await start()
    transport, ear = await dial(server)
    transport.close()
    await asyncio.wait_for(asyncio.shield(ear.closed), LIMIT)
    assert server.counters.allocations == 0


async def test_between_sites_the_path_takes_its_time(start, dial):
    secret = SharedSecret(b"shared")
    hops = [Hop(name="fibre", km=1000.0, processing=0.0, jitter=0.0, loss=0.0)]
    server = await start(credentials=secret, routes=Routes({("beijing", "hefei"): hops}, seed=1))
    names = [secret.mint(f"user{i}", site, time.time(), 60.0) for i, site in enumerate(("beijing", "hefei"))]
    one, other = [await dial(server, name) for name in names]
    await speak(*one, *other, b"first")
    for i in range(20):
        sent_at = time.monotonic()
        one[0].sendto(b"%d" % i, other[0].get_extra_info("sockname"))
        data = b"first"
        while data == b"first":
            data, _, heard_at = await other[1].hear()
        assert data == b"%d" % i
        assert heard_at - sent_at >= 0.0049


async def test_the_wiretap_sees_both_directions(start, dial):
    events = []
    server = await start(wiretap=events.append)
    transport, _ = await dial(server)
    assert [event.direction for event in events] == ["in", "out", "in", "out"]
    assert {event.five_tuple.server for event in events} == {server.address}
    assert all(event.data for event in events)
    assert transport.get_extra_info("related_address") == events[0].five_tuple.client


async def test_a_port_in_use_is_said_so(start):
    server = await start()
    with pytest.raises(AddressInUse, match=str(server.address[1])):
        await start(*server.address)


async def test_a_port_that_tcp_needs_is_said_so(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUse, match=f"TCP port {port}"):
            await start("127.0.0.1", port)


async def test_a_draining_server_sends_clients_elsewhere(start, dial):
    server = await start()
    transport, ear = await dial(server)
    server.drain(("127.0.0.1", 9))
    with pytest.raises(Exception, match="300"):
        await create_turn_endpoint(Ear, server.address, username=ALICE[0], password=ALICE[1])
    transport.close()
    await asyncio.wait_for(asyncio.shield(ear.closed), LIMIT)
    assert server.counters.allocations == 0


@pytest.mark.parametrize(("host", "text"), [("192.0.2.1", "cannot listen"), ("0.0.0.0", "relayed addresses")])
async def test_an_address_that_does_not_serve_is_said_so(start, host, text):
    with pytest.raises(UsageError, match=text):
        await start(host, 0)
