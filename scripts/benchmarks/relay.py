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
import contextlib
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

from .findings import Findings, Promise
from .paced import FLOWS, disturbed, filling, filling_promises, paced, relay_to_relay
from .turnload import (
    Client,
    Load,
    allocate_all,
    anonymous_bytes,
    cpu_seconds,
    echo,
    pair_all,
    source_host,
    to_peers,
)
from .turnservers import ALLOCATIONS, SERVERS, Server, lift_descriptor_limit

HELP = "packets a second and core, CPU per packet, loss and delay error of the TURN relay against coturn"
WINDOWS = (8, 16, 24, 40, 60)
"""Packets of each flow on their way in a closed loop: each server is measured with what suits it best."""
STARTS = 3
"""Of every server, for each topology."""
SATURATED = 0.95
"""Share of its core that a server has to use for a figure by the core to count."""
LOW_RATE = 10_000.0


@dataclass(frozen=True)
class Round:
    """One measurement at full speed."""

    rate: float
    cpu: float
    """Microseconds of the core for a packet."""


TOPOLOGIES: dict[str, Callable[[Server], Load]] = {
    "relay to relay": relay_to_relay,
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
        figures=disturbed(at_rate),
        details={"at_rate": at_rate, "allocations": setup, "filling": filled},
        plot=lambda figure: draw(figure, rows, at_rate),
    )


def promises(
    speeds: dict[str, dict[str, list[Round]]], at_rate: dict[str, Any], setup: dict[str, Any]
) -> tuple[list[Promise], list[str]]:
    """What issue and README promise, and what of it could not be measured here."""
    low, half, high = (at_rate[f"ours at {label}"] for label in ("10,000/s", "half", "80 %"))
    held = [
        Promise(
            "share of packets over 0.25 ms off their time at 10,000/s, median second", low["off"][0.25], 0.01
        ),
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
        ("relay to relay", "ours", Promise(
            "share of packets over 0.5 ms off their time at half, median second", half["off"][0.5], 0.01)),
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
