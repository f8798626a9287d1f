"""Methods of RFC 8656 in virtual time."""

from __future__ import annotations

import pytest

from relay.turn.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    ALTERNATE_SERVER,
    CHANNEL_NUMBER,
    COTURN_ADDITIONAL_ADDRESS_FAMILY,
    DONT_FRAGMENT,
    ERROR_CODE,
    EVEN_PORT,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    AddressError,
    Error,
    Value,
)
from relay.turn.message import MessageClass, Method, encode, encode_channel_data, parse

PEER = ("9.9.9.9", 7000)
OTHER_PEER = ("9.9.9.10", 7000)


def status(message):
    error = message.get(ERROR_CODE)
    return None if error is None else error.code


def test_binding_tells_the_client_its_address(alice):
    (response,) = alice.send(encode(Method.BINDING, MessageClass.REQUEST, bytes(12)))
    assert parse(response).get(XOR_MAPPED_ADDRESS) == alice.address


def test_allocate_gives_a_relayed_address_for_ten_minutes(alice, world):
    answer = alice.allocate()
    assert answer.get(LIFETIME) == 600
    assert answer.get(XOR_MAPPED_ADDRESS) == alice.address
    assert alice.relayed in world.open
    assert world.machine.counters.allocations == 1


@pytest.mark.parametrize(("asked", "granted"), [(1, 600), (600, 600), (1200, 1200), (4_000_000_000, 3600)])
def test_lifetime_is_between_ten_minutes_and_an_hour(alice, asked, granted):
    assert alice.allocate(LIFETIME(asked)).get(LIFETIME) == granted


def test_a_retransmitted_allocate_gets_the_same_answer(alice, world):
    first = alice.allocate(transaction_id=b"a" * 12)
    again = alice.allocate(transaction_id=b"a" * 12)
    assert again.raw == first.raw
    assert len(world.open) == 1


def test_a_second_allocate_is_a_mismatch(alice):
    alice.allocate()
    assert status(alice.allocate()) == 437


@pytest.mark.parametrize(("transport", "code"), [(6, 442), (99, 442)])
def test_only_udp_is_relayed(alice, transport, code):
    assert status(alice.ask(Method.ALLOCATE, REQUESTED_TRANSPORT(transport))) == code


def test_a_transport_must_be_asked_for(alice):
    assert status(alice.ask(Method.ALLOCATE)) == 400


def test_unknown_attributes_are_named(alice):
    answer = alice.allocate(Value(0x7F00, lambda _: b"?"))
    assert (status(answer), answer.get(UNKNOWN_ATTRIBUTES)) == (420, (0x7F00,))


def test_a_malformed_value_is_a_bad_request(alice):
    assert status(alice.ask(Method.ALLOCATE, Value(REQUESTED_TRANSPORT.type, lambda _: b"\x11"))) == 400


def test_an_ipv6_address_is_given_when_asked_for(alice):
    alice.allocate(REQUESTED_ADDRESS_FAMILY(2))
    assert alice.relayed[0] == "2001:db8::1"


def test_a_family_that_is_not_there_is_refused(make_world, make_client):
    client = make_client(make_world(relay_hosts=("203.0.113.1",)))
    assert status(client.allocate(REQUESTED_ADDRESS_FAMILY(2))) == 440
    assert status(client.allocate(REQUESTED_ADDRESS_FAMILY(7))) == 440


def test_both_families_are_given_when_asked_for(alice):
    answer = alice.allocate(ADDITIONAL_ADDRESS_FAMILY(2))
    assert [host for host, _ in answer.all(XOR_RELAYED_ADDRESS)] == ["203.0.113.1", "2001:db8::1"]


def test_one_family_of_two_can_be_given_back(alice, world):
    alice.allocate(ADDITIONAL_ADDRESS_FAMILY(2))
    assert len(world.open) == 2
    assert status(alice.ask(Method.REFRESH, LIFETIME(0), REQUESTED_ADDRESS_FAMILY(1))) is None
    assert [host for host, _ in world.open] == ["2001:db8::1"]
    assert status(alice.bind(0x4000, PEER)) == 443
    assert status(alice.ask(Method.REFRESH, LIFETIME(0), REQUESTED_ADDRESS_FAMILY(1))) == 443
    assert status(alice.ask(Method.REFRESH, LIFETIME(0), REQUESTED_ADDRESS_FAMILY(2))) is None
    assert world.open == set()


def test_coturns_number_for_an_additional_family_is_understood(alice):
    answer = alice.allocate(COTURN_ADDITIONAL_ADDRESS_FAMILY(2))
    assert len(answer.all(XOR_RELAYED_ADDRESS)) == 2


def test_an_additional_family_that_is_not_there_is_said_so(make_world, make_client):
    answer = make_client(make_world(relay_hosts=("203.0.113.1",))).allocate(ADDITIONAL_ADDRESS_FAMILY(2))
    assert answer.get(ADDRESS_ERROR_CODE) == AddressError(2, 440)


@pytest.mark.parametrize(
    "values",
    [
        [ADDITIONAL_ADDRESS_FAMILY(1)],
        [ADDITIONAL_ADDRESS_FAMILY(2), REQUESTED_ADDRESS_FAMILY(1)],
        [ADDITIONAL_ADDRESS_FAMILY(2), EVEN_PORT(0x80)],
        [RESERVATION_TOKEN(bytes(8)), EVEN_PORT(0)],
        [RESERVATION_TOKEN(bytes(8)), REQUESTED_ADDRESS_FAMILY(1)],
        [RESERVATION_TOKEN(bytes(7))],
    ],
)
def test_contradictory_requests_are_bad(alice, values):
    assert status(alice.allocate(*values)) == 400


def test_an_even_port_is_even(alice):
    alice.allocate(EVEN_PORT(0))
    assert alice.relayed[1] % 2 == 0


def test_a_reserved_port_is_given_to_its_token(alice, world, make_client):
    token = alice.allocate(EVEN_PORT(0x80)).get(RESERVATION_TOKEN)
    second = make_client(world)
    second.allocate(RESERVATION_TOKEN(token))
    assert second.relayed == (alice.relayed[0], alice.relayed[1] + 1)


def test_a_token_works_once_and_for_its_user_only(alice, bob, world, make_client):
    token = alice.allocate(EVEN_PORT(0x80)).get(RESERVATION_TOKEN)
    assert status(bob.allocate(RESERVATION_TOKEN(token))) == 508
    assert status(make_client(world).allocate(RESERVATION_TOKEN(token))) is None
    assert status(make_client(world).allocate(RESERVATION_TOKEN(token))) == 508


def test_a_reservation_that_nobody_claims_is_closed(alice, world, make_client):
    token = alice.allocate(EVEN_PORT(0x80)).get(RESERVATION_TOKEN)
    assert len(world.open) == 2
    world.advance(31)
    assert world.open == {alice.relayed}
    assert status(make_client(world).allocate(RESERVATION_TOKEN(token))) == 508


def test_a_server_without_ports_says_so(alice, world):
    world.ports_left = 0
    assert status(alice.allocate()) == 508
    assert world.open == set()


def test_an_allocation_ends_when_it_is_not_refreshed(alice, world):
    alice.allocate()
    world.advance(601)
    assert world.open == set()
    assert world.machine.counters.allocations == 0
    assert status(alice.refresh()) == 437


def test_a_refresh_keeps_it(alice, world):
    alice.allocate()
    world.advance(500)
    assert alice.refresh().get(LIFETIME) == 600
    world.advance(500)
    assert alice.relayed in world.open


def test_a_refresh_of_zero_deletes(alice, world):
    alice.allocate()
    assert alice.refresh(0).get(LIFETIME) == 0
    assert world.open == set()
    assert world.machine.deadline is None


def test_another_user_cannot_touch_an_allocation(alice, bob, world):
    alice.allocate()
    bob.address = alice.address
    assert status(bob.refresh(0)) == 441
    assert status(bob.permit(PEER[0])) == 441
    assert alice.relayed in world.open


def test_a_client_whose_connection_ends_loses_its_allocation(world, make_client):
    client = make_client(world, transport="tcp")
    client.allocate()
    world.run(world.machine.disconnected(client.five_tuple))
    assert world.open == set()


def test_methods_without_an_allocation_are_a_mismatch(alice):
    assert status(alice.refresh()) == 437
    assert status(alice.permit(PEER[0])) == 437
    assert status(alice.bind(0x4000, PEER)) == 437


def test_a_send_indication_goes_out_of_the_relayed_address(alice, world):
    alice.allocate()
    alice.permit(PEER[0])
    alice.indicate(PEER, b"hello")
    (sent,) = world.to_peers
    assert (sent.relayed, sent.peer, sent.data, sent.dont_fragment) == (alice.relayed, PEER, b"hello", False)


def test_dont_fragment_is_passed_on(alice, world):
    alice.allocate(DONT_FRAGMENT(True))
    alice.permit(PEER[0])
    alice.indicate(PEER, b"hello", DONT_FRAGMENT(True))
    assert world.to_peers[0].dont_fragment


def test_a_peer_with_permission_is_heard_by_data_indication(alice, world):
    alice.allocate()
    alice.permit(PEER[0])
    world.from_peer(alice.relayed, PEER, b"hello")
    assert alice.listen() == [(PEER, b"hello")]


def test_a_peer_on_a_channel_is_heard_by_channel_data(alice, world):
    alice.allocate()
    alice.bind(0x4000, PEER)
    world.from_peer(alice.relayed, PEER, b"hello")
    assert alice.listen() == [(0x4000, b"hello")]
    alice.say(0x4000, b"back")
    assert world.to_peers[0].data == b"back"


def test_streams_get_padded_channel_data(world, make_client):
    client = make_client(world, transport="tcp")
    client.allocate()
    client.bind(0x4000, PEER)
    world.from_peer(client.relayed, PEER, b"hello")
    assert world.to_clients[-1].data == b"\x40\x00\x00\x05hello\x00\x00\x00"


def test_nobody_is_heard_or_reached_without_permission(alice, world):
    alice.allocate()
    alice.permit(PEER[0])
    world.from_peer(alice.relayed, OTHER_PEER, b"hello")
    alice.indicate(OTHER_PEER, b"hello")
    assert alice.listen() == []
    assert world.to_peers == []
    assert world.machine.counters.drops["no-permission"] == 2


def test_a_permission_covers_every_port_of_its_address(alice, world):
    alice.allocate()
    alice.permit(PEER[0])
    world.from_peer(alice.relayed, (PEER[0], 1), b"hello")
    assert alice.listen() == [((PEER[0], 1), b"hello")]


def test_a_permission_lasts_five_minutes(alice, world):
    alice.allocate()
    alice.permit(PEER[0])
    world.advance(299)
    world.from_peer(alice.relayed, PEER, b"in time")
    world.advance(2)
    world.from_peer(alice.relayed, PEER, b"too late")
    assert alice.listen() == [(PEER, b"in time")]


def test_several_peers_are_permitted_at_once_or_none(alice, world):
    alice.allocate()
    assert status(alice.permit(PEER[0], "10.0.0.1")) == 403
    alice.indicate(PEER, b"hello")
    assert world.to_peers == []
    assert status(alice.permit(PEER[0], OTHER_PEER[0])) is None


def test_a_permission_needs_a_peer(alice):
    alice.allocate()
    assert status(alice.permit()) == 400


def test_a_peer_of_the_other_family_is_a_mismatch(alice):
    alice.allocate()
    assert status(alice.permit("2606:4700::1111")) == 443
    assert status(alice.bind(0x4000, ("2606:4700::1111", 1))) == 443


def test_a_dual_allocation_reaches_both_families(alice, world):
    alice.allocate(ADDITIONAL_ADDRESS_FAMILY(2))
    alice.bind(0x4000, PEER)
    alice.bind(0x4001, ("2606:4700::1111", 1))
    alice.say(0x4000, b"4")
    alice.say(0x4001, b"6")
    assert [sent.relayed[0] for sent in world.to_peers] == ["203.0.113.1", "2001:db8::1"]


def test_a_channel_lasts_ten_minutes(alice, world):
    alice.allocate(LIFETIME(3600))
    alice.bind(0x4000, PEER)
    world.advance(601)
    alice.say(0x4000, b"too late")
    assert world.to_peers == []
    assert world.machine.counters.drops["no-channel"] == 1


def test_a_channel_is_not_bound_to_another_peer_while_it_lives(alice, world):
    alice.allocate(LIFETIME(3600))
    alice.bind(0x4000, PEER)
    assert status(alice.bind(0x4000, OTHER_PEER)) == 400
    assert status(alice.bind(0x4001, PEER)) == 400
    assert status(alice.bind(0x4000, PEER)) is None
    world.advance(601)
    assert status(alice.bind(0x4000, OTHER_PEER)) is None


@pytest.mark.parametrize("number", [0, 0x3FFF, 0x8000, 0xFFFF])
def test_channel_numbers_have_a_range(alice, number):
    alice.allocate()
    assert status(alice.bind(number, PEER)) == 400


def test_a_channel_needs_a_number_and_a_peer(alice):
    alice.allocate()
    assert status(alice.ask(Method.CHANNEL_BIND, CHANNEL_NUMBER(0x4000))) == 400
    assert status(alice.ask(Method.CHANNEL_BIND, XOR_PEER_ADDRESS(PEER))) == 400


def test_two_clients_of_the_relay_talk_inside_it(alice, bob, world):
    alice.allocate()
    bob.allocate()
    assert status(alice.bind(0x4000, bob.relayed)) is None
    assert status(bob.bind(0x4001, alice.relayed)) is None
    alice.say(0x4000, b"hello bob")
    bob.listen()
    bob.say(0x4001, b"hello alice")
    alice.listen()
    assert bob.heard == [(0x4001, b"hello bob")]
    assert alice.heard == [(0x4000, b"hello alice")]
    assert world.to_peers == []
    assert world.machine.counters.hairpinned == 2


def test_inside_the_relay_permissions_count_too(alice, bob, world):
    alice.allocate()
    bob.allocate()
    alice.bind(0x4000, bob.relayed)
    alice.say(0x4000, b"unwanted")
    assert bob.listen() == []


def test_a_call_by_aioice_outlives_its_permissions(alice, bob, world):
    """aioice rebinds channels every 500 s, refreshes allocations every 500 s and permissions never."""
    alice.allocate()
    bob.allocate()
    alice.bind(0x4000, bob.relayed)
    bob.bind(0x4000, alice.relayed)
    for second in range(1, 1801):
        world.advance(1)
        if second % 500 == 0:
            assert status(alice.refresh()) is None
            assert status(bob.refresh()) is None
            assert status(alice.bind(0x4000, bob.relayed)) is None
            assert status(bob.bind(0x4000, alice.relayed)) is None
        alice.say(0x4000, b"a")
        bob.listen()
        bob.say(0x4000, b"b")
        alice.listen()
    assert len(alice.heard) == len(bob.heard) == 1800


def test_a_call_through_a_peer_outlives_its_permission(alice, world):
    alice.allocate(LIFETIME(3600))
    alice.bind(0x4000, PEER)
    world.advance(450)
    world.from_peer(alice.relayed, PEER, b"in")
    alice.say(0x4000, b"out")
    assert alice.listen() == [(0x4000, b"in")]
    assert world.to_peers[0].data == b"out"


def test_a_draining_server_keeps_what_lives_and_names_another(alice, bob, world):
    alice.allocate()
    world.machine.drain(("192.0.2.9", 3478))
    assert status(alice.refresh()) is None
    answer = bob.allocate()
    assert (status(answer), answer.get(ALTERNATE_SERVER)) == (300, ("192.0.2.9", 3478))


def test_a_draining_server_without_another_is_full(alice, world):
    world.machine.drain()
    assert status(alice.allocate()) == 508


def test_error_answers_have_no_reason_phrase(alice):
    assert alice.refresh().get(ERROR_CODE) == Error(437, "")


def test_channel_data_of_strangers_goes_nowhere(alice, world):
    assert alice.send(encode_channel_data(0x4000, b"x")) == []
    assert world.machine.counters.drops["no-allocation"] == 1
