"""End keys cross trusted nodes alike, whether these run in one process or each in its own.

What only one of both can show is in ``test_network`` (a network that knows all of its links at once) and in
``test_process`` (messages that are lost or overtake each other, nodes that crash, news that travels).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.errors import NoKeyMaterial, UsageError
from relay.kme.keys import EndKey, Wish
from relay.network.key_relay import xor
from relay.network.topology import load, parse
from tests.relay.worlds import AGAIN, DIAMOND, KEY, World

USUAL, OTHER = ("a", "x", "b"), ("a", "y", "b")
GRID = parse(
    """name = "grid"
description = "modelled"
sites = ["a", "b"]
links = [
  { a = "a", b = "p", km = 50 }, { a = "p", b = "b", km = 50 }, { a = "p", b = "r", km = 50 },
  { a = "a", b = "q", km = 60 }, { a = "q", b = "b", km = 60 }, { a = "r", b = "b", km = 50 },
]""",
    "test",
)


@pytest.fixture
async def grid(kind: type[World], tmp_path: Path) -> AsyncIterator[World]:
    """Two sites with ways of which no two are disjoint but one pair."""
    made = await kind.start(tmp_path, GRID)
    yield made
    made.close()


async def spied(world: World) -> World:
    """Let every node write down what it sees."""
    for name in world.topology.nodes:
        await world.disturb("compromise", name)
    return world


def seen(world: World) -> dict[str, set[bytes]]:
    """What each node saw, where that is anything."""
    kept = {name: {key for _, key in world.captured(name) or ()} for name in world.topology.nodes}
    return {name: keys for name, keys in kept.items() if keys}


# The way of a key


async def test_a_key_arrives_with_its_path_and_the_report_of_every_hop(world: World) -> None:
    sent = await world.carry()
    got = world.arrived()
    assert got.key == sent.key == KEY
    assert got.paths == sent.paths == (USUAL,)
    assert got.qber == sent.qber
    assert (len(got.qber), len(got.age)) == (2, 2)


async def test_a_key_arrives_over_sixteen_nodes_no_sooner_than_light(
    kind: type[World], tmp_path: Path
) -> None:
    world = await kind.start(tmp_path, load("beijing-hefei"))
    arrived = await world.carry()
    assert (arrived.key, len(arrived.paths[0]), len(arrived.qber)) == (KEY, 16, 15)
    assert arrived.ready_at - world.now > 1000 * 4.9e-6
    world.close()


async def test_a_key_costs_512_bits_on_every_hop_and_nothing_elsewhere_and_both_ends_agree(
    world: World,
) -> None:
    for number in range(3):
        await world.carry(f"k{number}")
    used, unused = [(3 * 512, 0)] * 2, [(0, 0)] * 2
    assert world.spent() == {"a–x": used, "x–b": used, "y–a": unused, "b–y": unused}
    for link in DIAMOND.links:
        one, other = world.ends(link.a, link.b)
        assert one.level(world.now + 9) == other.level(world.now + 9)


async def test_a_key_is_seen_in_clear_only_by_the_nodes_of_its_path(world: World) -> None:
    await (await spied(world)).carry()
    assert seen(world) == {name: {KEY} for name in USUAL}
    assert all(KEY not in frame for _, _, frame in world.frames)


@pytest.mark.parametrize("garbled", [lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]), lambda _: b"lost"])
async def test_a_tampered_hop_is_detected_and_another_key_takes_another_way(
    world: World, garbled: object
) -> None:
    assert callable(garbled)
    world.channel = lambda sender, receiver, frame: (
        garbled(frame) if receiver == "b" and sender == "x" else frame
    )
    arrived = await (await spied(world)).carry()
    # What the first attempt showed to x, which is not on this path, is another key.
    assert (arrived.key_id, arrived.key, arrived.paths) == ("k'", AGAIN, (OTHER,))
    assert world.arrived("k'").key == AGAIN
    assert {name for name, keys in seen(world).items() if AGAIN in keys} == set(OTHER)


async def test_a_key_that_must_not_change_is_sent_once(world: World) -> None:
    world.channel = lambda sender, receiver, frame: b"lost"
    with pytest.raises(NoKeyMaterial, match="1 paths failed"):
        await world.carry(then=None)
    assert len(world.frames) == 1


async def test_a_frame_replayed_on_a_later_hop_is_not_taken_for_a_new_key(world: World) -> None:
    old: list[bytes] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if (sender, receiver) != ("x", "b"):
            return frame
        old.append(frame)
        return old[0]

    world.channel = channel
    await world.carry("first")
    again = await world.carry("second")
    assert again.key == AGAIN
    assert world.arrived("first").key == KEY
    assert world.arrived("second'").key == AGAIN


async def test_whatever_fails_no_link_key_is_used_twice(world: World) -> None:
    draw, carried = random.Random(7), 0

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        return bytes([frame[0] ^ 1]) + frame[1:] if draw.random() < 0.05 else frame

    world.channel = channel
    for number in range(200):
        try:
            carried += (await world.carry(f"k{number}", then=KEY)).key == KEY
        except NoKeyMaterial:
            world.now += 3
    # The end key is the same every time, so equal pads would show as equal bytes.
    assert carried > 100
    assert len(set(world.pads())) == len(world.pads()) > 2 * carried


# Wishes


async def test_disjoint_shares_meet_only_at_the_target(world: World) -> None:
    arrived = await (await spied(world)).carry(wish=Wish(disjoint=2))
    assert world.arrived().key == arrived.key == KEY
    assert sorted(arrived.paths) == [USUAL, OTHER]
    [of_x], [of_y] = seen(world)["x"], seen(world)["y"]
    assert KEY not in (of_x, of_y)
    assert xor(of_x, of_y) == KEY


async def test_with_disjoint_paths_no_node_learns_the_key_from_several_attempts_either(grid: World) -> None:
    broken: list[str] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if receiver == "b" and not broken:  # the first share has passed, but for its last hop
            broken.append(sender)
            return b"lost"
        return frame

    grid.channel = channel
    arrived = await (await spied(grid)).carry(wish=Wish(disjoint=2))
    assert (arrived.key, len(arrived.paths), len(broken)) == (AGAIN, 2, 1)
    for name in ("p", "q", "r"):
        known = seen(grid).get(name, set())
        for key in (KEY, AGAIN):
            assert key not in known
            assert all(xor(one, other) != key for one in known for other in known)


@pytest.mark.parametrize(
    "wish",
    [Wish(disjoint=3), Wish(max_hops=1), Wish(route=("a", "b")), Wish(route=("a",)), Wish(route=("a", "x"))],
)
async def test_a_wish_that_no_path_meets_is_refused_and_nothing_is_spent(world: World, wish: Wish) -> None:
    with pytest.raises(NoKeyMaterial) as refused:
        await world.carry(wish=wish)
    assert refused.value.code == "no-route"
    assert world.frames == []


async def test_the_route_asked_for_is_taken(world: World) -> None:
    assert (await world.carry(wish=Wish(route=OTHER))).paths == (OTHER,)


# Faults


@pytest.mark.parametrize(("action", "condition"), [("cut", "cut"), ("eve", "alarm"), ("drain", "empty")])
@pytest.mark.parametrize("link", [("a", "x"), ("x", "b")], ids=["of the source", "of others"])
async def test_a_disturbed_link_is_gone_around_seen_and_used_again_once_restored(
    world: World, action: str, condition: str, link: tuple[str, str]
) -> None:
    await world.disturb(action, *link)
    await world.tend()
    assert (await world.carry()).paths == (OTHER,)
    outlook = world.carriers["kme-a"].outlook("kme-b")
    assert outlook.path == OTHER
    assert [(each.a, each.b, each.condition) for each in outlook.faults] == [(*link, condition)]
    await world.disturb("restore", *link)
    world.now += 60
    await world.settle()
    assert world.carriers["kme-a"].outlook("kme-b").faults == ()
    assert (await world.carry("later")).paths == (USUAL,)


async def test_with_every_way_cut_there_is_no_key_and_no_budget(world: World) -> None:
    await world.disturb("cut", "a", "x")
    await world.disturb("cut", "b", "y")
    await world.tend()
    with pytest.raises(NoKeyMaterial, match="no path from a to b"):
        await world.carry()
    assert world.carriers["kme-a"].budget("kme-b") == (0, 0.0)
    assert world.carriers["kme-a"].outlook("kme-b").path == ()


async def test_an_eavesdropper_stops_the_rate_before_she_raises_the_alarm(world: World) -> None:
    await world.disturb("eve", "a", "x", share=0.2)
    assert [end.rate for end in world.ends("a", "x")] == [0, 0]
    assert (await world.carry()).paths == (USUAL,), "key made before the eavesdropper came is still good"


@pytest.mark.parametrize(("share", "left"), [(0.01, True), (1.0, False)])
async def test_the_pool_is_void_when_the_alarm_rises_and_only_then(
    world: World, share: float, left: bool
) -> None:
    await world.disturb("eve", "a", "x", share=share)
    assert [end.level(world.now) > 0 for end in world.ends("a", "x")] == [left, left]


@pytest.mark.parametrize("action", ["eve", "drain"])
async def test_stock_that_came_over_a_link_not_to_be_trusted_or_relied_on_is_void(
    world: World, action: str
) -> None:
    for way in (USUAL, OTHER):
        key = await world.carry("over " + way[1], wish=Wish(route=way))
        world.stores["kme-a"].add_stock("kme-b", [key], owned=True, expires=world.now + 99)
    await world.disturb(action, "x", "b")
    assert [key.key_id for key in world.stores["kme-a"].take_stock("kme-b", 9, world.now)] == ["over y"]


async def test_a_compromised_node_writes_down_what_it_sees_from_then_on_until_it_is_honest(
    world: World,
) -> None:
    await world.carry("before")
    await world.disturb("compromise", "x")
    await world.carry("k")
    assert world.captured("y") is None
    await world.disturb("compromise", "x")
    assert set(world.captured("x") or ()) == {("k", KEY)}, "what is written down stays"
    await world.disturb("restore", "x")
    assert world.captured("x") is None


async def test_a_compromised_site_gives_away_its_stock_what_waits_and_what_it_makes(world: World) -> None:
    await world.carry("stock")
    world.stores["kme-b"].hold(EndKey("waiting", AGAIN, (("b",),)), "m", ("s",), expires=world.now + 999)
    await world.disturb("compromise", "b")
    world.saw("b", "made", KEY)
    assert set(world.captured("b") or ()) == {("stock", KEY), ("waiting", AGAIN), ("made", KEY)}


async def test_a_fault_that_cannot_be_is_a_usage_error_and_nothing_happens(world: World) -> None:
    with pytest.raises(UsageError, match="a has links to"):
        await world.disturb("cut", "a", "b")
    with pytest.raises(UsageError, match="between 0 and 1"):
        await world.disturb("eve", "a", "x", share=1.5)
    assert (await world.carry()).paths == (USUAL,)


# Budgets


async def test_the_budget_is_that_of_the_way_a_key_would_take(world: World) -> None:
    left, rate = world.carriers["kme-a"].budget("kme-b")
    links = [DIAMOND.link("a", "x"), DIAMOND.link("x", "b")]
    assert left == int(min(world.ends(link.a, link.b)[0].level(world.now) for link in links) // 512)
    assert rate == pytest.approx(min(link.quality().rate for link in links) / 512)
    await world.carry()
    assert world.carriers["kme-a"].budget("kme-b")[0] == left - 1


async def test_calls_of_one_site_count_on_the_links_they_share_with_those_of_another(world: World) -> None:
    way = world.carriers["kme-b"].way("kme-a")
    assert [link.name for link in way] == ["x–b", "a–x"]
    world.reservations("b").renew("sae", "kme-a", way, world.now + 6)
    world.now += 6
    await world.settle()
    assert [world.reservations("a").carried(link.name) for link in way] == [1, 1]
