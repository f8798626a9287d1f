"""Which peers are denied, in every notation that hides an IPv4 address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.turn.peers import SPECIAL_IPV4, SPECIAL_IPV6, PeerPolicy, Reach

OWN = "203.0.113.1"
STRICT = PeerPolicy(own_hosts=[OWN], listeners=[(OWN, 3478)])
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "223.255.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "100.128.0.0",
    "2606:4700::1111",
)
PRIVATE = (
    "10.1.2.3",
    "127.0.0.1",
    "169.254.169.254",
    "192.168.0.1",
    "172.31.255.255",
    "100.64.0.1",
    "0.0.0.0",
)


def mapped(host: str) -> str:
    return str(IPv6Address(0xFFFF << 32 | int(IPv4Address(host))))


def compatible(host: str) -> str:
    return str(IPv6Address(int(IPv4Address(host))))


def nat64(host: str) -> str:
    return str(IPv6Address(0x64FF9B << 96 | int(IPv4Address(host))))


def sixtofour(host: str) -> str:
    return str(IPv6Address(0x2002 << 112 | int(IPv4Address(host)) << 80 | 1))


def teredo_client(host: str) -> str:
    return str(IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | ~int(IPv4Address(host)) & 0xFFFFFFFF))


def teredo_server(host: str) -> str:
    return str(IPv6Address(0x20010000 << 96 | int(IPv4Address(host)) << 64 | ~0x08080808 & 0xFFFFFFFF))


HIDINGS = (mapped, compatible, nat64, sixtofour, teredo_client, teredo_server)


@pytest.mark.parametrize("network", SPECIAL_IPV4 + SPECIAL_IPV6)
def test_both_ends_of_every_special_range_are_denied(network):
    for address in (ip_network(network)[0], ip_network(network)[-1]):
        assert PeerPolicy().reach(str(address)) is Reach.DENIED


@pytest.mark.parametrize("host", PUBLIC)
def test_public_peers_are_reached_through_the_network(host):
    assert STRICT.reach(host) is Reach.NETWORK


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("hide", HIDINGS)
def test_no_notation_hides_a_denied_address(hide, host):
    assert STRICT.reach(hide(host)) is Reach.DENIED


@pytest.mark.parametrize("hide", [sixtofour, teredo_client, teredo_server])
@pytest.mark.parametrize("host", PRIVATE)
def test_allowing_a_tunnel_does_not_allow_what_it_hides(hide, host):
    policy = PeerPolicy(allow=[ip_network("2002::/16"), ip_network("2001::/32")])
    assert policy.reach(hide(host)) is Reach.DENIED


@pytest.mark.parametrize("hide", HIDINGS)
def test_no_notation_hides_the_relays_own_address(hide):
    policy = PeerPolicy(own_hosts=["9.9.9.9"], allow=[ip_network("2002::/16"), ip_network("2001::/32")])
    assert policy.reach(hide("9.9.9.9")) is Reach.DENIED


def test_a_mapped_or_nat64_public_address_is_public():
    assert STRICT.reach(mapped("8.8.8.8")) is Reach.NETWORK
    assert STRICT.reach(nat64("8.8.8.8")) is Reach.NETWORK


@given(st.ip_addresses(v=4))
def test_python_agrees_about_private_ipv4(address):
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        assert PeerPolicy().reach(str(address)) is Reach.DENIED


@given(st.ip_addresses(v=6))
def test_python_agrees_about_private_ipv6(address):
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        assert PeerPolicy().reach(str(address)) is Reach.DENIED


def test_allowed_ranges_are_lifted_and_their_neighbours_are_not():
    policy = PeerPolicy(allow=[ip_network("127.0.0.0/8"), ip_network("10.0.0.0/30"), ip_network("::1/128")])
    assert policy.reach("127.0.0.1") is Reach.NETWORK
    assert policy.reach("::1") is Reach.NETWORK
    assert policy.reach("10.0.0.3") is Reach.NETWORK
    assert policy.reach("10.0.0.4") is Reach.DENIED
    assert policy.reach(mapped("10.0.0.3")) is Reach.NETWORK


@pytest.mark.parametrize("own", ["203.0.113.1", "8.8.8.8", "127.0.0.1", "::1"])
def test_the_relays_own_address_is_for_live_allocations_only(own):
    assert PeerPolicy(own_hosts=[own]).reach(own) is Reach.HAIRPIN


def test_the_listening_address_is_known():
    assert STRICT.is_listener((OWN, 3478))
    assert not STRICT.is_listener((OWN, 3479))


@pytest.mark.parametrize("host", [OWN, "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", f"::ffff:{OWN}"])
def test_a_listener_on_every_address_is_reached_at_each_of_them(host: str) -> None:
    for everywhere in ("0.0.0.0", "::"):
        policy = PeerPolicy(own_hosts=[OWN], listeners=[(everywhere, 3478)])
        assert policy.is_listener((host, 3478))
        assert not policy.is_listener((host, 3479))
        assert not policy.is_listener(("9.9.9.9", 3478))
