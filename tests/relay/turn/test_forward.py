"""The fast path does what the machine does: whatever is sent, everyone hears the same in the same order."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_network

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.path.model import Hop
from relay.path.routes import Routes
from relay.turn.allocation import Quotas
from relay.turn.attributes import CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS
from relay.turn.credentials import SharedSecret
from relay.turn.effects import CloseRelay, Send, SendFromRelay, Shortcut
from relay.turn.forward import Batch, Forwarder
from relay.turn.machine import Settings, TurnMachine
from relay.turn.message import Method, encode_channel_data
from relay.turn.packets import BUFFER, STRIDE, Buffers, pack_name

from .conftest import PEER, REALM_NAME, SERVER, UNIX, Client, World

SECRET = SharedSecret(b"shared")
HOPS = [Hop("fibre", km=1000.0, processing=0.0, jitter=0.0)]
SOUND = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class FastWorld(World):
    """The same world, where datagrams of clients and peers come in batches and may take shortcuts."""

    def __init__(self, machine: TurnMachine) -> None:
        super().__init__(machine)
        self.buffers = Buffers(64)
        self.forwarder = Forwarder(self.buffers, False, bytes(range(32)), machine.counters)
        self.slow = 0

    def fill(self, packets):
        """A batch of (data, source), as the kernel would have laid it out."""
        slots = self.buffers.take(len(packets))
        for slot, (data, _) in zip(slots.tolist(), packets, strict=True):
            self.buffers.data[slot, :BUFFER] = np.frombuffer(data[:BUFFER].ljust(BUFFER, b"!"), np.uint8)
        names = np.array([np.frombuffer(pack_name(source), np.uint8) for _, source in packets])
        lengths = np.array([len(data) for data, _ in packets], np.uint32)
        return Batch(slots, names.view("<u8"), lengths, np.full(len(packets), self.now))

    def batch(self, packets):
        batch = self.fill(packets)
        left, outgoing = self.forwarder.from_clients(batch, self.now)
        for each in outgoing:
            self.emit(each)
        self.buffers.give(batch.slots[left])
        for place in left.tolist():
            data, client = packets[place]
            self.slow += 1
            self.run(self.machine.receive(data, Client(self, client, "", "").five_tuple, self.now))

    def peer_batch(self, relayed, packets):
        batch = self.fill(packets)
        ports = np.full(len(packets), relayed[1], np.uint32)
        left, outgoing = self.forwarder.from_peers(batch, ports, False, self.now)
        for each in outgoing:
            self.emit(each)
        self.buffers.give(batch.slots[left])
        for place in left.tolist():
            self.slow += 1
            data, peer = packets[place]
            self.run(self.machine.from_peer(relayed, peer, data, self.now))

    def emit(self, outgoing):
        start = 0
        for relayed, end in outgoing.parts:
            self.wire(relayed, outgoing.slots[start:end])
            start = end
        assert start == len(outgoing.slots)
        self.buffers.reset(outgoing.slots, 16)

    def wire(self, relayed, slots):
        for slot in slots.tolist():
            start = int(self.buffers.bases[slot]) - int(self.buffers.starts[slot])
            memory = self.buffers.data.base.reshape(-1)[slot * STRIDE + 4 + start :]
            data = memory[: int(self.buffers.lengths[slot])].tobytes()  # as sendmmsg would, beyond the buffer
            name = self.name(int(self.buffers.names[slot]), int(self.buffers.name_lengths[slot]))
            if relayed is None:
                self.to_clients.append(Send(Client(self, name, "", "").five_tuple, data))
            else:
                self.to_peers.append(SendFromRelay(relayed, name, data))

    def name(self, pointer, length):
        assert length == 16
        names = self.forwarder._names
        raw = names[(pointer - names.ctypes.data) // names.strides[0]].tobytes()
        return ".".join(map(str, raw[4:8])), int.from_bytes(raw[2:4], "big")

    @property
    def deadline(self):
        times = [at for at in (self.machine.deadline, self.forwarder.deadline) if at is not None]
        return min(times, default=None)

    def advance(self, seconds):
        end = self.now + seconds
        while (deadline := self.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.run(self.machine.timer(self.now))
            slots, times = self.forwarder.due(self.now)
            self.wire(None, slots)
            self.forwarder.released(self.now - times)
            self.buffers.give(slots)
        self.now = end

    def run(self, effects):
        for effect in effects:
            if isinstance(effect, Shortcut):
                self.forwarder.learn(effect)
                continue
            if isinstance(effect, CloseRelay):
                self.forwarder.forget(effect.relayed)
            before = set(self.open)
            super().run((effect,))
            for relayed in self.open - before:
                self.forwarder.forget(relayed)


class SlowWorld(World):
    """Where the machine sees everything, one by one."""

    @property
    def deadline(self):
        return self.machine.deadline

    def batch(self, packets):
        for data, client in packets:
            self.receive(data, Client(self, client, "", "").five_tuple)

    def peer_batch(self, relayed, packets):
        for data, peer in packets:
            self.from_peer(relayed, peer, data)


def make(kind, allow=(), quotas=None, hops=HOPS):
    told = Settings(
        realm=REALM_NAME,
        relay_hosts=("203.0.113.1",),
        listeners=(SERVER,),
        allow_peers=tuple(map(ip_network, allow)),
        quotas=quotas or Quotas(),
    )
    routes = Routes({("beijing", "hefei"): hops}, seed=1)
    machine = TurnMachine(
        told,
        SECRET,
        bytes(32),
        routes=routes,
        wall_offset=UNIX - 1000.0,
        shortcuts=kind is FastWorld,
    )
    return kind(machine)


def members(world):
    """Four clients: two at each site."""
    clients = []
    for number, site in enumerate(("beijing", "hefei", "beijing", "hefei")):
        name, password = SECRET.mint(f"user{number}", site, UNIX, 360_000.0)
        clients.append(Client(world, (f"198.51.100.{number + 1}", 40_000 + number), name, password))
        clients[-1].allocate(LIFETIME(3600))
    return clients


def connect(clients, pairs=((0, 1), (0, 2), (1, 3))):
    for one, other in pairs:
        clients[one].bind(0x4000 + other, clients[other].relayed)
        clients[other].bind(0x4000 + one, clients[one].relayed)


@pytest.fixture
def world():
    return make(FastWorld)


@pytest.fixture
def clients(world):
    found = members(world)
    connect(found)
    return found


def say(world, client, number, *payloads):
    world.batch([(encode_channel_data(number, payload), client.address) for payload in payloads])


def test_only_the_first_of_a_flow_is_left_to_the_machine(world, clients):
    for _ in range(5):
        say(world, clients[0], 0x4002, b"one", b"two")
    assert world.slow == 2  # both of the first batch
    assert clients[2].listen() == [(0x4000, b"one"), (0x4000, b"two")] * 5
    counted = world.machine.counters
    world.forwarder.settle()
    assert (counted.hairpinned, counted.client_packets_in, counted.client_packets_out) == (10, 10, 10)
    assert counted.client_bytes_in == counted.client_bytes_out == 30


def test_the_path_between_sites_is_taken_in_order(world, clients):
    for number in range(20):
        say(world, clients[0], 0x4001, b"%d" % number)
        world.advance(0.0001)
    assert clients[1].listen() == []
    world.advance(0.01)
    assert [data for _, data in clients[1].listen()] == [b"%d" % number for number in range(20)]
    world.forwarder.settle()
    assert sum(world.machine.counters.release_errors) == 20
    assert world.buffers.free == 64


def test_the_clients_have_patience_while_all_cross_the_path(world, clients):
    assert world.forwarder.patience is None
    say(world, clients[0], 0x4001, b"far")
    assert world.forwarder.patience == pytest.approx(0.00245)
    say(world, clients[0], 0x4002, b"near")
    assert world.forwarder.patience is None
    clients[2].refresh(0)
    assert world.forwarder.patience == pytest.approx(0.00245)


def test_to_a_peer_and_back(world, clients):
    clients[0].bind(0x4010, PEER)
    for _ in range(3):
        say(world, clients[0], 0x4010, b"ping")
        world.peer_batch(clients[0].relayed, [(b"pong!", PEER), (b"scan", ("9.9.9.9", 1))])
    assert world.to_peers == [SendFromRelay(clients[0].relayed, PEER, b"ping")] * 3
    assert (0x4010, b"pong!") in clients[0].listen()
    assert [heard for heard in clients[0].heard if heard[0] == 0x4010] == [(0x4010, b"pong!")] * 3
    assert world.machine.counters.peer_packets_out == 3
    assert world.machine.counters.peer_packets_in == 6
    assert world.buffers.free == 64


def test_a_shortcut_ends_with_the_channel(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    world.now += 599
    say(world, clients[0], 0x4002, b"in time")
    world.now += 2
    say(world, clients[0], 0x4002, b"too late")
    assert clients[2].listen() == [(0x4000, b"learn"), (0x4000, b"in time")]
    assert world.machine.counters.drops["no-channel"] == 1


def test_what_is_under_way_arrives_without_its_sender(world, clients):
    say(world, clients[0], 0x4001, b"learn")
    say(world, clients[0], 0x4001, b"under way")
    clients[0].refresh(0)
    say(world, clients[0], 0x4001, b"too late")
    world.advance(1.0)
    assert [data for _, data in clients[1].listen()] == [b"learn", b"under way"]
    assert len(world.forwarder) == 0
    assert world.buffers.free == 64


def test_nothing_arrives_without_its_receiver(world, clients):
    say(world, clients[0], 0x4001, b"learn")
    say(world, clients[0], 0x4001, b"under way")
    clients[1].refresh(0)
    world.advance(1.0)
    assert clients[1].listen() == []
    assert len(world.forwarder) == 0
    assert world.buffers.free == 64


def test_a_flows_number_is_not_used_again_while_it_is_under_way(world, clients, monkeypatch):
    monkeypatch.setattr("relay.turn.forward.FLOWS", world.forwarder._next + 1)
    say(world, clients[0], 0x4001, b"learn")
    say(world, clients[0], 0x4001, b"under way")
    clients[0].refresh(0)
    say(world, clients[3], 0x4001, b"not learnt")
    assert len(world.forwarder) == 0
    world.advance(1.0)
    assert {data for _, data in clients[1].listen()} == {b"learn", b"under way", b"not learnt"}
    say(world, clients[3], 0x4001, b"learnt")
    assert len(world.forwarder) == 1


def test_a_new_allocation_at_a_peers_address_is_met_inside():
    world = make(FastWorld, allow=["203.0.113.0/24"])
    one, *_ = members(world)
    later = ("203.0.113.1", 50_005)  # the next socket's port
    one.bind(0x4000, later)
    say(world, one, 0x4000, b"to nobody")
    say(world, one, 0x4000, b"to nobody")
    assert len(world.to_peers) == 2
    name, password = SECRET.mint("late", "beijing", UNIX, 360_000.0)
    other = Client(world, ("198.51.100.9", 40_009), name, password)
    other.allocate()
    assert other.relayed == later
    other.bind(0x4000, one.relayed)
    say(world, one, 0x4000, b"hello")
    assert other.listen() == [(0x4000, b"hello")]


def test_what_is_longer_than_it_says_loses_its_padding(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    world.batch([(encode_channel_data(0x4002, b"abc") + b"\0", clients[0].address)])
    assert clients[2].listen()[-1] == (0x4000, b"abc")


def test_what_is_shorter_than_it_says_is_malformed(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    world.batch([(encode_channel_data(0x4002, b"abcdef")[:-1], clients[0].address)])
    assert world.machine.counters.drops["malformed"] == 1
    assert len(clients[2].listen()) == 1


def test_a_channel_that_leads_elsewhere_has_nothing_of_its_old_shortcut(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    world.now += 601
    for client in clients:
        client.refresh()
    clients[0].bind(0x4002, clients[1].relayed)
    clients[1].bind(0x4000, clients[0].relayed)
    say(world, clients[0], 0x4002, b"to the other")
    say(world, clients[0], 0x4002, b"to the other")
    clients[1].refresh(0)
    say(world, clients[0], 0x4002, b"to nobody")
    world.advance(1.0)
    assert clients[2].listen() == [(0x4000, b"learn")]
    assert clients[1].listen() == []
    assert world.buffers.free == 64


def test_what_does_not_fit_into_a_buffer_is_left_to_the_machine(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    batch = world.fill([(encode_channel_data(0x4002, bytes(2040)), clients[0].address)] * 2)
    batch.lengths[:] = (2048, 2049)
    world.buffers.head[batch.slots] = (0x4002 << 16 | 2044, 0x4002 << 16 | 2045)
    left, outgoing = world.forwarder.from_clients(batch, world.now)
    assert left.tolist() == [1]
    assert len(outgoing[0].slots) == 1


def test_nothing_overtakes_a_request_of_its_sender(world, clients):
    say(world, clients[0], 0x4002, b"learn")
    other = encode_channel_data(0x4000, b"theirs")
    say(world, clients[2], 0x4000, b"learn")
    batch = world.fill(
        [
            (encode_channel_data(0x4002, b"before"), clients[0].address),
            (bytes(20), clients[0].address),
            (encode_channel_data(0x4002, b"after"), clients[0].address),
            (other, clients[2].address),
        ]
    )
    left, outgoing = world.forwarder.from_clients(batch, world.now)
    assert left.tolist() == [1, 2]
    assert [len(each.slots) for each in outgoing] == [2]


@pytest.mark.parametrize("size", [BUFFER - 5, BUFFER - 4, BUFFER - 3, BUFFER, BUFFER + 1, 9000])
def test_what_does_not_fit_into_a_buffer_is_the_machines(world, clients, size):
    clients[0].bind(0x4010, PEER)
    for byte in (b"a", b"b"):
        say(world, clients[0], 0x4002, byte * size)
        say(world, clients[0], 0x4010, byte * size)
        world.peer_batch(clients[0].relayed, [(byte * size, PEER)])
    assert clients[2].listen() == [(0x4000, b"a" * size), (0x4000, b"b" * size)]
    assert [sent.data for sent in world.to_peers] == [b"a" * size, b"b" * size]
    assert clients[0].listen() == [(0x4010, b"a" * size), (0x4010, b"b" * size)]


def test_a_channel_bound_elsewhere_is_a_new_flow(world, clients):
    say(world, clients[0], 0x4001, b"learn", b"under way")
    say(world, clients[0], 0x4001, b"under way too")
    world.now += 600.0
    clients[0].refresh()
    clients[0].bind(0x4001, clients[3].relayed)
    clients[3].bind(0x4000, clients[0].relayed)
    say(world, clients[0], 0x4001, b"learn")
    say(world, clients[0], 0x4001, b"to another")
    clients[3].refresh(0)
    say(world, clients[0], 0x4001, b"to nobody")
    world.advance(1.0)
    assert clients[3].listen() == []
    assert len(world.forwarder) == 0
    assert world.buffers.free == 64


def test_shortcuts_that_ran_out_are_forgotten(world, clients):
    clients[0].bind(0x4010, PEER)
    say(world, clients[0], 0x4002, b"learn")
    say(world, clients[0], 0x4010, b"learn")
    world.forwarder.purge(world.now + 599)
    assert len(world.forwarder) == 2
    world.forwarder.purge(world.now + 601)
    assert len(world.forwarder) == 0
    say(world, clients[0], 0x4002, b"again")
    assert len(world.forwarder) == 1
    assert len(clients[2].listen()) == 2


def test_a_quota_of_bandwidth_is_kept_and_slows_nobody_else():
    world = make(FastWorld, quotas=Quotas(bandwidth=1000.0))
    clients = members(world)
    connect(clients)
    for _ in range(3):
        say(world, clients[0], 0x4002, bytes(100))  # 300 of 1000 bytes, of both users
        world.peer_batch(clients[1].relayed, [(b"", PEER)])
    assert world.slow == 1 + 3, "the first of a flow, and peers that nobody named"
    say(world, clients[0], 0x4002, *[bytes(100)] * 10)
    say(world, clients[3], 0x4001, bytes(10))
    say(world, clients[1], 0x4003, bytes(10))
    slow = world.slow
    say(world, clients[3], 0x4001, bytes(10))
    assert world.slow == slow, "it is still on the fast path"
    assert len(clients[2].listen()) == 10
    assert world.machine.counters.drops["bandwidth"] == 3
    world.now += 0.5
    say(world, clients[0], 0x4002, *[bytes(100)] * 5)
    assert len(clients[2].listen()) == 15
    assert world.slow == slow, "and so is who has waited"
    world.advance(1.0)
    assert world.buffers.free == 64


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"),
            st.lists(
                st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-1, 1)), min_size=1, max_size=12
            ),
        ),
        st.tuples(st.just("wait"), st.sampled_from([0.0001, 0.003, 0.006, 250.0, 590.0])),
        st.tuples(st.just("refresh"), st.integers(0, 3), st.sampled_from([0, 600])),
        st.tuples(st.just("connect"), st.just(0)),
        st.tuples(st.just("rebind"), st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)),
        st.tuples(
            st.just("mix"),
            st.integers(0, 3),
            st.lists(
                st.one_of(
                    st.tuples(st.just("data"), st.integers(0, 4)),
                    st.tuples(st.just("indication"), st.integers(0, 4)),
                    st.tuples(st.just("long"), st.integers(0, 4)),
                    st.tuples(st.just("refresh"), st.sampled_from([0, 600])),
                    st.tuples(st.just("bind"), st.integers(0, 4)),
                ),
                min_size=1,
                max_size=8,
            ),
        ),
        st.tuples(st.just("peer"), st.integers(0, 3)),
    ),
    max_size=14,
)


def mixed(client, clients, parts, first):
    """One client's messages of every kind, for one batch."""
    addresses = [*(each.relayed for each in clients), PEER]
    messages = []
    for number, (kind, argument) in enumerate(parts, first):
        payload = b"%d" % number
        if kind in ("data", "long"):
            messages.append(encode_channel_data(0x4000 + argument, payload * (1 if kind == "data" else 1200)))
        elif kind == "indication":
            messages.append(client.indication(addresses[argument], payload))
        elif kind == "refresh":
            messages.append(client.request(Method.REFRESH, LIFETIME(argument)))
        else:
            values = CHANNEL_NUMBER(0x4000 + argument), XOR_PEER_ADDRESS(addresses[argument])
            messages.append(client.request(Method.CHANNEL_BIND, *values))
    return [(message, client.address) for message in messages]


def play(world, actions):
    """Run a script; returns what everyone heard, in order, and what went to peers."""
    clients = members(world)
    connect(clients)
    for client in clients:
        client.bind(0x4004, PEER)
    number, answers = 0, []
    for kind, *arguments in actions:
        if kind == "say":
            packets = []
            for who, channel, cut in arguments[0]:
                number += 1
                data = encode_channel_data(0x4000 + channel, b"%d" % number)
                packets.append((data[:cut] if cut < 0 else data + bytes(cut), clients[who].address))
            world.batch(packets)
        elif kind == "wait":
            world.advance(arguments[0])
        elif kind == "refresh":
            clients[arguments[0]].refresh(arguments[1])
        elif kind == "connect":
            connect(clients)
        elif kind == "rebind":
            who, channel, target = arguments
            address = PEER if target == 4 else clients[target].relayed
            clients[who].bind(0x4000 + channel, address)
        elif kind == "mix":
            who, parts = arguments
            world.batch(mixed(clients[who], clients, parts, number + 1))
            number += len(parts)
            answers.append(clients[who].answers())
        else:
            number += 1
            client = clients[arguments[0]]
            world.peer_batch(client.relayed, [(b"%d" % number, PEER), (b"scan", ("9.9.9.9", 1))])
    world.advance(1.0)
    heard = defaultdict(list)
    for sent in world.to_clients:
        heard[sent.to.client].append(sent.data)
    by_flow = {
        (client, data[:2]): [each for each in all_data if each[:2] == data[:2]]
        for client, all_data in heard.items()
        for data in all_data
    }
    to_peers = defaultdict(list)
    for sent in world.to_peers:
        to_peers[sent.relayed].append(sent.data)
    return by_flow, to_peers, answers, clients


def by_sender(client):
    """What a client has heard in each channel: what two senders send at once comes in any order."""
    heard = defaultdict(list)
    for sender, data in client.heard:
        heard[sender].append(data)
    return heard


@SOUND
@given(ACTIONS)
@example(
    [
        ("mix", 2, [("bind", 2), ("data", 2)]),
        ("say", [(0, 2, 0), (2, 2, 0)]),
        ("connect", 0),
    ]
)
def test_whatever_happens_everyone_hears_the_same(actions):
    slow, fast = make(SlowWorld), make(FastWorld)
    expected, found = play(slow, actions), play(fast, actions)
    assert found[:3] == expected[:3]
    assert list(map(by_sender, found[3])) == list(map(by_sender, expected[3]))
    fast.forwarder.settle()
    for name in ("client_packets_in", "client_packets_out", "client_bytes_in", "client_bytes_out"):
        assert getattr(fast.machine.counters, name) == getattr(slow.machine.counters, name)
    assert fast.machine.counters.drops == slow.machine.counters.drops
    assert fast.buffers.free == 64
