"""Delays through the servers of ``scripts/bench relay`` at given rates; when ours says that it is full."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from relay.control import ask
from relay.network.topology import load as load_topology
from relay.options import PathOptions, routes

from .findings import Promise
from .turnload import Load, Paced, between_clients, cpu_seconds, waited_seconds
from .turnservers import SERVERS, SITES, Server

FLOWS = 100
DELAY_ROUNDS = 9
"""Of a second each. The median round counts: what else a machine does, as its kernel's own threads, stops
any server for milliseconds now and then, and each time spoils a hundredth of a second. All rounds together,
and for how long something else had the server's core, are told as well."""
FILLING = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FILLING_ROUNDS = 3
"""Of a second each, as above."""
FULL_OFF = 1.0
"""Milliseconds off its time that a packet may be before anybody could hear it."""
LIMITS = (0.25, 0.5)
"""Milliseconds."""


def relay_to_relay(server: Server) -> Load:
    """Neighbours talk to each other."""
    return between_clients(server.clients(FLOWS))


def propagation() -> float:
    """Seconds that the modelled path takes, which has no jitter here.

    All that a packet takes beyond is its error: release, two sockets, and waiting for either core.
    """
    path = routes(PathOptions(topology=load_topology("beijing-hefei"), jitter=0.0)).between(*SITES)
    assert path is not None
    return path.propagation


def paced(names: Sequence[str], core: int, rate: float) -> dict[str, dict[str, Any]]:
    """Servers at a given rate, relay to relay, in turns."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(SERVERS[name](core)) for name in names]
        loads = [(server, relay_to_relay(server)) for server in servers]
        found: dict[str, list[tuple[Paced, float, float]]] = {name: [] for name in names}
        for _ in range(DELAY_ROUNDS):
            for server, load in loads:
                load.paced(0.3, rate)
                load.drain()
                used, waited = cpu_seconds(server.pid), waited_seconds(server.pid)
                result = load.paced(1.0, rate)
                used, waited = cpu_seconds(server.pid) - used, waited_seconds(server.pid) - waited
                found[server.name].append((result, used, waited))
    return {server.name: summary(found[server.name], server.said) for server in servers}


def summary(rounds: Sequence[tuple[Paced, float, float]], said: dict[str, Any]) -> dict[str, Any]:
    """Paced rounds of a second: the median one for what is about time, all of them for what is counted."""
    results = [result for result, _, _ in rounds]
    received, sent = (sum(getattr(each, what) for each in results) for what in ("received", "sent"))
    path = propagation() if said else 0.0
    transits = np.median([np.percentile(each.transits, [0, 50, 99]) for each in results], axis=0) * 1e3
    return {
        "cpu": statistics.median(1e6 * used / result.received for result, used, _ in rounds),
        "rate": received / len(rounds),
        "loss": 1 - received / sent,
        "out_of_order": sum(each.out_of_order for each in results),
        "transit_ms": {"least": transits[0], "median": transits[1], "p99": transits[2]},
        "off": {limit: statistics.median(off(each, path, limit) for each in results) for limit in LIMITS},
        "off_by_round": {limit: [off(each, path, limit) for each in results] for limit in LIMITS},
        "off_in_all": {
            limit: statistics.mean(off(each, path, limit) for each in results) for limit in LIMITS
        },
        "core_taken": sum(waited for _, _, waited in rounds) / len(rounds),
        "release_errors": said.get("release_errors", {}),
    }


def off(result: Paced, path: float, limit: float) -> float:
    """The share of packets that took over ``limit`` milliseconds more or less than ``path`` seconds."""
    return float((np.abs(result.transits - path) > limit * 1e-3).mean())


def filling(core: int, most: float) -> list[dict[str, Any]]:
    """More and more load on a fresh server: when it says that it is full, and what packets fare like then."""
    rows: list[dict[str, Any]] = []
    with SERVERS["ours"](core) as server:
        assert server.control is not None
        load = relay_to_relay(server)
        load.paced(0.3, FILLING[0] * most)
        load.drain()
        for share in FILLING:
            results = [load.paced(1.0, share * most) for _ in range(FILLING_ROUNDS)]
            said = asyncio.run(ask(server.control, "status"))
            rows.append(
                {
                    "what": f"filling, {share:.0%} of the most",
                    "server": "full" if said["full"] else "has room",
                    "packets/s": statistics.mean(each.received for each in results),
                    "core %": 100 * said["busy"],
                    "loss": max(each.loss for each in results),
                    "off": statistics.median(off(each, propagation(), FULL_OFF) for each in results),
                    "full": said["full"],
                }
            )
            load.drain()
    return rows


def disturbed(at_rate: dict[str, Any]) -> dict[str, float]:
    """What the promises' median seconds leave out: seconds in which something else had a server's core."""
    found = {}
    for name, limit in (("ours at 10,000/s", 0.25), ("coturn at 10,000/s", 0.25), ("ours at half", 0.5)):
        if name in at_rate:
            found[f"{name}: share over {limit} ms in all {DELAY_ROUNDS} s"] = at_rate[name]["off_in_all"][
                limit
            ]
            found[f"{name}: share of that time in which something else had its core"] = at_rate[name][
                "core_taken"
            ]
    return found


def filling_promises(filled: Sequence[dict[str, Any]]) -> list[Promise]:
    """A server says that it is full before its packets suffer, and not only then."""
    before = list(itertools.takewhile(lambda row: not row["full"], filled))
    still = FILLING[len(before) - 1] if before else 0.0
    return [
        Promise("loss while there was room", max((row["loss"] for row in before), default=0.0), 0.001),
        Promise(
            "share of packets over 1 ms off while there was room",
            max((row["off"] for row in before), default=0.0),
            0.01,
        ),
        Promise("share of the most at which it had room still", still, 0.9),
        Promise("the same, at the least", still, FILLING[0], at_most=False),
    ]
