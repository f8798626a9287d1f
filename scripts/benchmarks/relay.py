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
import json
import os
import platform
import resource
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from relay.turn.credentials import SharedSecret

from .findings import Findings, Promise
from .turnload import (
    Client,
    Load,
    Login,
    allocate_all,
    anonymous_bytes,
    between_clients,
    cpu_seconds,
    echo,
    source_host,
    to_peers,
    udp,
)

HELP = "packets a second and core, CPU per packet, loss and delay error of the TURN relay against coturn"
FLOWS = 100
WINDOWS = {"ours": 40, "coturn": 16, "floor": 40}
"""Packets of each flow on their way in a closed loop: our path holds some; coturn's sockets hold fewer."""
LOW_RATE = 10_000.0
ALLOCATIONS = 10_000
SITES = ("beijing", "hefei")
BIN = Path(sys.executable).parent


@dataclass
class Server:
    """A running server. ``said``: its last words, once it has ended."""

    name: str
    pid: int
    address: tuple[str, int]
    login: Callable[[int], Login]
    said: dict[str, Any] = field(default_factory=dict)

    def clients(self, count: int) -> list[Client]:
        """Clients with allocations, in turns at the two sites."""
        made = [Client(self.address, self.login(number), source_host(number)) for number in range(count)]
        allocate_all(made)
        return made


@dataclass(frozen=True)
class Round:
    """One measurement at full speed."""

    rate: float
    cpu: float
    """Microseconds of the core for a packet."""


@contextlib.contextmanager
def running(name: str, core: int, command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A program pinned to one core, ended at the end."""
    pinned = ["taskset", "--cpu-list", str(core), *map(str, command)]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


@contextlib.contextmanager
def ours(core: int) -> Iterator[Server]:
    """``relay turn`` with the modelled path."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "secret"
        file.write_text(secret)
        command = [BIN / "relay", "--home", directory, "turn", "--listen", "127.0.0.1:0", "--json"]
        command += ["--secret", file, "--path", "beijing-hefei", "--allow-peer", "127.0.0.0/8"]
        with running("ours", core, command) as process:
            assert process.stdout is not None
            host, port = json.loads(process.stdout.readline())["turn"].split(":")
            shared = SharedSecret(secret.encode())

            def login(number: int) -> Login:
                return Login(*shared.mint(f"user{number}", SITES[number % 2], time.time(), 3600.0))

            server = Server("ours", process.pid, (host, int(port)), login)
            yield server
            process.send_signal(signal.SIGINT)
            server.said = json.loads(process.stdout.readline())["turn"]


@contextlib.contextmanager
def coturn(core: int) -> Iterator[Server]:
    """Debian's coturn as it comes, with one relay thread and loopback peers allowed."""
    with contextlib.closing(udp("127.0.0.1")) as found:
        port = found.getsockname()[1]
    options = ["--lt-cred-mech", "--user=alice:wonderland", "--realm=relay", "--allow-loopback-peers"]
    options += ["--no-cli", "--no-tls", "--no-dtls", "--relay-threads=1", "--log-file=/dev/null"]
    options += [
        "--no-stdout-log",
        "--pidfile=/dev/null",
        "--listening-ip=127.0.0.1",
        f"--listening-port={port}",
    ]
    with running("coturn", core, ["turnserver", "-n", *options]) as process:
        time.sleep(1.0)  # it says nothing when it is ready
        yield Server("coturn", process.pid, ("127.0.0.1", port), lambda _: Login("alice", "wonderland"))


@contextlib.contextmanager
def floor(core: int) -> Iterator[Server]:
    """The bare loop."""
    with running("floor", core, [sys.executable, "-m", f"{__package__}.floor"]) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Server("floor", process.pid, ("127.0.0.1", port), lambda _: Login("", ""))


SERVERS = {"ours": ours, "coturn": coturn, "floor": floor}
TOPOLOGIES: dict[str, Callable[[Server], Load]] = {
    "relay to relay": lambda server: between_clients(server.clients(FLOWS)),
    "client to peer": lambda server: to_peers(server.clients(FLOWS)),
    "peer to client": lambda server: to_peers(server.clients(FLOWS), back=True),
    "echo": lambda server: echo(server.address, FLOWS),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=4, help="rounds; the first is thrown away")
    parser.add_argument("--seconds", type=float, default=1.2, help="seconds of each measurement")
    parser.add_argument("--cores", default="0,1", metavar="SERVER,LOAD", help="the two cores")


def at_full_speed(server: Server, load: Load, seconds: float) -> Round:
    """One round of a closed loop."""
    before = cpu_seconds(server.pid)
    received, elapsed = load.closed(seconds, WINDOWS[server.name])
    used = cpu_seconds(server.pid) - before
    return Round(received / elapsed, 1e6 * used / max(1, received))


def full_speed(topology: str, names: Sequence[str], core: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds of each server in turn."""
    with contextlib.ExitStack() as stack:
        loads = []
        for name in names:
            server = stack.enter_context(SERVERS[name](core))
            loads.append((server, TOPOLOGIES["echo" if name == "floor" else topology](server)))
        found: dict[str, list[Round]] = {name: [] for name in names}
        for _ in range(rounds):
            for server, load in loads:
                found[server.name].append(at_full_speed(server, load, seconds))
    return {name: measured[1:] for name, measured in found.items()}


def paced(name: str, core: int, rate: float, seconds: float) -> dict[str, Any]:
    """One server at a given rate, relay to relay."""
    with SERVERS[name](core) as server:
        load = TOPOLOGIES["relay to relay"](server)
        load.paced(0.5, rate)
        load.drain()
        before = cpu_seconds(server.pid)
        result = load.paced(seconds, rate)
        used = cpu_seconds(server.pid) - before
    transits = np.percentile(result.transits, [0, 50, 99]) * 1e3 if len(result.transits) else np.zeros(3)
    return {
        "cpu": 1e6 * used / max(1, result.received),
        "rate": result.received / seconds,
        "loss": result.loss,
        "out_of_order": result.out_of_order,
        "transit_ms": {"least": transits[0], "median": transits[1], "p99": transits[2]},
        "release_errors": server.said.get("release_errors", {}),
    }


def allocations(name: str, core: int) -> dict[str, float]:
    """How fast one client sets up many allocations, and what each of them costs the server."""
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
        grown = anonymous_bytes(server.pid) - before
        for client in clients:
            client.socket.close()
    return {"per_second": ALLOCATIONS / elapsed, "bytes": grown / ALLOCATIONS}


def share_later(release_errors: dict[str, int], milliseconds: float) -> float:
    """Share of releases that were later than that."""
    total = sum(release_errors.values())
    in_time = sum(
        count for bound, count in release_errors.items() if bound != "more" and float(bound) <= milliseconds
    )
    return 1 - in_time / total if total else 1.0


def per_core(rounds: Sequence[Round]) -> float:
    """Packets that a second of the core carries: the median round."""
    return 1e6 / statistics.median(each.cpu for each in rounds)


def run(options: argparse.Namespace) -> Findings:
    """Measure everything; about a minute and a half."""
    core, load_core = map(int, options.cores.split(","))
    os.sched_setaffinity(0, {load_core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
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
                    "core %": statistics.median(each.rate * each.cpu for each in rounds) / 1e4,
                }
            )
    most = per_core(speeds["relay to relay"]["ours"])
    at_rate = {
        f"{name} at {label}": paced(name, core, rate, 2.0)
        for name, label, rate in (
            ("ours", "10,000/s", LOW_RATE),
            *((("coturn", "10,000/s", LOW_RATE),) if has_coturn else ()),
            ("ours", "half", most / 2),
            ("ours", "80 %", 0.8 * most),
        )
    }
    rows += [
        {"what": f"relay to relay, {name.split(' at ')[1]}", "server": name.split(" at ")[0],
         "packets/s": found["rate"], "µs/packet": found["cpu"], "packets/s and core": 1e6 / found["cpu"],
         "core %": found["rate"] * found["cpu"] / 1e4}
        for name, found in at_rate.items()
    ]  # fmt: skip
    setup = {name: allocations(name, core) for name in ("ours", *peers)}
    return Findings(
        title=f"TURN, {FLOWS} flows of 172 bytes, server on one core",
        rows=rows,
        promises=promises(speeds, at_rate, setup),
        versions=versions(has_coturn),
        details={"at_rate": at_rate, "allocations": setup},
        plot=lambda figure: draw(figure, rows, at_rate),
    )


def promises(
    speeds: dict[str, dict[str, list[Round]]], at_rate: dict[str, Any], setup: dict[str, Any]
) -> list[Promise]:
    """What issue and README promise, as far as the peers are here."""
    inside = speeds["relay to relay"]
    ours_cpu = 1e6 / per_core(inside["ours"])
    low, half, high = (at_rate[f"ours at {label}"] for label in ("10,000/s", "half", "80 %"))
    held = [
        Promise(
            "CPU per packet, relay to relay, over the floor", ours_cpu * per_core(inside["floor"]) / 1e6, 1.3
        ),
        Promise("loss at 80 % of the most", high["loss"], 0.001),
        Promise(
            "share of releases over 0.25 ms late at 10,000/s", share_later(low["release_errors"], 0.25), 0.01
        ),
        Promise("share of releases over 0.5 ms late at half", share_later(half["release_errors"], 0.5), 0.01),
        Promise("packets out of order", low["out_of_order"] + half["out_of_order"] + high["out_of_order"], 0),
        Promise("bytes of an allocation", setup["ours"]["bytes"], 4096),
        Promise("allocations a second", setup["ours"]["per_second"], 2000, at_most=False),
    ]
    if "coturn" in inside:
        peer = speeds["client to peer"]
        held += [
            Promise(
                "relay to relay, times coturn per core",
                per_core(inside["ours"]) / per_core(inside["coturn"]),
                2.3,
                at_most=False,
            ),
            Promise(
                "client to peer, times coturn per core",
                per_core(peer["ours"]) / per_core(peer["coturn"]),
                1.0,
                at_most=False,
            ),
            Promise(
                "CPU per packet at 10,000/s, times coturn",
                low["cpu"] / at_rate["coturn at 10,000/s"]["cpu"],
                1.0,
            ),
        ]
    return held


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
