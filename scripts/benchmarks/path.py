"""The path model against Linux netem: the same delay, jitter and loss asked of both, and what came of it.

Netem works on a veth pair between two network namespaces of this benchmark's own, with a table of the model's
one-sided jitter; the model runs in virtual time. Where the kernel has no netem the model is held against the
distributions that netem's manual promises, drawn by other code; that is shown, but no promise.

Compared are the mean delay, the distribution of delays (Kolmogorov-Smirnov), the lengths of loss runs
(chi-squared) and reordering. A test that a right model fails once in a thousand runs is passed at p > 0.001.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relay.path.model import Burst, Hop, Jitter, Path

from .findings import Findings, Promise

HELP = "the modelled path against tc netem: mean, distribution, loss runs, reordering"
DELAY = 0.005
JITTER = 0.0005
"""Seconds."""
LOSS = 0.05
BURST = Burst(enter=0.02, leave=0.25)
TABLE = 4096
GAP = 0.001
"""Seconds between packets."""
PASSED = 0.001
NAMES = ("qcall-path-a", "qcall-path-b")
ADDRESSES = ("10.199.0.1", "10.199.0.2")
PORT = 7000


@dataclass
class Sample:
    """What became of packets sent one after the other. ``delays``: seconds, of those that came."""

    source: str
    delays: NDArray[np.float64]
    lost: NDArray[np.bool_]
    out_of_order: int

    @property
    def runs(self) -> NDArray[np.intp]:
        """Lengths of the runs of lost packets."""
        edges = np.flatnonzero(np.diff(np.concatenate(([0], self.lost.astype(int), [0]))))
        return edges[1::2] - edges[::2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)


def modelled(hop: Hop, packets: int, seed: int) -> Sample:
    """The model in virtual time, a batch of 100 at a time."""
    path = Path([hop], seed=seed)
    flow = path.flow("flow")
    entered = np.arange(packets) * GAP + 1.0
    released = np.concatenate(
        [
            path.release_many(np.full(len(part), flow), np.full(len(part), 200), part)
            for part in np.array_split(entered, max(1, packets // 100))
        ]
    )
    lost = np.isnan(released)
    came = released[~lost]
    return Sample("model", came - entered[~lost], lost, int((np.diff(came) < 0).sum()))


def promised(packets: int, seed: int, *, burst: bool) -> Sample:
    """What the manual of netem promises, drawn by numpy: no code of the model takes part."""
    draw = np.random.default_rng(seed + 1)
    normal = np.abs(draw.standard_normal(packets))
    delays = DELAY + normal * JITTER / np.sqrt(1 - 2 / np.pi)
    if burst:
        lost, bad = np.zeros(packets, np.bool_), False
        for place, chance in enumerate(draw.random(packets)):
            bad = chance >= BURST.leave if bad else chance < BURST.enter
            lost[place] = bad
    else:
        lost = draw.random(packets) < LOSS
    kept = delays[~lost]
    # A packet waits for the one before it, as with netem's rate or reorder protection.
    times = np.maximum.accumulate(np.flatnonzero(~lost) * GAP + kept)
    return Sample("netem's manual", times - np.flatnonzero(~lost) * GAP, lost, 0)


def run_tool(*command: str, tables: str = "") -> None:
    """Run a system tool; its complaint is the error. ``tables``: where tc finds its distributions."""
    surroundings = {**os.environ, "TC_LIB_DIR": tables} if tables else None
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def write_table(file: FilePath) -> None:
    """The upper half of a normal distribution as tc(8) reads it: 8192 is one standard deviation."""
    upper = 1 - (np.arange(TABLE) + 0.5) / (2 * TABLE)
    inverse = NormalDist().inv_cdf
    steps = [round(8192 * inverse(each) / math.sqrt(1 - 2 / math.pi)) for each in upper.tolist()]
    file.write_text("\n".join(map(str, reversed(steps))) + "\n")


@contextlib.contextmanager
def namespaces(*netem: str) -> Iterator[None]:
    """Two namespaces joined by a veth pair, with netem on the way from the first to the second."""
    try:
        for name in NAMES:
            run_tool("ip", "netns", "add", name)
        run_tool(
            "ip",
            "link",
            "add",
            "qp0",
            "netns",
            NAMES[0],
            "type",
            "veth",
            "peer",
            "name",
            "qp1",
            "netns",
            NAMES[1],
        )
        for name, link, address in zip(NAMES, ("qp0", "qp1"), ADDRESSES, strict=True):
            run_tool("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run_tool("ip", "-n", name, "link", "set", link, "up")
        with tempfile.TemporaryDirectory() as tables:
            write_table(FilePath(tables) / "half-normal.dist")
            qdisc = ("tc", "-n", NAMES[0], "qdisc", "add", "dev", "qp0", "root", "netem", "limit", "100000")
            run_tool(*qdisc, *netem, tables=tables)
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def measured(packets: int, *netem: str) -> Sample:
    """Packets over a veth pair with netem; raises ``OSError`` where this machine has none."""
    with namespaces(*netem):
        inside = ("ip", "netns", "exec")
        program = [sys.executable, "-m", __name__]
        with subprocess.Popen(
            [*inside, NAMES[1], *program, "hear", str(packets)], stdout=subprocess.PIPE
        ) as ear:
            time.sleep(0.5)
            subprocess.run([*inside, NAMES[0], *program, "say", str(packets)], check=True)
            said, _ = ear.communicate()
    heard = np.frombuffer(said, np.float64).reshape(-1, 3)
    numbers = heard[:, 0].astype(np.intp)
    lost = np.ones(packets, np.bool_)
    lost[numbers] = False
    return Sample("netem", heard[:, 2] - heard[:, 1], lost, int((np.diff(numbers) < 0).sum()))


def say(packets: int) -> None:
    """In the first namespace: send numbered packets by the clock."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        started = time.monotonic()
        for number in range(packets):
            while time.monotonic() < started + number * GAP:
                pass
            opened.sendto(np.array([number, time.time()]).tobytes(), (ADDRESSES[1], PORT))


def hear(packets: int) -> None:
    """In the second: write down number, time sent and time the kernel took each in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((ADDRESSES[1], PORT))
        opened.setsockopt(socket.SOL_SOCKET, 35, 1)
        opened.settimeout(3.0)
        with contextlib.suppress(TimeoutError):
            for _ in range(packets):
                data, ancillary, *_ = opened.recvmsg(64, 64)
                stamp = np.frombuffer(ancillary[0][2], np.int64)
                arrived = stamp[0] + stamp[1] * 1e-9
                sys.stdout.buffer.write(data + np.float64(arrived).tobytes())
    sys.stdout.buffer.flush()


def peer(packets: int, seed: int, *netem: str, burst: bool) -> tuple[Sample, str]:
    """Netem where there is one; else what its manual promises, and why."""
    try:
        return measured(packets, *netem), ""
    except OSError as error:
        return promised(packets, seed, burst=burst), str(error)


def loss_runs_agree(one: Sample, other: Sample) -> float:
    """The p-value of a chi-squared test that the runs of both have the same distribution."""
    from scipy.stats import chi2_contingency

    bounds = [1, 2, 3, 5, 8, np.inf]
    table = np.array([np.histogram(sample.runs, bounds)[0] for sample in (one, other)])
    return float(chi2_contingency(table[:, table.sum(axis=0) >= 10]).pvalue)


def run(options: argparse.Namespace) -> Findings:
    """Independent loss and bursts, each with the same delay and jitter."""
    from scipy.stats import ks_2samp

    km = (DELAY - 50e-6) / 4.9e-6
    normal = ("delay", "5ms", "0.5ms", "distribution", "half-normal", "rate", "1gbit")
    cases = {
        "independent loss": (
            Hop("hop", km, jitter=JITTER, jitter_shape=Jitter.NORMAL, loss=LOSS),
            (*normal, "loss", f"{100 * LOSS}%"),
        ),
        "bursts": (
            Hop("hop", km, jitter=JITTER, jitter_shape=Jitter.NORMAL, burst=BURST),
            (*normal, "loss", "gemodel", f"{100 * BURST.enter}%", f"{100 * BURST.leave}%", "100%", "0%"),
        ),
    }
    rows: list[dict[str, Any]] = []
    promises: list[Promise] = []
    samples: dict[str, tuple[Sample, Sample]] = {}
    reason = ""
    for case, (hop, netem) in cases.items():
        ours = modelled(hop, options.packets, options.seed)
        theirs, reason = peer(options.packets, options.seed, *netem, burst=hop.burst is not None)
        samples[case] = ours, theirs
        rows += [
            {
                "what": case,
                "by": sample.source,
                "mean ms": 1e3 * float(sample.delays.mean()),
                "p99 ms": 1e3 * float(np.percentile(sample.delays, 99)),
                "lost %": 100 * float(sample.lost.mean()),
                "mean run": float(sample.runs.mean()),
                "out of order": sample.out_of_order,
            }
            for sample in (ours, theirs)
        ]
        difference = abs(ours.delays.mean() - theirs.delays.mean()) / theirs.delays.mean()
        same = ks_2samp(ours.delays, theirs.delays).pvalue
        promises += [
            Promise(f"{case}: difference of mean delay", float(difference), 0.01),
            Promise(f"{case}: p of the same delays (KS)", float(same), PASSED, at_most=False),
            Promise(
                f"{case}: p of the same loss runs (chi-squared)",
                loss_runs_agree(ours, theirs),
                PASSED,
                at_most=False,
            ),
            Promise(f"{case}: packets out of order", ours.out_of_order, 0),
        ]
    versions = {"kernel": platform.release()}
    if reason:  # nothing is promised that was held against a peer of our own
        versions["against netem's manual"] = "; ".join(map(str, promises))
    return Findings(
        title=f"The modelled path, {options.packets} packets, {1e3 * GAP:g} ms apart",
        rows=rows,
        promises=[] if reason else promises,
        unmeasured=[f"{each.what} (no netem here: {reason})" for each in promises] if reason else [],
        versions=versions,
        plot=lambda figure: draw(figure, samples),
    )


def draw(figure: Any, samples: dict[str, tuple[Sample, Sample]]) -> None:
    """Delays as cumulative shares, and loss runs."""
    axes = figure.subplots(2, len(samples))
    for column, (case, pair) in enumerate(samples.items()):
        for sample in pair:
            delays = np.sort(sample.delays) * 1e3
            axes[0, column].plot(delays, np.linspace(0, 1, len(delays)), label=sample.source)
        axes[0, column].set(title=case, xlabel="delay, ms", ylabel="share")
        axes[0, column].legend()
        axes[1, column].hist([sample.runs for sample in pair], bins=range(1, 15), density=True)
        axes[1, column].set(xlabel="lost in a row", ylabel="share")


if __name__ == "__main__":
    {"say": say, "hear": hear}[sys.argv[1]](int(sys.argv[2]))
