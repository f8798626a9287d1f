"""Faults of the fibres: voice goes another way, and the relay's event loop is never held up by it."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from relay import laboratory
from relay.laboratory import SLICE_SECONDS, SWITCHING_SECONDS, Fibres, Laboratory
from relay.network.faults import FaultRequest
from relay.network.topology import Topology, load
from relay.path.model import Hop
from relay.path.routes import Routes, Ways
from tests.relay.worlds import DIAMOND

METRO = load("hefei-metro")
CORE = ("core-1", "core-2")
NAMES = {"–".join(CORE), "–".join(CORE[::-1])}


def modelled(named: tuple[tuple[str, float], ...]) -> list[Hop]:
    return [Hop(name, km) for name, km in named]


def laid(topology: Topology) -> tuple[Routes, Fibres]:
    pairs = itertools.combinations(topology.sites, 2)
    routes = Routes({pair: modelled(topology.hops(topology.path(*pair))) for pair in pairs}, seed=1)
    return routes, Fibres(topology, routes, modelled)


def way(routes: Routes, a: str, b: str) -> list[str]:
    return [hop.name for hop in routes.hops(a, b)]


def crossing(routes: Routes) -> list[tuple[str, str]]:
    pairs = itertools.combinations(METRO.sites, 2)
    return [pair for pair in pairs if not NAMES.isdisjoint(way(routes, *pair))]


async def test_a_cut_moves_voice_to_the_other_way_and_a_repair_back() -> None:
    routes, fibres = laid(DIAMOND)
    assert await fibres.disturb(FaultRequest("cut", ("a", "x"))) == Ways(1)
    assert way(routes, "a", "b") == ["a–y", "y–b"]
    assert way(routes, "b", "a") == ["y–b", "a–y"]
    assert await fibres.disturb(FaultRequest("restore")) == Ways(0)
    assert way(routes, "a", "b") == ["a–x", "x–b"]


async def test_with_both_ways_cut_nothing_gets_through_until_one_is_mended() -> None:
    routes, fibres = laid(DIAMOND)
    path = routes.between("a", "b")
    assert path is not None
    assert await fibres.disturb(FaultRequest("cut", ("a", "x"))) == Ways(1)
    assert await fibres.disturb(FaultRequest("cut", ("b", "y"))) == Ways(0, (("a", "b"),))
    assert way(routes, "a", "b") == []
    assert path.release("flow", 100, time.monotonic()) is None
    assert await fibres.disturb(FaultRequest("restore", ("b", "y"))) == Ways(1)
    assert way(routes, "a", "b") == ["a–y", "y–b"]
    assert path.release("flow", 100, time.monotonic()) is not None


async def test_pairs_that_are_cut_off_are_told_also_where_a_worker_knows_of_no_cut() -> None:
    class Worker:
        """Has just started: it met one of two cuts."""

        async def disturb(self, _: FaultRequest) -> Ways:
            return Ways(1)

    _, fibres = laid(DIAMOND)
    laboratory = Laboratory(DIAMOND, None, [fibres, Worker()])
    await laboratory({"action": "cut", "names": ["a", "x"]})
    told = await laboratory({"action": "cut", "names": ["b", "y"]})
    assert (told["detours"], told["cut_off"]) == (0, (("a", "b"),))


async def test_faults_that_come_together_are_all_heeded() -> None:
    routes, fibres = laid(DIAMOND)
    cuts = (fibres.disturb(FaultRequest("cut", link)) for link in (("a", "x"), ("b", "y")))
    assert await asyncio.gather(*cuts) == [Ways(1), Ways(0, (("a", "b"),))]
    assert way(routes, "a", "b") == []


async def test_a_cut_of_a_fibre_that_many_go_over_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that goes on at every look, so that this says the same on any machine."""
    routes, fibres = laid(METRO)
    ticks = itertools.count()
    switched: dict[int, int] = {}
    turns = 0
    replace = routes.replace

    def counted(*arguments: object) -> None:
        switched[turns] = switched.get(turns, 0) + 1
        replace(*arguments)  # type: ignore[arg-type]

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(routes, "replace", counted)
    monkeypatch.setattr(laboratory.time, "monotonic", lambda: next(ticks) * 1e-4)
    busy = asyncio.create_task(others())
    try:
        for request in (FaultRequest("cut", CORE), FaultRequest("restore")):
            switched.clear()
            await fibres.disturb(request)
            assert sum(switched.values()) == 1980
            assert max(switched.values()) <= SLICE_SECONDS / 1e-4 + 1
    finally:
        busy.cancel()


async def test_no_packet_ever_crosses_a_cut_fibre_and_who_talks_is_switched_in_time() -> None:
    routes, fibres = laid(METRO)
    affected = crossing(routes)
    talking, silent = affected[:3], iter(affected[3::40])
    paths = {pair: routes.between(*pair) for pair in talking}
    fibre = asyncio.create_task(fibres.disturb(FaultRequest("cut", CORE)))
    await asyncio.sleep(0)
    cut_at, through = time.monotonic(), dict.fromkeys(paths, 0.0)
    while not fibre.done():
        if (begins := next(silent, None)) is not None:
            paths[begins] = routes.between(*begins)
        for pair, path in paths.items():
            assert path is not None
            now = time.monotonic()
            if path.release("flow", 100, now) is not None:
                assert NAMES.isdisjoint(hop.name for hop in path.hops)
                through.setdefault(pair, now)
                through[pair] = through[pair] or now
        await asyncio.sleep(0)
    assert await fibre == Ways(1980)
    assert crossing(routes) == []
    assert all(through[pair] - cut_at >= SWITCHING_SECONDS * 0.9 for pair in talking)
    silent_from = min(at for pair, at in through.items() if pair not in talking)
    assert max(through[pair] for pair in talking) <= silent_from, "who talks comes first"
