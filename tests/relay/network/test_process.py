"""Nodes that only exchange messages: the same relay as in one process, and what a crash may not break."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from relay.errors import NoKeyMaterial, StorageError
from relay.kme.keys import ANY_PATH, Assignment, EndKey, NotHeld, Wish
from relay.kme.keystore import SqliteKeyStore
from relay.network.faults import FaultRequest, understood
from relay.network.memory import Memory
from relay.network.process import NodeProcess
from relay.network.topology import Topology, parse
from relay.network.wire import Fault, LinkOffer, PeerFailed

DIAMOND = parse(
    """name = "diamond"
description = "modelled"
sites = ["a", "b"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "y", b = "a", km = 50 }, { a = "b", b = "y", km = 50 },
]""",
    "test",
)
STAR = parse(
    """name = "star"
description = "modelled"
sites = ["a", "b", "c"]
links = [{ a = "m", b = "a", km = 30 }, { a = "m", b = "b", km = 30 }, { a = "m", b = "c", km = 30 }]""",
    "test",
)
KEY = bytes(range(32))
AGAIN = bytes(range(32, 64))
UNIX = 1_800_000_000.0


class World:
    """The nodes of a topology, joined by function calls. ``wire`` may change what is under way."""

    def __init__(self, directory: Path, topology: Topology = DIAMOND) -> None:
        self.now = 100.0
        self.draw = random.Random(3)
        self.topology = topology
        self.stores = {
            s: SqliteKeyStore(directory / f"{s}.db", bytes(32), boot_id="x") for s in topology.sites
        }
        self.nodes: dict[str, NodeProcess] = {}
        self.memories: dict[str, Memory] = {}
        self.secrets: list[bytes] = []
        self.frames: list[tuple[str, str, bytes]] = []
        self.lost_acks = 0
        self.full_disks: set[str] = set()
        self.babbling: dict[str, str] = {}
        """By action: the node that answers it with noise."""
        self.overtaking = 0
        """So many frames over the first hop are collected and handed on in reverse."""
        self.held: list[asyncio.Event] = []
        for name in topology.nodes:
            self.boot(name)

    def remember(self, name: str, memory: Memory) -> None:
        if name in self.full_disks:
            raise StorageError(f"cannot write links.json of {name}: No space left on device")
        self.memories[name] = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)

    def boot(self, name: str) -> None:
        """Start a node, or start it again with what it saved."""
        self.nodes[name] = NodeProcess(
            name, self.topology, _Calls(self, name), clock=lambda: self.now, unix=lambda: UNIX + self.now,
            entropy=self.draw.randbytes, store=self.stores.get(name),
            memory=self.memories.setdefault(name, Memory()), remember=functools.partial(self.remember, name),
        )  # fmt: skip

    async def overtake(self, to: str) -> None:
        """Hold a frame back until those that were sent after it have gone."""
        if to != "x" or not self.overtaking:
            return
        mine = asyncio.Event()
        self.held.append(mine)
        if len(self.held) == self.overtaking:
            mine.set()
        await mine.wait()
        place = self.held.index(mine)
        if place:
            asyncio.get_running_loop().call_soon(self.held[place - 1].set)

    async def tend(self) -> None:
        for node in list(self.nodes.values()):
            await node.tend()

    async def carry(self, key_id: str = "k", wish: Wish = ANY_PATH) -> EndKey:
        def again() -> tuple[str, bytes]:
            return key_id + "'", AGAIN

        return await self.nodes["a"].carry(
            "kme-b", key_id, KEY, wish, self.draw.randbytes, UNIX + self.now, again
        )

    def arrived(self, key_id: str = "k") -> EndKey:
        """Take the key out of the store of b, as if its master had assigned it."""
        now = UNIX + self.now
        self.stores["b"].assign(
            "kme-a", [Assignment(key_id, (key_id,), 256, "m", ("s",))], ready_at=0, expires=now + 9
        )
        return self.stores["b"].deliver("m", "s", [key_id], now)[0]


class _Calls:
    """A node's way to the others; a node that is not there does not answer."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    async def ask(self, node: str, action: str, body: bytes, *, timeout: float) -> bytes:
        if node not in self._world.nodes:
            raise PeerFailed(Fault("node-down", "down", self._name, node))
        if action == "link" and (secret := msgspec.msgpack.decode(body)[1]):
            self._world.secrets.append(secret)
        if action == "frame":
            self._world.frames.append((self._name, node, body))
            await self._world.overtake(node)
        answer = await self._world.nodes[node].handle(self._name, action, body)
        if self._world.babbling.get(action) == node:
            return b"\xc1noise"
        if action == "frame" and self._world.lost_acks:
            self._world.lost_acks -= 1
            raise PeerFailed(Fault("node-down", "lost", self._name, node))
        return answer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.tend()
    yield made
    for store in made.stores.values():
        store.close()


async def test_a_key_arrives_with_its_path_and_the_report_of_every_hop(world: World) -> None:
    sent = await world.carry()
    got = world.arrived()
    assert got.key == sent.key == KEY
    assert got.paths == sent.paths == (("a", "x", "b"),)
    assert got.qber == sent.qber
    assert len(got.qber) == 2


async def test_a_key_costs_512_bits_on_every_hop_and_both_ends_agree(world: World) -> None:
    await world.carry()
    for one, other in (("a", "x"), ("x", "b")):
        ends = world.nodes[one].node.links[other].end, world.nodes[other].node.links[one].end
        assert [end.spent_bits for end in ends] == [512, 512]
        assert ends[0].level(world.now) == ends[1].level(world.now)
    assert world.nodes["y"].node.links["a"].end.spent_bits == 0


async def test_disjoint_shares_meet_only_at_the_target(world: World) -> None:
    seen: dict[str, list[bytes]] = {}
    for name in ("x", "y"):
        world.nodes[name].node.observer = lambda node, key_id, key: seen.setdefault(node, []).append(key)
    await world.carry(wish=Wish(disjoint=2))
    assert world.arrived().key == KEY
    assert {name: KEY in keys for name, keys in seen.items()} == {"x": False, "y": False}


async def test_a_node_that_is_gone_is_gone_around(world: World) -> None:
    del world.nodes["x"]
    assert (await world.carry()).paths == (("a", "y", "b"),)


async def test_a_node_that_is_back_gets_new_link_secrets_and_is_used_again(world: World) -> None:
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
async def test_whoever_crashes_no_frame_is_ever_padded_with_the_same_bits(world: World, crashed: str) -> None:
    for number in range(6):
        await world.carry(f"k{number}")
        if number == 2:
            world.now += 5
            world.boot(crashed)
            await world.tend()
            world.now += 5
    # The end key is the same every time, so equal pads would show as equal bytes.
    padded = [frame[frame.index(b"\xc4\x20") + 2 :][:32] for _, _, frame in world.frames]
    assert len(set(padded)) == len(padded) >= 12


async def test_an_offer_repeated_does_not_rewind_a_link(world: World) -> None:
    offer = LinkOffer(b"session", bytes(32), True)
    body = msgspec.msgpack.encode(offer)
    await world.nodes["x"].handle("a", "link", body)
    world.nodes["x"].node.links["a"].end.reserve(world.now)
    await world.nodes["x"].handle("a", "link", body)
    assert world.nodes["x"].node.links["a"].end.reserve(world.now).index == 1


async def test_a_link_is_opened_only_by_the_node_it_belongs_to(world: World) -> None:
    body = msgspec.msgpack.encode(LinkOffer(b"session", bytes(32)))
    for stranger in ("b", "y"):
        with pytest.raises(PeerFailed) as refused:
            await world.nodes["a"].handle("x" if stranger == "b" else "b", "link", body)
        assert refused.value.fault.code == "bad-link"


async def test_a_key_whose_answer_was_lost_is_replaced_by_one_that_only_its_path_knows(world: World) -> None:
    seen: dict[str, list[bytes]] = {name: [] for name in world.nodes}
    for name, node in world.nodes.items():
        node.node.observer = lambda _, key_id, key, name=name: seen[name].append(key)  # type: ignore[misc]
    world.lost_acks = 1
    sent = await world.carry()
    assert len(world.frames) >= 3
    assert (sent.key_id, sent.key, sent.paths) == ("k'", AGAIN, (("a", "y", "b"),))
    assert world.arrived("k'").key == AGAIN
    assert {name for name, keys in seen.items() if AGAIN in keys} == {"a", "y", "b"}


async def test_keys_that_overtake_each_other_all_arrive_and_no_link_is_left_out(world: World) -> None:
    world.overtaking = 8
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(world.carry(f"k{number}"))
    assert [world.arrived(f"k{number}").key for number in range(8)] == [KEY] * 8
    ends = [world.nodes["x"].node.links[other].end for other in ("a", "b")]
    assert [(end.spent_bits, end.lost_bits) for end in ends] == [(8 * 512, 0)] * 2


async def test_a_node_that_answers_noise_is_gone_around(world: World) -> None:
    world.babbling["frame"] = "x"
    assert (await world.carry()).paths == (("a", "y", "b"),)


async def test_a_neighbour_that_answers_noise_counts_as_gone_until_it_makes_sense(world: World) -> None:
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
    world = World(tmp_path)
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
    for store in world.stores.values():
        store.close()


async def test_a_node_whose_disk_is_full_says_so_once_it_has_tended_every_link(tmp_path: Path) -> None:
    world = World(tmp_path, STAR)
    world.full_disks.add("m")
    with pytest.raises(StorageError, match="No space left"):
        await world.nodes["m"].tend()
    assert len(world.secrets) == 3, "every neighbour was asked"
    for store in world.stores.values():
        store.close()


async def test_a_replayed_frame_is_refused(world: World) -> None:
    await world.carry()
    sender, receiver, frame = world.frames[0]
    with pytest.raises(PeerFailed) as refused:
        await world.nodes[receiver].handle(sender, "frame", frame)
    assert (refused.value.fault.a, refused.value.fault.b) == (sender, receiver)


async def test_a_frame_of_another_sender_is_refused(world: World) -> None:
    await world.carry()
    _, receiver, frame = world.frames[0]
    with pytest.raises(PeerFailed):
        await world.nodes[receiver].handle("b", "frame", frame)


@pytest.mark.parametrize("action", ["link", "frame", "assign", "format-disk"])
async def test_noise_is_refused(world: World, action: str) -> None:
    with pytest.raises(PeerFailed):
        await world.nodes["b"].handle("x", action, b"\xc1noise")


async def test_a_node_assigns_only_keys_that_it_relayed_itself(world: World) -> None:
    await world.carry()
    stolen = msgspec.msgpack.encode((Assignment("k", ("k",), 256, "thief", ("thief",)),))
    with pytest.raises(PeerFailed) as refused:
        await world.nodes["b"].handle("x", "assign", stolen)
    assert refused.value.fault.code == NotHeld.code


async def test_an_assignment_reaches_the_other_site(world: World) -> None:
    await world.carry()
    await world.nodes["a"].assign("kme-b", [Assignment("k", ("k",), 256, "m", ("s",))], UNIX)
    assert world.stores["b"].deliver("m", "s", ["k"], UNIX + world.now)[0].key == KEY
    with pytest.raises(NotHeld):
        await world.nodes["a"].assign("kme-b", [Assignment("k", ("k",), 256, "m", ("s",))], UNIX)


async def test_with_every_way_gone_there_is_no_key(world: World) -> None:
    del world.nodes["x"], world.nodes["y"]
    with pytest.raises(NoKeyMaterial):
        await world.carry()
    assert world.nodes["a"].budget("kme-b") == (0, 0.0)


async def test_the_budget_is_that_of_the_weakest_link_known(world: World) -> None:
    left, rate = world.nodes["a"].budget("kme-b")
    assert left == int(world.nodes["a"].node.links["x"].end.level(world.now) // 512)
    assert rate == pytest.approx(DIAMOND.link("a", "x").quality().rate / 512)


def fault(action: str, *names: str, share: float = 1.0) -> FaultRequest:
    return understood({"action": action, "names": list(names), "share": share}, DIAMOND)


@pytest.mark.parametrize(("action", "condition"), [("cut", "cut"), ("eve", "alarm"), ("drain", "empty")])
async def test_a_disturbed_link_is_gone_around_and_seen(world: World, action: str, condition: str) -> None:
    for node in world.nodes.values():
        node.disturb(fault(action, "a", "x"))
    await world.tend()
    assert (await world.carry()).paths == (("a", "y", "b"),)
    outlook = world.nodes["a"].outlook("kme-b")
    assert outlook.path == ("a", "y", "b")
    assert [(each.a, each.b, each.condition) for each in outlook.faults] == [("a", "x", condition)]


async def test_a_disturbed_link_is_used_again_once_restored(world: World) -> None:
    for request in (fault("cut", "a", "x"), fault("restore")):
        for node in world.nodes.values():
            node.disturb(request)
    assert (await world.carry()).paths == (("a", "x", "b"),)


async def test_a_disturbance_outlives_the_link_session(world: World) -> None:
    world.nodes["x"].disturb(fault("cut", "x", "b"))
    world.boot("b")
    await world.tend()
    world.now += 5
    assert [row["condition"] for row in world.nodes["x"].report() if row["b"] == "b"] == ["cut"]
    assert (await world.carry()).paths == (("a", "y", "b"),)


@pytest.mark.parametrize("restarted", ["a", "x"])
async def test_a_restart_makes_no_key_that_no_link_made(world: World, restarted: str) -> None:
    world.boot(restarted)
    await world.tend()
    ends = world.nodes["a"].node.links["x"].end, world.nodes["x"].node.links["a"].end
    assert [end.level(world.now) for end in ends] == [0, 0]


@pytest.mark.parametrize("restarted", ["a", "x"])
async def test_a_restart_forgets_no_fault(world: World, restarted: str) -> None:
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
async def ring(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path, RING)
    await made.tend()
    yield made
    for store in made.stores.values():
        store.close()


async def settled(world: World) -> None:
    """Time for news to come around."""
    for _ in range(12):
        await world.tend()
        world.now += 0.25


async def test_a_fault_on_a_link_of_others_is_seen_from_afar_before_any_key_meets_it(ring: World) -> None:
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


async def test_a_node_that_died_afar_is_seen_as_links_that_are_down(ring: World) -> None:
    await settled(ring)
    del ring.nodes["z"]
    await settled(ring)
    seen = ring.nodes["a"].outlook("kme-b")
    assert seen.path == ("a", "y", "w", "b")
    assert {(each.a, each.b, each.condition) for each in seen.faults} == {
        ("x", "z", "down"),
        ("z", "b", "down"),
    }


async def test_a_pool_that_was_drained_afar_is_known_and_fills_again(ring: World) -> None:
    for name in ("x", "z"):
        ring.nodes[name].disturb(understood({"action": "drain", "names": ["x", "z"]}, RING))
    ring.now += 6  # the next time that levels are told
    for name in ("x", "z"):
        ring.nodes[name].disturb(understood({"action": "drain", "names": ["x", "z"]}, RING))
    await settled(ring)
    [told] = [link for link in ring.nodes["a"].way("kme-b") if link.name == RING.link("x", "z").name]
    end = ring.nodes["x"].node.links["z"].end
    assert told.left == pytest.approx(end.level(ring.now) / 512, rel=0.01)


async def test_calls_of_other_sites_count_on_the_links_they_share(ring: World) -> None:
    way = ring.nodes["b"].way("kme-a")
    ring.nodes["b"].reservations.renew("sae", "kme-a", way, UNIX + ring.now)
    ring.now += 6
    await settled(ring)
    assert [ring.nodes["a"].reservations.carried(link.name) for link in way] == [1, 1, 1]


async def test_a_compromised_node_writes_down_what_it_sees(world: World) -> None:
    world.nodes["x"].disturb(fault("compromise", "x"))
    world.nodes["y"].disturb(fault("compromise", "x"))
    await world.carry()
    captured = world.nodes["x"].captured
    assert captured is not None
    assert set(captured) == {("k", KEY)}
    assert world.nodes["y"].captured is None
    world.nodes["x"].disturb(fault("compromise", "x"))
    assert set(world.nodes["x"].captured or ()) == {("k", KEY)}, "what is written down stays"
    world.nodes["x"].disturb(fault("restore", "x"))
    assert world.nodes["x"].captured is None


async def test_a_compromised_site_gives_away_its_stock_what_waits_and_what_it_makes(world: World) -> None:
    await world.carry("stock")
    world.stores["b"].hold(EndKey("waiting", AGAIN, (("b",),)), "m", ("s",), expires=UNIX + 999)
    world.nodes["b"].disturb(fault("compromise", "b"))
    world.nodes["b"].saw("made", KEY)
    assert set(world.nodes["b"].captured or ()) == {("stock", KEY), ("waiting", AGAIN), ("made", KEY)}


@pytest.mark.parametrize(("share", "left"), [(0.01, True), (1.0, False)])
async def test_the_pool_is_void_when_the_alarm_rises_and_only_then(
    world: World, share: float, left: bool
) -> None:
    for name in ("a", "x"):
        world.nodes[name].disturb(fault("eve", "a", "x", share=share))
    ends = world.nodes["a"].node.links["x"].end, world.nodes["x"].node.links["a"].end
    assert [end.level(world.now) > 0 for end in ends] == [left, left]
