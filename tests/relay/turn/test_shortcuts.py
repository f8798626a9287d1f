"""Batches of senders looked up in sorted keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.turn.packets import pack_name
from relay.turn.shortcuts import Senders

SECRET = bytes(range(32))
HOSTS = {False: ("192.0.2.1", "192.0.2.2", "198.51.100.1"), True: ("2001:db8::1", "2001:db8::2", "fd00::1")}


def find(senders, asked):
    words = np.array([np.frombuffer(pack_name(address), np.uint8) for address, _ in asked]).view("<u8")
    flows, found = senders.find(words, np.array([tag for _, tag in asked], np.uint32))
    return [flow if there else None for flow, there in zip(flows.tolist(), found.tolist(), strict=True)]


@pytest.mark.parametrize("is_ipv6", [False, True])
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 2), st.integers(1, 3), st.integers(0x4000, 0x4002)),
        max_size=40,
    )
)
def test_it_is_a_table(is_ipv6, steps):
    senders, expected, flow = Senders(is_ipv6, SECRET, 64), {}, 0
    for add, host, port, tag in steps:
        key = ((HOSTS[is_ipv6][host], port), tag)
        if add and key not in expected:
            flow += 1
            assert senders.add(*key, flow)
            expected[key] = flow
        elif not add and key in expected:
            senders.remove([expected.pop(key), 63])
        everyone = [
            ((each, port), tag)
            for each in HOSTS[is_ipv6]
            for port in (1, 2, 3)
            for tag in (0x4000, 0x4001, 0x4002)
        ]
        assert find(senders, everyone) == [expected.get(each) for each in everyone]
        assert [senders.known(*each) for each in everyone] == [expected.get(each) for each in everyone]
        assert len(senders) == len(expected)


@pytest.mark.parametrize("is_ipv6", [False, True])
def test_an_empty_table_knows_nobody(is_ipv6):
    assert find(Senders(is_ipv6, SECRET, 4), [((HOSTS[is_ipv6][0], 1), 0x4000)]) == [None]


def test_hosts_whose_hash_is_the_same_are_told_apart():
    senders = Senders(True, bytes(32), 4)  # multipliers of 1: the words of an address are added up
    one, other = ("2001:db8::1:0:0:2", 1), ("2001:db8::2:0:0:1", 1)
    assert senders.add(one, 0x4000, 1)
    assert find(senders, [(one, 0x4000), (other, 0x4000)])[0] == 1
    swapped = (_swap("2001:db8::2"), 1)
    assert find(senders, [(swapped, 0x4000)]) == [None]
    straight = ("2001:db8::2", 1)
    assert senders.add(straight, 0x4000, 2)
    assert find(senders, [(straight, 0x4000), (swapped, 0x4000)]) == [2, None]
    assert not senders.add(swapped, 0x4000, 3), "its key is taken: the machine serves it"
    assert senders.known(swapped, 0x4000) is None


@pytest.mark.parametrize("is_ipv6", [False, True])
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40))
def test_nothing_overtakes_what_its_sender_sent_before(is_ipv6, packets):
    sources = [(host, port) for host in HOSTS[is_ipv6][:2] for port in (1, 2)]
    words = np.array([np.frombuffer(pack_name(sources[who]), np.uint8) for who, _ in packets]).view("<u8")
    taken = np.array([each for _, each in packets])
    Senders(is_ipv6, SECRET, 4).keep_order(words, taken)
    behind, expected = set(), []
    for who, has_shortcut in packets:
        behind |= set() if has_shortcut else {who}
        expected.append(who not in behind)
    assert taken.tolist() == expected


def _swap(host):
    import ipaddress

    packed = ipaddress.IPv6Address(host).packed
    return str(ipaddress.IPv6Address(packed[8:] + packed[:8]))
