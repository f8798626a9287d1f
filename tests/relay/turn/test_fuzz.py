"""Whatever arrives, nothing raises and nothing is made for strangers.

The ordinary profile draws thousands of datagrams, ``QCALL_TEST_PROFILE=nightly`` a million: others in each
run, and the same ones in every run by the recorded seed.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from relay.turn import attributes
from relay.turn.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    RESERVATION_TOKEN,
    Attribute,
    Malformed,
    Value,
)
from relay.turn.counters import Counters
from relay.turn.credentials import StaticUsers
from relay.turn.effects import FiveTuple, Shortcut
from relay.turn.forward import Batch, Forwarder
from relay.turn.machine import Settings, TurnMachine
from relay.turn.message import Integrity, MessageClass, Method, encode, frame_size
from relay.turn.packets import NAME, Buffers, pack_name

SERVER = ("203.0.113.1", 3478)
CLIENT = FiveTuple("udp", ("198.51.100.7", 40_000), SERVER)
TYPES = sorted({a.type for a in vars(attributes).values() if isinstance(a, Attribute)})
NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
SOUND = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHY = settings(max_examples=100_000 if NIGHTLY else 300)
LEAST = 10 if NIGHTLY else 0
"""Datagrams of one example: ten of them, 100,000 times, are a million."""
pytestmark = pytest.mark.timeout(7200 if NIGHTLY else 120)


def fields(types: st.SearchStrategy[int]) -> st.SearchStrategy[list[Value]]:
    """Attributes of those types with any bytes as their values."""
    value = st.one_of(st.binary(max_size=40), st.binary(min_size=4, max_size=4))
    return st.lists(st.builds(lambda number, raw: Value(number, lambda _: raw), types, value), max_size=8)


FIELDS = fields(st.one_of(st.sampled_from(TYPES), st.integers(0, 0xFFFF)))
ALLOCATE_FIELDS = fields(
    st.sampled_from([LIFETIME.type, EVEN_PORT.type, DONT_FRAGMENT.type, ADDITIONAL_ADDRESS_FAMILY.type])
)
MESSAGES = st.builds(
    encode,
    st.one_of(st.sampled_from(Method), st.integers(0, 0xFFF)),
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    FIELDS,
    integrity=st.one_of(st.none(), st.builds(Integrity, st.just(b"k"), st.booleans())),
    fingerprint=st.booleans(),
)
CHANNEL_DATA = st.builds(
    lambda head, rest: bytes([head]) + rest, st.integers(0x40, 0x7F), st.binary(max_size=40)
)


DATAGRAMS = st.lists(st.one_of(st.binary(max_size=120), MESSAGES, CHANNEL_DATA), min_size=LEAST, max_size=20)


RECORDED = seed(8656)
"""What it draws stays the same as long as Hypothesis and the strategies here do."""


@LENGTHY
@given(DATAGRAMS)
def test_strangers_leave_no_trace(datagrams):
    leave_no_trace(datagrams)


@RECORDED
@settings(max_examples=300, database=None)
@given(DATAGRAMS)
def test_strangers_of_the_recorded_seed_leave_no_trace(datagrams):
    leave_no_trace(datagrams)


def leave_no_trace(datagrams):
    told = Settings(realm="relay", relay_hosts=("203.0.113.1",), listeners=(SERVER,))
    machine = TurnMachine(told, StaticUsers({"alice": "wonderland"}), bytes(32))
    for at, data in enumerate(datagrams):
        for effect in machine.receive(data, CLIENT, 1000.0 + at):
            assert len(effect.data) <= 28 + 2 * len(data) + 84
    assert machine.counters.allocations == 0
    assert machine.deadline is None


@SOUND
@given(ALLOCATE_FIELDS, st.booleans())
def test_whatever_an_allocate_asks_for_no_socket_is_left_behind(make_world, make_client, wishes, reserve):
    world = make_world()
    client = make_client(world)
    token = client.allocate(EVEN_PORT(0x80)).get(RESERVATION_TOKEN)
    client.refresh(0)
    client.allocate(*([RESERVATION_TOKEN(token)] if reserve else []), *wishes)
    world.advance(4000)
    assert world.open == set()


@SOUND
@given(st.sampled_from(Method), FIELDS)
def test_a_client_may_sign_anything(make_world, make_client, method, values):
    world = make_world()
    client = make_client(world)
    client.allocate()
    client.bind(0x4000, ("9.9.9.9", 7000))
    request = encode(
        method,
        MessageClass.REQUEST,
        bytes(12),
        [*client.credentials(), *values],
        integrity=client.integrity,
    )
    client.send(request)
    client.send(encode(Method.SEND, MessageClass.INDICATION, bytes(12), values))
    world.advance(4000)
    assert world.open == set()
    assert world.machine.counters.allocations == 0


@LENGTHY
@given(DATAGRAMS, st.integers(0, 20))
def test_the_fast_path_takes_nothing_from_strangers(datagrams, known):
    """A batch of anything: what has no shortcut is left, whole, and no buffer is lost."""
    buffers = Buffers(64)
    forwarder = Forwarder(buffers, False, bytes(range(32)), Counters())
    forwarder.learn(
        Shortcut(
            ("203.0.113.1", 50_000),
            ("203.0.113.1", 50_001),
            2000.0,
            CLIENT.client,
            0x4000,
            ("9.9.9.9", 1),
            0x4001,
        )
    )
    slots = buffers.take(len(datagrams))
    names = np.zeros((len(datagrams), NAME), np.uint8)
    for place, (slot, data) in enumerate(zip(slots.tolist(), datagrams, strict=True)):
        buffers.data[slot, : len(data)] = np.frombuffer(data, np.uint8)
        source = CLIENT.client if place < known else ("192.0.2.1", place)
        names[place] = np.frombuffer(pack_name(source), np.uint8)
    lengths = np.array([len(data) for data in datagrams], np.uint32)
    batch = Batch(slots, names.view("<u8"), lengths, np.full(len(datagrams), 1000.0))
    left, outgoing = forwarder.from_clients(batch, 1000.0)
    for place, data in enumerate(datagrams):
        size = int.from_bytes(data[2:4], "big")
        mine = place < known and data[:2] == b"\x40\x00" and len(data) >= 4 + size
        assert (place in left.tolist()) is not mine
        if not mine:
            assert buffers.data[slots[place], : len(data)].tobytes() == data
    buffers.give(slots[left])
    for each in outgoing:
        buffers.reset(each.slots, 16)
    assert buffers.free == 64


@LENGTHY
@given(DATAGRAMS)
def test_a_stream_of_anything_ends_or_is_cut_into_messages(pieces):
    """Whatever comes over TCP either is whole messages, one behind the other, or ends the connection."""
    data = b"".join(pieces)
    with contextlib.suppress(Malformed):
        while (size := frame_size(data)) is not None and size <= len(data):
            assert size >= 4
            data = data[size:]
