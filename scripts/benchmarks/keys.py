"""Quantum keys (simulated links, real protocol): end keys a second, ETSI requests a second, a busy hour.

Three parts. The hop-by-hop relay in one process, against the bare cryptography of the same hops. Plain ETSI
GS QKD 014 on one core over kept-alive mutual TLS, against a bare aiohttp + SQLite handler in alternating
rounds, with a kill -9 at the end. And a busy hour of the whole network as a discrete-event simulation.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.metadata
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.poly1305 import Poly1305

from relay.kme.keystore import SqliteKeyStore
from relay.network.link import BLOCK_BITS
from relay.network.network import Network
from relay.network.supply import LocalCarrier, StockedSupply
from relay.network.topology import Link, Topology, kme_id, load

from .busy_hour import whole_network
from .etsi_rounds import EtsiRounds, measure
from .findings import Findings, Promise

HELP = "end keys a second, ETSI GS QKD 014 requests a second, a busy hour of the whole network"
HOPS = (1, 3, 7, 15, 31)
SLICE = 0.5
"""Seconds of one measurement of the relay."""
HOUR_LOADS = ((10_000, 60.0), (160_000, 30.0))
"""Call attempts an hour, and the minutes simulated: a call is dropped after five without a key, so thirty."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of the ETSI measurement")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--saes", type=int, default=32, help="SAEs, each with a connection of its own")
    parser.add_argument("--part", choices=("relay", "etsi", "hour"), help="only this part")


def run(options: argparse.Namespace) -> Findings:
    """All three parts, one table."""
    parts: dict[str, Callable[[argparse.Namespace], Findings]] = {
        "relay": relayed,
        "etsi": requested,
        "hour": simulated,
    }
    found = [part(options) for name, part in parts.items() if options.part in (None, name)]
    details: dict[str, Any] = {}
    for each in found:
        details |= each.details
    return Findings(
        "Quantum keys (the links are simulated)",
        [row for each in found for row in each.rows],
        [promise for each in found for promise in each.promises],
        versions={name: importlib.metadata.version(name) for name in ("aiohttp", "uvloop", "cryptography")}
        | {"SQLite": sqlite3.sqlite_version},
        details=details,
        plot=(lambda figure: draw(figure, details)) if "hours" in details else None,
    )


def row(what: str, case: str, figure: float, unit: str, beside: str = "") -> dict[str, Any]:
    """One line of the table; ``beside`` says what the figure is to be seen against."""
    return {"what": what, "case": case, "figure": figure, "unit": unit, "beside": beside}


# The relay


def chain(hops: int) -> Topology:
    """Nodes in a line, 67 km apart."""
    optics = load("beijing-hefei").links[0].optics
    links = tuple(Link(f"n{i}", f"n{i + 1}", 67.0, 0.0, optics) for i in range(hops))
    return Topology("chain", "modelled", ("n0", f"n{hops}"), links)


def relayed(options: argparse.Namespace) -> Findings:
    """End keys a second in one process, by hops and by size of the network."""
    rows, fifteen = [], 0.0
    for hops in HOPS:
        rate = end_keys(chain(hops), "n0", f"n{hops}")
        floor = per_second(lambda count=hops: bare_hops(count))  # type: ignore[misc]
        rows.append(
            row("end keys", f"{hops} hops", rate, "/s", f"{rate / floor:.2f} of the bare cryptography")
        )
        fifteen = rate if hops == 15 else fifteen
    physics = load("beijing-hefei")
    slowest = min(physics.link(a, b).quality().rate for a, b in pairwise(physics.path("beijing", "hefei")))
    rows.append(row("end keys", "15 hops, as the default route's links allow", slowest / BLOCK_BITS, "/s"))
    for topology in (physics, load("backbone-16"), load("hefei-metro"), whole_network()):
        ends = topology.sites[0], topology.sites[-1]
        rate = end_keys(topology, *ends)
        path = f"{len(topology.path(*ends)) - 1} hops"
        rows.append(row("end keys", f"{topology.name}: {len(topology.nodes)} nodes", rate, "/s", path))
    kept = kept_keys()
    rows.append(row("end keys", "15 hops, on disk at both ends", kept, "/s", "committed one by one"))
    promises = [
        Promise("end keys a second over 15 hops, in one process", fifteen, 1000, at_most=False),
    ]
    return Findings("", rows, promises)


def network(topology: Topology) -> Network:
    """A network whose pools never run out: what is measured is the program, not the physics."""
    return Network(topology, seed=bytes(32), now=0.0, capacity=1 << 50, warm=1e9)


def end_keys(topology: Topology, source: str, target: str) -> float:
    """End keys a second that one process relays."""
    net = network(topology)
    return per_second(lambda: net.relay(source, target, "key", bytes(32), 0.0, entropy=os.urandom))


def bare_hops(count: int) -> None:
    """What the hops cannot do without: link key at both ends, pad, tag and its check."""
    body = bytes(400)
    for _ in range(count):
        bits = hashlib.blake2b(body[:9], key=body[:32]).digest()
        tag = Poly1305.generate_tag(bits[32:], body)
        same = hashlib.blake2b(body[:9], key=body[:32]).digest()
        Poly1305.verify_tag(same[32:], body, tag)
        int.from_bytes(bits[:32], "little") ^ int.from_bytes(same[:32], "little")


def kept_keys() -> float:
    """The same with the key stores of both sites."""
    with tempfile.TemporaryDirectory() as directory:
        topology = chain(15)
        nodes = {kme_id(site): site for site in topology.sites}
        stores = {kme: SqliteKeyStore(Path(directory) / f"{kme}.db", bytes(32)) for kme in nodes}
        source, target = nodes
        carrier = LocalCarrier(source, network(topology), stores, nodes, lambda: 0.0)
        supply = StockedSupply(stores[source], carrier, entropy=os.urandom, stock=1 << 40)
        supply.expect(target, 1 << 40, 0.0)

        def one() -> None:
            with_no_wait(supply.top_up(0.0))
            for store in stores.values():
                store.commit()

        rate = per_second(one)
        for store in stores.values():
            store.close()
    return rate


def with_no_wait(work: Any) -> None:
    """Run a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waited")


def per_second(work: Callable[[], Any]) -> float:
    """The median of five slices."""
    rates = []
    for _ in range(5):
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SLICE:
            work()
            count += 1
        rates.append(count / spent)
    return statistics.median(rates)


# ETSI GS QKD 014


def requested(options: argparse.Namespace) -> Findings:
    """Requests a second at one key node on one core, and what a kill of it loses."""
    found: EtsiRounds = asyncio.run(measure(options.rounds, options.seconds, options.saes))
    rows = []
    for name, rounds in found.rounds.items():
        rate = statistics.median(each["rate"] for each in rounds)
        p99 = statistics.median(each["p99"] for each in rounds)
        rows.append(row("requests", name, rate, "/s", f"p99 {p99:.1f} ms"))
    ours = statistics.median(each["rate"] for each in found.rounds[found.OURS])
    p99 = statistics.median(each["p99"] for each in found.rounds[found.OURS])
    across = statistics.median(each["rate"] for each in found.rounds[found.ACROSS])
    ratio = statistics.median(
        mine["rate"] / peer["rate"]
        for mine, peer in zip(found.rounds[found.OURS], found.rounds[found.BARE], strict=True)
    )
    rows.append(row("requests", "enc_keys against the bare handler", ratio, "of its rate"))
    for saes, each in found.growth.items():
        rows.append(
            row("requests", f"enc_keys, {saes} SAEs", each["rate"], "/s", f"p99 {each['p99']:.1f} ms")
        )
    rows.append(
        row("kill -9", "keys acknowledged before, then fetched at the other key node", found.fetched, "keys")
    )
    promises = [
        Promise("enc_keys a second on one core, both SAEs at one key node", ours, 4000, at_most=False),
        Promise(
            "enc_keys a second on one core, to another key node over a link", across, 1000, at_most=False
        ),
        Promise("p99 of enc_keys in ms, both SAEs at one key node", p99, 20),
        Promise("acknowledged keys that a kill -9 of both key nodes lost", found.lost, 0),
    ]
    return Findings("", rows, promises, details={"rounds": found.rounds})


# The busy hour


def simulated(options: argparse.Namespace) -> Findings:
    """The whole network at several loads."""
    hours, rows = [], []
    for attempts, minutes in HOUR_LOADS:
        program = (sys.executable, "-m", "scripts.benchmarks.busy_hour")
        done = subprocess.run(
            [*program, "--attempts", str(attempts), "--minutes", str(minutes)],
            capture_output=True, check=True,
        )  # fmt: skip
        hour = json.loads(done.stdout)
        hours.append(hour)
        case = f"{attempts} calls an hour, {minutes:g} min"
        reasons = ", ".join(f"{count} {code}" for code, count in hour["blocked"].items())
        rows += [
            row("blocking", case, 100 * hour["blocking"], "%", reasons or f"{hour['most']} calls at once"),
            row("dropped", case, hour["dropped"], "calls", f"{hour['late']} rekeys late"),
            row("keys", case, hour["keys"] / minutes / 60, "/s", f"over {hour['hops']:.1f} hops"),
            row("lowest pool", case, 100 * min(low for _, _, low in hour["levels"]), "% full"),
        ]
    for link in hours[0]["hottest"]:
        lowest = f"pool never below {100 * link['lowest']:.0f} %"
        rows.append(row("hottest links", link["link"], 100 * link["used"], "% of its key", lowest))
    rows.append(
        row(
            "simulation", "an hour, 10,000 calls", hours[0]["seconds"], "s", f"{hours[0]['megabytes']:.0f} MB"
        )
    )
    promises = [
        Promise("seconds to simulate the busy hour", hours[0]["seconds"], 60),
        Promise("megabytes for it", hours[0]["megabytes"], 1024),
    ]
    return Findings("", rows, promises, details={"hours": hours})


def draw(figure: Any, details: dict[str, Any]) -> None:
    """Pool levels over time for every load, and the hottest links of the busy hour."""
    levels, hottest = figure.subplots(2, 1)
    for hour, (attempts, _) in zip(details["hours"], HOUR_LOADS, strict=True):
        minutes = [at / 60 for at, _, _ in hour["levels"]]
        lowest = [100 * low for _, _, low in hour["levels"]]
        levels.plot(minutes, lowest, label=f"{attempts:,} calls/h: {100 * hour['blocking']:.2f} % blocked")
    levels.set(title="Lowest key pool (simulated links)", xlabel="minutes", ylabel="% full", ylim=(0, 102))
    levels.legend()
    links = details["hours"][0]["hottest"][::-1]
    hottest.barh([link["link"] for link in links], [100 * link["used"] for link in links])
    hottest.set(title="Hottest links of the busy hour, 10,000 calls", xlabel="% of the key they made")
