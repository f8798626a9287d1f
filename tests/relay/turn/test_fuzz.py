"""Whatever arrives, the machine does not raise and makes nothing for strangers."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.turn import attributes
from relay.turn.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    RESERVATION_TOKEN,
    Attribute,
    Value,
)
from relay.turn.credentials import StaticUsers
from relay.turn.effects import FiveTuple
from relay.turn.machine import Settings, TurnMachine
from relay.turn.message import Integrity, MessageClass, Method, encode

SERVER = ("203.0.113.1", 3478)
CLIENT = FiveTuple("udp", ("198.51.100.7", 40_000), SERVER)
TYPES = sorted({a.type for a in vars(attributes).values() if isinstance(a, Attribute)})
SOUND = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@given(st.lists(st.one_of(st.binary(max_size=120), MESSAGES, CHANNEL_DATA), max_size=20))
def test_strangers_leave_no_trace(datagrams):
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
