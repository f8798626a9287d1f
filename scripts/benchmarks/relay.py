"""The media relay against coturn and against the floor, one pinned core each, in alternating rounds.

``relay to relay``: both parties have allocations, and with our server the modelled path between Beijing
and Hefei lies between them. ``client to peer``: one side is a bare UDP socket. The floor is a loop of
recvmmsg and sendmmsg that sends everything back. Packets that arrived are counted, and the server's time on
its core by the scheduler's own clock; the first round is thrown away. Packets a second and core is what one
second of the core's time carries. The second core makes the load. Both cores have to be free of other work:
``core %`` says how much of its core a server got, and at full speed that is 100 or the figures are too low.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relay.control import ask
from relay.network.topology import load as load_topology
from relay.options import PathOptions, routes

from .findings import Findings, Promise
from .turnload import (
    Client,
    Load,
    Paced,
    allocate_all,
    anonymous_bytes,
    between_clients,
    cpu_seconds,
    echo,
    pair_all,
    source_host,
    to_peers,
)
from .turnservers import ALLOCATIONS, SERVERS, SITES, Server, lift_descriptor_limit

HELP = "packets a second and core, CPU per packet, loss and delay error of the TURN relay against coturn"
FLOWS = 100
WINDOWS = (8, 16, 24, 40, 60)
"""Packets of each flow on their way in a closed loop: each server is measured with what suits it best."""
STARTS = 3
"""Of every server, for each topology."""
SATURATED = 0.95
"""Share of its core that a server has to use for a figure by the core to count."""
DELAY_ROUNDS = 9
"""Of a second each. The median round counts: what else a machine does, as its kernel's own threads, stops
any server for milliseconds now and then, and each time spoils a hundredth of a second."""
LOW_RATE = 10_000.0
FILLING = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FILLING_ROUNDS = 3
"""Of a second each, as above."""
FULL_OFF = 1.0
"""Milliseconds off its time that a packet may be before anybody could hear it."""
LIMITS = (0.25, 0.5)
"""Milliseconds."""


@dataclass(frozen=True)
class Round:
    """One measurement at full speed."""

    rate: float
    cpu: float
    """Microseconds of the core for a packet."""


TOPOLOGIES: dict[str, Callable[[Server], Load]] = {
    "relay to relay": lambda server: between_clients(server.clients(FLOWS)),
    "client to peer": lambda server: to_peers(server.clients(FLOWS)),
    "peer to client": lambda server: to_peers(server.clients(FLOWS), back=True),
    "echo": lambda server: echo(server.address, FLOWS),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a start; the first is thrown away")
    parser.add_argument("--seconds", type=float, default=1.2, help="seconds of each measurement")
    parser.add_argument("--cores", default="0,1", metavar="SERVER,LOAD", help="the two cores")


def at_full_speed(server: Server, load: Load, seconds: float, window: int) -> Round:
    """One round of a closed loop."""
    before = cpu_seconds(server.pid)
    received, elapsed = load.closed(seconds, window)
    used = cpu_seconds(server.pid) - before
    return Round(received / elapsed, 1e6 * used / max(1, received))


def full_speed(topology: str, names: Sequence[str], core: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds of each server in turn, from several starts of each: where memory comes to lie counts too."""
    found: dict[str, list[Round]] = {name: [] for name in names}
    for _ in range(STARTS):
        for name, measured in started(topology, names, core, rounds, seconds).items():
            found[name] += measured
    return found


def started(topology: str, names: Sequence[str], core: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds of newly started servers, after each has shown which window suits it best."""
    with contextlib.ExitStack() as stack:
        loads = []
        for name in names:
            server = stack.enter_context(SERVERS[name](core))
            loads.append((server, TOPOLOGIES["echo" if name == "floor" else topology](server)))
        best = {}
        for server, load in loads:
            tried = {window: at_full_speed(server, load, seconds / 3, window) for window in WINDOWS}
            best[server.name] = max(tried, key=lambda window: tried[window].rate)
        found: dict[str, list[Round]] = {name: [] for name in names}
        for _ in range(rounds):
            for server, load in loads:
                found[server.name].append(at_full_speed(server, load, seconds, best[server.name]))
    return {name: measured[1:] for name, measured in found.items()}


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
        loads = [(server, TOPOLOGIES["relay to relay"](server)) for server in servers]
        found: dict[str, list[tuple[Paced, float]]] = {name: [] for name in names}
        for _ in range(DELAY_ROUNDS):
            for server, load in loads:
                load.paced(0.3, rate)
                load.drain()
                before = cpu_seconds(server.pid)
                result = load.paced(1.0, rate)
                found[server.name].append((result, cpu_seconds(server.pid) - before))
    return {server.name: summary(found[server.name], server.said) for server in servers}


def summary(rounds: Sequence[tuple[Paced, float]], said: dict[str, Any]) -> dict[str, Any]:
    """Paced rounds of a second: the median one for what is about time, all of them for what is counted."""
    results = [result for result, _ in rounds]
    received, sent = (sum(getattr(each, what) for each in results) for what in ("received", "sent"))
    path = propagation() if said else 0.0
    transits = np.median([np.percentile(each.transits, [0, 50, 99]) for each in results], axis=0) * 1e3
    return {
        "cpu": statistics.median(1e6 * used / result.received for result, used in rounds),
        "rate": received / len(rounds),
        "loss": 1 - received / sent,
        "out_of_order": sum(each.out_of_order for each in results),
        "transit_ms": {"least": transits[0], "median": transits[1], "p99": transits[2]},
        "off": {limit: statistics.median(off(each, path, limit) for each in results) for limit in LIMITS},
        "off_by_round": {limit: [off(each, path, limit) for each in results] for limit in LIMITS},
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
        load = TOPOLOGIES["relay to relay"](server)
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


def allocations(name: str, core: int) -> dict[str, float]:
    """How fast one client sets up many allocations, and what each of them costs the server.

    ``bytes``: with a permission, a channel and a flow, as in a call; ``bare_bytes``: without.
    """
    with SERVERS[name](core) as server:
        server.clients(100)
        before = anonymous_bytes(server.pid)
        clients = [
            Client(server.address, server.login(number), source_host(number))
            for number in range(100, 100 + ALLOCATIONS)
        ]
        started = time.monotonic()
        allocate_all(clients)
        elapsed = time.monotonic() - started
        bare = anonymous_bytes(server.pid) - before
        pair_all(clients)
        grown = anonymous_bytes(server.pid) - before
        for client in clients:
            client.socket.close()
    return {
        "per_second": ALLOCATIONS / elapsed,
        "bytes": grown / ALLOCATIONS,
        "bare_bytes": bare / ALLOCATIONS,
    }


def per_core(rounds: Sequence[Round]) -> float:
    """Packets that a second of the core carries: the median round."""
    return 1e6 / statistics.median(each.cpu for each in rounds)


def share_of_core(rounds: Sequence[Round]) -> float:
    """How much of its core the server used: the median round."""
    return statistics.median(each.rate * each.cpu for each in rounds) * 1e-6


def run(options: argparse.Namespace) -> Findings:
    """Measure everything; about six minutes on a machine that does nothing else."""
    core, load_core = map(int, options.cores.split(","))
    os.sched_setaffinity(0, {load_core})
    lift_descriptor_limit()
    has_coturn = shutil.which("turnserver") is not None
    peers = ["coturn"] if has_coturn else []
    rows: list[dict[str, Any]] = []
    speeds: dict[str, dict[str, list[Round]]] = {}
    for topology, names in (
        ("relay to relay", ["ours", *peers, "floor"]),
        ("client to peer", ["ours", *peers]),
        ("peer to client", ["ours", *peers]),
    ):
        speeds[topology] = full_speed(topology, names, core, options.rounds, options.seconds)
        for name, rounds in speeds[topology].items():
            rows.append(
                {
                    "what": topology if name != "floor" else "floor",
                    "server": name,
                    "packets/s": statistics.median(each.rate for each in rounds),
                    "µs/packet": statistics.median(each.cpu for each in rounds),
                    "packets/s and core": per_core(rounds),
                    "core %": 100 * share_of_core(rounds),
                }
            )
    most = per_core(speeds["relay to relay"]["ours"])
    at_rate = {
        f"{name} at {label}": found
        for names, label, rate in (
            (["ours", *peers], "10,000/s", LOW_RATE),
            (["ours"], "half", most / 2),
            (["ours"], "80 %", 0.8 * most),
        )
        for name, found in paced(names, core, rate).items()
    }
    rows += [
        {"what": f"relay to relay, {name.split(' at ')[1]}", "server": name.split(" at ")[0],
         "packets/s": found["rate"], "µs/packet": found["cpu"], "packets/s and core": 1e6 / found["cpu"],
         "core %": found["rate"] * found["cpu"] / 1e4}
        for name, found in at_rate.items()
    ]  # fmt: skip
    filled = filling(core, most)
    rows += [{name: row.get(name, "") for name in rows[0]} for row in filled]
    setup = {name: allocations(name, core) for name in ("ours", *peers)}
    held, unmeasured = promises(speeds, at_rate, setup)
    held += filling_promises(filled)
    return Findings(
        title=f"TURN, {FLOWS} flows of 172 bytes, server on one core",
        rows=rows,
        promises=held,
        unmeasured=unmeasured,
        versions=versions(has_coturn),
        details={"at_rate": at_rate, "allocations": setup, "filling": filled},
        plot=lambda figure: draw(figure, rows, at_rate),
    )


def promises(
    speeds: dict[str, dict[str, list[Round]]], at_rate: dict[str, Any], setup: dict[str, Any]
) -> tuple[list[Promise], list[str]]:
    """What issue and README promise, and what of it could not be measured here."""
    low, half, high = (at_rate[f"ours at {label}"] for label in ("10,000/s", "half", "80 %"))
    held = [
        Promise("share of packets over 0.25 ms off their time at 10,000/s", low["off"][0.25], 0.01),
        Promise("packets out of order at 10,000/s", low["out_of_order"], 0),
        Promise("bytes of an allocation with channel and flow", setup["ours"]["bytes"], 4096),
        Promise("allocations a second", setup["ours"]["per_second"], 2000, at_most=False),
    ]
    if "coturn at 10,000/s" in at_rate:
        ratio = low["cpu"] / at_rate["coturn at 10,000/s"]["cpu"]
        held.append(Promise("CPU per packet at 10,000/s, times coturn", ratio, 1.0))
    inside = speeds["relay to relay"]
    by_core = [
        ("relay to relay", "floor", Promise("CPU per packet, relay to relay, over the floor",
            times(inside, "floor", "ours"), 1.3)),
        ("relay to relay", "coturn", Promise("relay to relay, times coturn per core",
            times(inside, "ours", "coturn"), 2.3, at_most=False)),
        ("client to peer", "coturn", Promise("client to peer, times coturn per core",
            times(speeds["client to peer"], "ours", "coturn"), 1.0, at_most=False)),
        ("relay to relay", "ours", Promise("loss at 80 % of the most", high["loss"], 0.001)),
        ("relay to relay", "ours", Promise("share of packets over 0.5 ms off their time at half",
            half["off"][0.5], 0.01)),
        ("relay to relay", "ours", Promise("packets out of order at half and 80 %",
            half["out_of_order"] + high["out_of_order"], 0)),
    ]  # fmt: skip
    unmeasured = []
    for what, other, promise in by_core:
        reason = why_not(speeds[what], ("ours", other))
        if reason:
            unmeasured.append(f"{promise.what} ({reason})")
        else:
            held.append(promise)
    return held, unmeasured


def filling_promises(filled: Sequence[dict[str, Any]]) -> list[Promise]:
    """A server says that it is full before its packets suffer, and not only then."""
    before = list(itertools.takewhile(lambda row: not row["full"], filled))
    return [
        Promise("loss while there was room", max((row["loss"] for row in before), default=0.0), 0.001),
        Promise(
            "share of packets over 1 ms off while there was room",
            max((row["off"] for row in before), default=0.0),
            0.01,
        ),
        Promise(
            "share of the most at which it had room still", FILLING[len(before) - 1] if before else 0.0, 0.9
        ),
    ]


def times(measured: dict[str, list[Round]], one: str, other: str) -> float:
    """How many times as much ``one`` carries by the core: the median of rounds in succession."""
    pairs = zip(measured.get(one, ()), measured.get(other, ()), strict=False)
    return statistics.median([second.cpu / first.cpu for first, second in pairs] or [0.0])


def why_not(measured: dict[str, list[Round]], names: Sequence[str]) -> str:
    """Why figures by the core of ``names`` say nothing; empty where they do."""
    for name in names:
        if name not in measured:
            return f"there is no {name} here"
        if (share := share_of_core(measured[name])) < SATURATED:
            return f"{name} used {100 * share:.0f} % of its core, not {100 * SATURATED:.0f} %"
    return ""


def versions(has_coturn: bool) -> dict[str, str]:
    """What was compared."""
    found = {"kernel": platform.release(), "numpy": np.__version__}
    if has_coturn:
        said = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "coturn"], capture_output=True, text=True
        )
        found["coturn"] = said.stdout or "unknown"
    return found


def draw(figure: Any, rows: Sequence[dict[str, Any]], at_rate: dict[str, Any]) -> None:
    """CPU per packet by server, and how late datagrams left the path."""
    left, right = figure.subplots(1, 2)
    rows = [row for row in rows if row["µs/packet"]]
    names = [f"{row['what']}\n{row['server']}" for row in rows]
    left.barh(names, [row["µs/packet"] for row in rows])
    left.invert_yaxis()
    left.set_xlabel("µs of one core for a packet")
    for name in ("ours at 10,000/s", "ours at half"):
        errors = at_rate[name]["release_errors"]
        total = max(1, sum(errors.values()))
        right.step(list(errors), [count / total for count in errors.values()], where="mid", label=name)
    right.set_xlabel("release error, up to ms")
    right.set_ylabel("share of packets")
    right.legend()
