"""Delivered keys are uniform and independent, equal at both ends, and absent everywhere else.

Keys that crossed the network; as two SAEs get them they are in ``tests/relay/kme/test_randomness``.
"""

from __future__ import annotations

import math
import os
from collections import Counter

import numpy as np
import pytest

from relay.kme.keys import Wish
from relay.network.key_relay import join, split
from relay.network.network import Network
from relay.network.topology import load, parse
from tests.relay.statistics import LEVEL, MEGABYTES, TESTS, xor

PAIR = """name = "pair"
description = "modelled"
sites = ["a", "b"]
links = [{ a = "a", b = "x", km = 5 }, { a = "x", b = "b", km = 5 }, { a = "a", b = "y", km = 6 },
  { a = "y", b = "b", km = 6 }]
"""


def delivered(octets: int, wish: Wish) -> tuple[bytes, bytes]:
    """Keys as they left the source and as they came to the target; and what node x saw of them."""
    net = Network(parse(PAIR, "test"), seed=os.urandom(32), now=0.0, capacity=1 << 40, warm=1e6)
    came, seen = bytearray(), bytearray()
    net.observe(lambda node, _, key: seen.extend(key) if node == "x" else None)
    for number in range(octets // 32):
        key = os.urandom(32)
        arrived = net.relay("a", "b", str(number), key, 0.0, wish=wish, entropy=os.urandom)
        assert arrived.key == key
        came += arrived.key
    return bytes(came), bytes(seen)


def test_delivered_keys_are_uniform_and_do_not_depend_on_those_before() -> None:
    came, _ = delivered(int(MEGABYTES * 1_000_000), Wish())
    for test in TESTS:
        assert test(came) > LEVEL, test.__name__
        assert test(xor(came[:-32], came[32:])) > LEVEL, f"{test.__name__} of neighbours"


def test_the_frames_of_a_hop_look_like_nothing_and_no_two_keys_are_the_same() -> None:
    pads = bytearray()

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        pads.extend(frame[frame.index(b"\xc4\x20") + 2 :][:32])
        return frame

    net = Network(
        parse(PAIR, "test"), seed=os.urandom(32), now=0.0, capacity=1 << 40, warm=1e6, channel=channel
    )
    for number in range(8000):
        net.relay("a", "b", str(number), bytes(32), 0.0, entropy=os.urandom)
    blocks = [bytes(pads[at : at + 32]) for at in range(0, len(pads), 32)]
    assert len(set(blocks)) == len(blocks)
    for test in TESTS:
        assert test(bytes(pads)) > LEVEL, test.__name__


def test_a_share_on_disjoint_paths_is_independent_of_the_key() -> None:
    came, share = delivered(int(MEGABYTES * 1_000_000) // 16, Wish(disjoint=2))
    assert len(share) == len(came)
    for test in TESTS:
        assert test(xor(came, share)) > LEVEL, test.__name__
    agreement = np.unpackbits(np.frombuffer(xor(came, share), np.uint8)).mean()
    assert abs(agreement - 0.5) < 5 / math.sqrt(8 * len(came))


@pytest.mark.parametrize("count", [2, 3])
def test_whatever_shares_were_captured_every_key_is_still_possible(count: int) -> None:
    """All shares but one are at hand: for any key there are draws with which it splits into just these."""
    shares = split(os.urandom(32), count, os.urandom)
    for missing in range(count):
        captured = [share for place, share in enumerate(shares) if place != missing]
        for key in (bytes(32), b"\xff" * 32, os.urandom(32)):
            fitting = [*captured[:missing], join([key, *captured]), *captured[missing:]]
            draws = iter(fitting[:-1])
            assert split(key, count, lambda _, draws=draws: next(draws)) == fitting  # type: ignore[misc]
            assert join(fitting) == key


@pytest.mark.parametrize(
    "biased",
    [b"\x01" * 4000, bytes(4000), bytes(range(16)) * 400, b"\x55" * 4000],
    ids=["ones", "zeros", "few values", "alternating"],
)
def test_the_tests_can_fail(biased: bytes) -> None:
    assert min(test(biased) for test in TESTS) < LEVEL


def test_a_key_is_at_both_ends_and_nowhere_else_unless_a_node_is_compromised() -> None:
    chain = load("beijing-hefei")
    net = Network(chain, seed=os.urandom(32), now=0.0)
    key = os.urandom(32)
    net.compromise("jinan")
    net.compromise("zhengzhou")
    assert net.relay("beijing", "hefei", "k", key, 0.0, entropy=os.urandom).key == key
    assert {node: [each for _, each in kept] for node, kept in net.captured.items()} == {
        "jinan": [key], "zhengzhou": [],
    }  # fmt: skip
    held = Counter(name for name, node in net.nodes.items() if key in repr_of(node))
    assert held == Counter()
    net.nodes["jinan"].kept = [key]  # type: ignore[attr-defined]
    assert key in repr_of(net.nodes["jinan"]), "the search finds a key that is kept"


def repr_of(thing: object, depth: int = 0) -> bytes:
    """Every byte string that an object holds on to, joined."""
    if isinstance(thing, bytes | bytearray):
        return bytes(thing)
    if depth > 6:
        return b""
    inner: list[object] = []
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inner = list(thing)
    elif hasattr(thing, "__dict__"):
        inner = list(vars(thing).values())
    elif hasattr(thing, "__slots__"):
        inner = [getattr(thing, name, None) for name in thing.__slots__]
    return b"|".join(repr_of(each, depth + 1) for each in inner)
