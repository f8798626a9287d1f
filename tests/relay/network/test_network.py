"""The running network: keys cross it, cost what they should, and route around what is broken."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from relay.errors import NoKeyMaterial, UsageError
from relay.kme.keys import ANY_PATH, Wish
from relay.network import topology
from relay.network.key_relay import xor
from relay.network.link import BLOCK_BITS
from relay.network.network import Network, Relayed

KEY = bytes(range(32))
AGAIN = bytes(range(32, 64))
MAIN = topology.load("beijing-hefei").path("beijing", "hefei")


def network(
    *, warm: float = 60.0, channel: Callable[[str, str, bytes], bytes] = lambda a, b, f: f
) -> Network:
    return Network(topology.load("beijing-hefei"), seed=bytes(32), now=0.0, warm=warm, channel=channel)


def carry(net: Network, now: float = 0.0, wish: Wish = ANY_PATH, then: bytes = AGAIN) -> Relayed:
    def again() -> tuple[str, bytes]:
        return "again", then

    return net.relay("beijing", "hefei", "id", KEY, now, wish=wish, entropy=os.urandom, again=again)


def levels(net: Network) -> dict[str, float]:
    return {state.link.name: state.ends[0].level(0.0) for state in net.states}


def test_a_key_arrives_over_sixteen_nodes_no_sooner_than_light() -> None:
    arrived = carry(network())
    assert arrived.key == KEY
    assert arrived.paths == (MAIN,)
    assert len(arrived.hops) == 15
    assert arrived.delay > 1000 * 4.9e-6


def test_a_key_costs_512_bits_on_every_hop_and_nothing_elsewhere() -> None:
    net = network()
    before = levels(net)
    carry(net)
    spent = {name: before[name] - after for name, after in levels(net).items()}
    on_path = {f"{a}–{b}" for a, b in pairwise(MAIN)}
    assert {name for name, bits in spent.items() if bits} == on_path
    assert {spent[name] for name in on_path} == {512}


def test_both_ends_of_every_link_keep_the_same_books() -> None:
    net = network()
    for _ in range(20):
        carry(net)
    assert all(one.level(9.0) == other.level(9.0) for one, other in (state.ends for state in net.states))


def test_a_key_is_seen_in_clear_only_by_the_nodes_of_its_path() -> None:
    net, seen = network(), set()
    net.observe(lambda node, key_id, key: seen.add((node, key)))
    carry(net)
    assert seen == {(node, KEY) for node in MAIN}


def test_a_tampered_hop_is_detected_and_the_key_takes_another_way() -> None:
    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        return frame[:-1] + bytes([frame[-1] ^ 1]) if (sender, receiver) == ("jinan", "taian") else frame

    net, seen = network(channel=channel), set()
    net.observe(lambda node, key_id, key: seen.add((node, key_id, key)))
    arrived = carry(net)
    assert "zhengzhou" in arrived.paths[0]
    assert net.rejected == 1
    # What the first attempt showed to nodes that are not on this path is another key.
    assert (arrived.key_id, arrived.key) == ("again", AGAIN)
    assert {node for node, _, key in seen if key == AGAIN} == set(arrived.paths[0])
    assert {key for _, key_id, key in seen if key_id == "again"} == {AGAIN}


def test_a_key_that_must_not_change_is_sent_once() -> None:
    net = network(channel=lambda sender, receiver, frame: b"lost")
    with pytest.raises(NoKeyMaterial, match="1 paths failed"):
        net.relay("beijing", "hefei", "id", KEY, 0.0, entropy=os.urandom)
    assert net.rejected == 1


def test_a_frame_replayed_on_a_later_hop_is_not_taken_for_a_new_key() -> None:
    old: list[bytes] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if (sender, receiver) == ("jinan", "taian"):
            old.append(frame)
            return old[0]
        return frame

    net = network(channel=channel)
    carry(net)
    assert "zhengzhou" in carry(net).paths[0]


def test_a_cut_fibre_is_routed_around_and_used_again_once_mended() -> None:
    net = network()
    net.cut("jinan", "taian", 0.0)
    assert "zhengzhou" in carry(net).paths[0]
    net.restore("taian", "jinan", 0.0)
    assert carry(net).paths == (MAIN,)


def test_with_every_way_cut_there_is_no_key() -> None:
    net = network()
    net.cut("jinan", "taian", 0.0)
    net.cut("anyang", "hebi", 0.0)
    with pytest.raises(NoKeyMaterial):
        carry(net)


def test_an_eavesdropper_stops_the_rate_then_raises_the_alarm() -> None:
    net = network()
    net.eavesdrop("jinan", "taian", 0.2, 0.0)
    assert (net.state("jinan", "taian").condition, net.state("jinan", "taian").ends[0].rate) == ("no-key", 0)
    assert carry(net).paths == (MAIN,), "key made before the eavesdropper came is still good"
    before = net.state("jinan", "taian").ends[0].level(0.0)
    net.eavesdrop("jinan", "taian", 0.1, 0.0)
    assert net.state("jinan", "taian").ends[0].level(0.0) == before
    net.eavesdrop("jinan", "taian", 1.0, 0.0)
    assert [end.level(0.0) for end in net.state("jinan", "taian").ends] == [0, 0], "she was there before"
    assert net.state("jinan", "taian").condition == "alarm"
    assert "jinan" not in carry(net).paths[0]


def test_a_drained_link_is_avoided_until_it_has_filled() -> None:
    net = network()
    net.drain("jinan", "taian", 0.0)
    assert "jinan" not in carry(net).paths[0]
    assert carry(net, now=60.0).paths == (MAIN,)


def test_a_compromised_node_holds_every_key_it_saw_since_and_an_honest_one_none() -> None:
    net = network()
    carry(net)
    net.compromise("jinan")
    carry(net)
    assert list(net.captured["jinan"]) == [("id", KEY)]
    net.recover("jinan")
    assert net.captured == {}


def test_with_disjoint_paths_no_single_node_sees_the_key() -> None:
    net = network()
    seen: dict[str, list[bytes]] = {}
    net.observe(lambda node, key_id, key: seen.setdefault(node, []).append(key))
    arrived = carry(net, wish=Wish(disjoint=2))
    assert arrived.key == KEY
    assert len(arrived.paths) == 2
    assert all(KEY not in keys for keys in seen.values())


def test_with_disjoint_paths_no_node_learns_the_key_from_several_attempts_either() -> None:
    broken: list[str] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if receiver == "hefei" and not broken:  # the whole first attempt has passed, but for its last hop
            broken.append(sender)
            return b"lost"
        return frame

    grid = topology.parse(
        """name = "grid"
description = "modelled"
sites = ["beijing", "hefei"]
links = [
  { a = "beijing", b = "p", km = 50 }, { a = "p", b = "hefei", km = 50 }, { a = "p", b = "r", km = 50 },
  { a = "beijing", b = "q", km = 60 }, { a = "q", b = "hefei", km = 60 }, { a = "r", b = "hefei", km = 50 },
]""",
        "grid",
    )
    net = Network(grid, seed=bytes(32), now=0.0, channel=channel)
    seen: dict[str, list[bytes]] = {}
    net.observe(lambda node, key_id, key: seen.setdefault(node, []).append(key))
    assert carry(net, wish=Wish(disjoint=2)).key == AGAIN
    assert net.rejected == 1
    for node in ("p", "q", "r"):
        known = seen.get(node, [])
        for key in (KEY, AGAIN):
            assert key not in known
            assert all(xor(one, other) != key for one in known for other in known)


def test_more_disjoint_paths_than_there_are_is_a_wish_that_cannot_be_met() -> None:
    with pytest.raises(NoKeyMaterial) as refused:
        carry(network(), wish=Wish(disjoint=3))
    assert refused.value.code == "no-route"


@pytest.mark.parametrize(
    "wish",
    [Wish(max_hops=14), Wish(route=("beijing", "hefei")), Wish(route=("beijing",)), Wish(route=MAIN[:-1])],
)
def test_a_wish_that_no_path_meets_is_refused(wish: Wish) -> None:
    with pytest.raises(NoKeyMaterial) as refused:
        carry(network(), wish=wish)
    assert refused.value.code == "no-route"


def test_the_route_asked_for_is_taken() -> None:
    west = ("beijing", *(n for n in topology.load("beijing-hefei").nodes if n not in MAIN), "hefei")
    assert carry(network(), wish=Wish(route=west)).paths == (west,)


def test_fewest_hops_are_found_when_the_cheapest_path_has_too_many() -> None:
    net = network()
    for a, b in pairwise(MAIN):
        net.drain(a, b, 0.0)
    now = 30.0  # the eastern pools are fuller than a block, but emptier than the western ones
    assert len(carry(net, now, wish=Wish(max_hops=15)).paths[0]) == 16


def test_in_steady_state_the_weakest_link_sets_the_pace() -> None:
    net = network(warm=0.0)
    net.cut("anyang", "hebi", 0.0)
    weakest = min(net.state(a, b).quality.rate for a, b in pairwise(MAIN))
    carried = 0
    for tick in range(1, 2001):
        try:
            carry(net, now=tick * 0.01)
        except NoKeyMaterial:
            continue
        carried += 1
    assert carried / 20 == pytest.approx(weakest / BLOCK_BITS, rel=0.02)


@pytest.mark.parametrize("fault", ["cut", "drain", "restore"])
def test_a_fault_on_a_link_that_does_not_exist_is_a_usage_error(fault: str) -> None:
    with pytest.raises(UsageError, match="jinan has links to: yucheng, taian"):
        getattr(network(), fault)("jinan", "hefei", 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_an_eavesdropper_on_no_possible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        network().eavesdrop("jinan", "taian", share, 0.0)


def test_whatever_fails_no_link_key_is_used_twice() -> None:
    draw = random.Random(7)
    pads: list[tuple[frozenset[str], bytes]] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if draw.random() < 0.05:
            return bytes([frame[0] ^ 1]) + frame[1:]
        pads.append((frozenset((sender, receiver)), frame))
        return frame

    net = network(channel=channel)
    carried = 0
    for step in range(200):
        try:
            carried += carry(net, now=step, then=KEY).key == KEY
        except NoKeyMaterial:
            continue
    # One key in every frame: equal pads would show as equal 32-byte strings under the same link.
    padded = [(link, frame[frame.index(b"\xc4\x20") + 2 :][:32]) for link, frame in pads]
    assert carried > 100
    assert len(set(padded)) == len(padded)
