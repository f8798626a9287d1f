"""Nodes that only exchange messages: what a crash, a lost answer or a full disk may not break, and news.

What they do as a network in one process does is in ``test_relaying``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from relay.errors import NoKeyMaterial, StorageError
from relay.kme.keys import Assignment, NotHeld
from relay.network.faults import FaultRequest, understood
from relay.network.topology import parse
from relay.network.wire import LinkOffer, PeerFailed
from tests.relay.worlds import AGAIN, DIAMOND, KEY, Processes

STAR = parse(
    """name = "star"
description = "modelled"
sites = ["a", "b", "c"]
links = [{ a = "m", b = "a", km = 30 }, { a = "m", b = "b", km = 30 }, { a = "m", b = "c", km = 30 }]""",
    "test",
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Processes]:
    made = Processes(tmp_path)
    await made.tend()
    yield made
    made.close()


async def test_a_node_that_is_gone_is_gone_around(world: Processes) -> None:
    del world.nodes["x"]
    assert (await world.carry()).paths == (("a", "y", "b"),)


async def test_a_node_that_is_back_gets_new_link_secrets_and_is_used_again(world: Processes) -> None:
    await world.carry("k1")
    world.boot("x")
    before = len(world.secrets)
    assert (await world.carry("k2")).paths == (("a", "y", "b"),)
    for _ in range(8):
        await world.tend()
        world.now += 1.5
    assert len(world.secrets) > before
    assert len(set(world.secrets)) == len(world.secrets)
    assert (await world.carry("k3")).paths == (("a", "x", "b"),)


@pytest.mark.parametrize("crashed", ["a", "x", "b"])
async def test_whoever_crashes_no_frame_is_ever_padded_with_the_same_bits(
    world: Processes, crashed: str
) -> None:
    for number in range(6):
        await world.carry(f"k{number}")
        if number == 2:
            world.now += 5
            world.boot(crashed)
            await world.tend()
            world.now += 5
    # The end key is the same every time, so equal pads would show as equal bytes.
    assert len(set(world.pads())) == len(world.pads()) >= 12


async def test_an_offer_repeated_does_not_rewind_a_link(world: Processes) -> None:
    offer = LinkOffer(b"session", bytes(32), True)
    body = msgspec.msgpack.encode(offer)
    await world.nodes["x"].handle("a", "link", body)
    world.nodes["x"].node.links["a"].end.reserve(world.now)
    await world.nodes["x"].handle("a", "link", body)
    assert world.nodes["x"].node.links["a"].end.reserve(world.now).index == 1


async def test_a_link_is_opened_only_by_the_node_it_belongs_to(world: Processes) -> None:
    body = msgspec.msgpack.encode(LinkOffer(b"session", bytes(32)))
    for stranger in ("b", "y"):
        with pytest.raises(PeerFailed) as refused:
            await world.nodes["a"].handle("x" if stranger == "b" else "b", "link", body)
        assert refused.value.fault.code == "bad-link"


async def test_a_key_whose_answer_was_lost_is_replaced_by_one_that_only_its_path_knows(
    world: Processes,
) -> None:
    seen: dict[str, list[bytes]] = {name: [] for name in world.nodes}
    for name, node in world.nodes.items():
        node.node.observer = lambda _, key_id, key, name=name: seen[name].append(key)  # type: ignore[misc]
    world.lost_acks = 1
    sent = await world.carry()
    assert len(world.frames) >= 3
    assert (sent.key_id, sent.key, sent.paths) == ("k'", AGAIN, (("a", "y", "b"),))
    assert world.arrived("k'").key == AGAIN
    assert {name for name, keys in seen.items() if AGAIN in keys} == {"a", "y", "b"}


async def test_keys_that_overtake_each_other_all_arrive_and_no_link_is_left_out(world: Processes) -> None:
    world.overtaking = 8
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(world.carry(f"k{number}"))
    assert [world.arrived(f"k{number}").key for number in range(8)] == [KEY] * 8
    ends = [world.nodes["x"].node.links[other].end for other in ("a", "b")]
    assert [(end.spent_bits, end.lost_bits) for end in ends] == [(8 * 512, 0)] * 2


async def test_a_node_that_answers_noise_is_gone_around(world: Processes) -> None:
    world.babbling["frame"] = "x"
    assert (await world.carry()).paths == (("a", "y", "b"),)


async def test_a_neighbour_that_answers_noise_counts_as_gone_until_it_makes_sense(world: Processes) -> None:
    world.babbling["link"] = "x"
    await world.nodes["a"].tend()
    assert [(each.a, each.b, each.condition) for each in world.nodes["a"].outlook("kme-b").faults] == [
        ("a", "x", "down")
    ]
    world.babbling.clear()
    await world.nodes["a"].tend()
    assert (await world.carry()).paths == (("a", "x", "b"),)


@pytest.mark.parametrize("full", ["x", "b"], ids=["of the node that opens links", "of the one that is asked"])
async def test_a_link_that_a_full_disk_cannot_remember_opens_once_there_is_room_and_others_before(
    tmp_path: Path, full: str
) -> None:
    world = Processes(tmp_path)
    world.full_disks.add(full)
    for node in world.nodes.values():
        with contextlib.suppress(StorageError):
            await node.tend()
    assert "y" in world.nodes["a"].node.links
    assert "b" not in world.nodes["x"].node.links
    world.full_disks.clear()
    await world.tend()
    ends = world.nodes["x"].node.links["b"].end, world.nodes["b"].node.links["x"].end
    assert ends[0].level(world.now) == ends[1].level(world.now) > 0
    assert (await world.carry()).paths == (("a", "x", "b"),)
    assert world.memories["x"].opened == {"a", "b"}
    world.close()


async def test_a_node_whose_disk_is_full_says_so_once_it_has_tended_every_link(tmp_path: Path) -> None:
    world = Processes(tmp_path, STAR)
    world.full_disks.add("m")
    with pytest.raises(StorageError, match="No space left"):
        await world.nodes["m"].tend()
    assert len(world.secrets) == 3, "every neighbour was asked"
    world.close()


async def test_a_replayed_frame_is_refused(world: Processes) -> None:
    await world.carry()
    sender, receiver, frame = world.frames[0]
    with pytest.raises(PeerFailed) as refused:
        await world.nodes[receiver].handle(sender, "frame", frame)
    assert (refused.value.fault.a, refused.value.fault.b) == (sender, receiver)


async def test_a_frame_of_another_sender_is_refused(world: Processes) -> None:
    await world.carry()
    _, receiver, frame = world.frames[0]
    with pytest.raises(PeerFailed):
        await world.nodes[receiver].handle("b", "frame", frame)


@pytest.mark.parametrize("action", ["link", "frame", "assign", "format-disk"])
async def test_noise_is_refused(world: Processes, action: str) -> None:
    with pytest.raises(PeerFailed):
        await world.nodes["b"].handle("x", action, b"\xc1noise")


async def test_a_node_assigns_only_keys_that_it_relayed_itself(world: Processes) -> None:
    await world.carry()
    stolen = msgspec.msgpack.encode((Assignment("k", ("k",), 256, "thief", ("thief",)),))
    with pytest.raises(PeerFailed) as refused:
        await world.nodes["b"].handle("x", "assign", stolen)
    assert refused.value.fault.code == NotHeld.code


async def test_an_assignment_reaches_the_other_site(world: Processes) -> None:
    await world.carry()
    await world.nodes["a"].assign("kme-b", [Assignment("k", ("k",), 256, "m", ("s",))], world.now)
    assert world.stores["kme-b"].deliver("m", "s", ["k"], world.now)[0].key == KEY
    with pytest.raises(NotHeld):
        await world.nodes["a"].assign("kme-b", [Assignment("k", ("k",), 256, "m", ("s",))], world.now)


async def test_with_every_way_gone_there_is_no_key(world: Processes) -> None:
    del world.nodes["x"], world.nodes["y"]
    with pytest.raises(NoKeyMaterial):
        await world.carry()
    assert world.nodes["a"].budget("kme-b") == (0, 0.0)


def fault(action: str, *names: str, share: float = 1.0) -> FaultRequest:
    return understood({"action": action, "names": list(names), "share": share}, DIAMOND)


async def test_a_disturbance_outlives_the_link_session(world: Processes) -> None:
    world.nodes["x"].disturb(fault("cut", "x", "b"))
    world.boot("b")
    await world.tend()
    world.now += 5
    assert [row["condition"] for row in world.nodes["x"].report() if row["b"] == "b"] == ["cut"]
    assert (await world.carry()).paths == (("a", "y", "b"),)


@pytest.mark.parametrize("restarted", ["a", "x"])
async def test_a_restart_makes_no_key_that_no_link_made(world: Processes, restarted: str) -> None:
    world.boot(restarted)
    await world.tend()
    ends = world.nodes["a"].node.links["x"].end, world.nodes["x"].node.links["a"].end
    assert [end.level(world.now) for end in ends] == [0, 0]


@pytest.mark.parametrize("restarted", ["a", "x"])
async def test_a_restart_forgets_no_fault(world: Processes, restarted: str) -> None:
    for name in ("a", "x"):
        world.nodes[name].disturb(fault("cut", "a", "x"))
        world.nodes[name].disturb(fault("compromise", restarted))
    world.boot(restarted)
    await world.tend()
    world.now += 5
    [row] = [row for row in world.nodes[restarted].report() if {row["a"], row["b"]} == {"a", "x"}]
    assert (row["condition"], row["rate"], row["pool"]) == ("cut", 0, 0)
    assert world.nodes[restarted].captured is not None
    assert (await world.carry()).paths == (("a", "y", "b"),)


RING = parse(
    """name = "ring"
description = "modelled: two ways from a to b, each with a link that neither of them ends"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "z", km = 30 }, { a = "z", b = "b", km = 30 },
  { a = "a", b = "y", km = 40 }, { a = "y", b = "w", km = 40 }, { a = "w", b = "b", km = 40 },
]""",
    "test",
)


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Processes]:
    made = Processes(tmp_path, RING)
    await made.tend()
    yield made
    made.close()


async def settled(world: Processes) -> None:
    """Time for news to come around."""
    for _ in range(12):
        await world.tend()
        world.now += 0.25


async def test_a_fault_on_a_link_of_others_is_seen_from_afar_before_any_key_meets_it(ring: Processes) -> None:
    seen = ring.nodes["a"].outlook("kme-b")
    assert (seen.path, seen.faults) == (("a", "x", "z", "b"), ())
    for action, link, way in (
        ("cut", ("x", "z"), ("a", "y", "w", "b")),
        ("eve", ("y", "w"), ()),
    ):
        for name in link:
            ring.nodes[name].disturb(understood({"action": action, "names": list(link)}, RING))
        await settled(ring)
        assert ring.nodes["a"].outlook("kme-b").path == way
    faults = {(each.a, each.b, each.condition) for each in ring.nodes["a"].outlook("kme-b").faults}
    assert faults == {("x", "z", "cut"), ("y", "w", "alarm")}
    assert ring.nodes["a"].way("kme-b") == ()
    for node in ring.nodes.values():
        node.disturb(understood({"action": "restore", "names": []}, RING))
    await settled(ring)
    seen = ring.nodes["a"].outlook("kme-b")
    assert (seen.path, seen.faults) == (("a", "x", "z", "b"), ())
    assert [hop["state"] for hop in seen.hops] == ["up"] * 3


async def test_a_node_that_died_afar_is_seen_as_links_that_are_down(ring: Processes) -> None:
    await settled(ring)
    del ring.nodes["z"]
    await settled(ring)
    seen = ring.nodes["a"].outlook("kme-b")
    assert seen.path == ("a", "y", "w", "b")
    assert {(each.a, each.b, each.condition) for each in seen.faults} == {
        ("x", "z", "down"),
        ("z", "b", "down"),
    }


async def test_a_pool_that_was_drained_afar_is_known_and_fills_again(ring: Processes) -> None:
    for name in ("x", "z"):
        ring.nodes[name].disturb(understood({"action": "drain", "names": ["x", "z"]}, RING))
    ring.now += 6  # the next time that levels are told
    for name in ("x", "z"):
        ring.nodes[name].disturb(understood({"action": "drain", "names": ["x", "z"]}, RING))
    await settled(ring)
    [told] = [link for link in ring.nodes["a"].way("kme-b") if link.name == RING.link("x", "z").name]
    end = ring.nodes["x"].node.links["z"].end
    assert told.left == pytest.approx(end.level(ring.now) / 512, rel=0.01)


async def test_calls_of_other_sites_count_on_the_links_they_share(ring: Processes) -> None:
    way = ring.nodes["b"].way("kme-a")
    ring.nodes["b"].reservations.renew("sae", "kme-a", way, ring.now)
    ring.now += 6
    await settled(ring)
    assert [ring.nodes["a"].reservations.carried(link.name) for link in way] == [1, 1, 1]
