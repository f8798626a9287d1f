"""The path model against Linux netem: the same delay, jitter, loss and queue asked of both, and what came.

Netem works on a veth pair (``netem.py``); the model is given the moments at which its packets were sent.
Compared are the mean delay, the distribution of delays (Kolmogorov-Smirnov), the lengths of loss runs
(chi-squared) and reordering. A test that a right model fails once in a thousand runs is passed at p > 0.001.
What sockets and kernel add is measured with a delay that does not vary, before and after; the model's delays
get draws of it. It varies too: a middle taken off netem's would leave a difference where delays lie close.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relay.path.model import FIBRE_DELAY, Burst, Hop, Jitter, Path

from .findings import Findings, Promise
from .netem import ON_LINE, Crossing, NoNetem, Sending, measure

HELP = "the modelled path against tc netem: mean, distribution, loss runs, queue, reordering"
DELAY = 0.010
JITTER = 0.002
"""Seconds."""
LOSS = 0.05
BURST = Burst(enter=0.02, leave=0.25)
RATE = 1e6
"""Bits a second, where packets queue."""
QUEUE = 20
"""Packets that wait there at most, beside the one on its way onto the link."""
GAP = 0.001
"""Seconds between packets."""
TRAIN, PAUSE = 60, 0.060
"""Packets one after the other, and seconds between such trains, where packets queue."""
FASTER = (2, 3, 4, 5)
"""Trains come at so many times the link's rate, in turns."""
PASSED = 0.001
TABLE = 4096
UNIT = 8192
"""What tc takes for one standard deviation."""
STRETCH = {"half-normal": 2, "lomax": 16}
"""Standard deviations to tc's one: tc's numbers end at 4 of its own, and tails are longer."""
THINNED = 10
"""Of packets that wait for each other one in so many is compared: the test takes them to be independent."""


@dataclass(frozen=True)
class Case:
    """One hop, and what netem is told to be the same."""

    hop: Hop
    netem: Sequence[str]
    gaps: Callable[[int], NDArray[np.float64]]
    reorder: bool = False


@dataclass
class Sample:
    """What became of packets sent one after the other. ``delays``: seconds, of those that came."""

    source: str
    delays: NDArray[np.float64]
    lost: NDArray[np.bool_]
    overtaken: int
    """Packets that came after a later one."""

    @property
    def runs(self) -> NDArray[np.intp]:
        """Lengths of the runs of lost packets."""
        edges = np.flatnonzero(np.diff(np.concatenate(([0], self.lost.astype(int), [0]))))
        return edges[1::2] - edges[::2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--packets", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)


def evenly(packets: int) -> NDArray[np.float64]:
    """Packets by the clock."""
    return np.full(packets, GAP)


def in_trains(packets: int) -> NDArray[np.float64]:
    """Packets faster than the link for a while, and then none.

    None comes when another one leaves, but half a gap beside it: a kernel a little late changes nothing.
    """
    numbers = np.arange(packets)
    gaps = (8 * ON_LINE / RATE) / np.array(FASTER)[numbers // TRAIN % len(FASTER)]
    gaps[::TRAIN] = PAUSE
    gaps[1::TRAIN] /= 2
    return gaps


def cases() -> dict[str, Case]:
    """Everything that both can do."""
    still = Hop("hop", (DELAY - 50e-6) / FIBRE_DELAY, jitter=0.0)
    varied = {"km": still.km, "jitter": JITTER, "jitter_shape": Jitter.NORMAL}
    delay, ordered = f"{1e3 * DELAY:g}ms", ("rate", "1gbit")
    normal, pareto = (
        ("limit", "100000", "delay", delay, f"{1e3 * stretch * JITTER:g}ms", "distribution", name)
        for name, stretch in STRETCH.items()
    )
    percent = [f"{100 * share:g}%" for share in (BURST.enter, BURST.leave)]
    return {
        "half-normal jitter, independent loss": Case(
            Hop("hop", **varied, loss=LOSS), (*normal, *ordered, "loss", f"{100 * LOSS:g}%"), evenly
        ),
        "half-normal jitter, bursts": Case(
            Hop("hop", **varied, burst=BURST),
            (*normal, *ordered, "loss", "gemodel", *percent, "100%", "0%"),
            evenly,
        ),
        "pareto jitter, reordering": Case(
            Hop("hop", still.km, jitter=JITTER, jitter_shape=Jitter.PARETO), pareto, evenly, reorder=True
        ),
        "a queue that fills": Case(
            Hop("hop", 0.0, processing=0.0, jitter=0.0, rate=RATE, queue_packets=QUEUE),
            ("limit", str(QUEUE + 1), "rate", f"{RATE:.0f}bit"),
            in_trains,
        ),
        "half-normal jitter, reordering": Case(Hop("hop", **varied), normal, evenly, reorder=True),
    }


STILL = Sending(("limit", "100000", "delay", f"{1e3 * DELAY:g}ms"), [GAP] * 2000)
"""A delay that does not vary."""


def tables() -> dict[str, list[int]]:
    """The model's one-sided distributions as tc reads them."""
    middles = (np.arange(TABLE) + 0.5) / TABLE
    inverse = NormalDist().inv_cdf
    normal = [inverse((1 + each) / 2) / math.sqrt(1 - 2 / math.pi) for each in middles.tolist()]
    lomax = ((1 - middles) ** (-1 / 3) - 1) / (math.sqrt(3) / 2)
    return {
        name: [min(round(UNIT * each / STRETCH[name]), 32_767) for each in steps]
        for name, steps in {"half-normal": normal, "lomax": lomax.tolist()}.items()
    }


def modelled(case: Case, entered: NDArray[np.float64], overheads: NDArray[np.float64], seed: int) -> Sample:
    """The model in virtual time, a batch of 100 at a time, and what netem's sockets and kernel would add.

    ``overheads``: seconds, drawn from for every packet.
    """
    path = Path([case.hop], seed=seed, reorder=case.reorder)
    flow = path.flow("flow")
    left = np.concatenate(
        [
            path.release_many(np.full(len(part), flow), np.full(len(part), ON_LINE), part)
            for part in np.array_split(entered, max(1, len(entered) // 100))
        ]
    )
    order = np.argsort(left, kind="stable")[: np.count_nonzero(~np.isnan(left))]
    left += np.random.default_rng(seed).choice(overheads, len(left))
    return sample("model", Crossing(entered, left, order))


def sample(source: str, crossing: Crossing) -> Sample:
    """What became of packets."""
    lost = np.isnan(crossing.left)
    delays = (crossing.left - crossing.entered)[~lost]
    return Sample(source, delays, lost, int((np.diff(np.maximum.accumulate(crossing.order)) == 0).sum()))


def loss_runs_agree(one: Sample, other: Sample) -> float:
    """The p-value of a chi-squared test that the runs of both have the same distribution."""
    bounds = [1, 2, 3, 5, 8, np.inf]
    return agree([np.histogram(sample.runs, bounds)[0] for sample in (one, other)])


def agree(counts: Sequence[NDArray[Any]]) -> float:
    """The p-value of a chi-squared test that both rows have the same shares.

    1 where there is nothing to tell them apart, 0 where one of them has nothing.
    """
    from scipy.stats import chi2_contingency

    table = np.array(counts)
    if not table.sum(axis=1).all():
        return 0.0
    table = table[:, table.sum(axis=0) >= 10]
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def compare(name: str, case: Case, ours: Sample, theirs: Sample) -> list[Promise]:
    """What has to be the same."""
    from scipy.stats import ks_2samp

    difference = abs(ours.delays.mean() - theirs.delays.mean()) / theirs.delays.mean()
    every = 1 if case.reorder else THINNED
    same = float(ks_2samp(ours.delays[::every], theirs.delays[::every]).pvalue)
    promises = [
        Promise(f"{name}: difference of mean delay", float(difference), 0.01),
        Promise(f"{name}: p of the same delays (KS)", same, PASSED, at_most=False),
    ]
    if ours.lost.any() or theirs.lost.any():
        p = loss_runs_agree(ours, theirs)
        promises.append(Promise(f"{name}: p of the same loss runs (chi-squared)", p, PASSED, at_most=False))
    if case.reorder:
        p = agree([np.array([len(each.delays) - each.overtaken, each.overtaken]) for each in (ours, theirs)])
        promises.append(
            Promise(f"{name}: p of the same share overtaken (chi-squared)", p, PASSED, at_most=False)
        )
    else:
        promises.append(Promise(f"{name}: packets out of order", ours.overtaken, 0))
    return promises


def run(options: argparse.Namespace) -> Findings:
    """Every case, or why there is none."""
    asked = cases()
    sendings = {
        name: Sending(case.netem, case.gaps(options.packets).tolist()) for name, case in asked.items()
    }
    try:
        kernel, found = measure({"before": STILL, **sendings, "after": STILL}, tables())
    except NoNetem as error:
        return Findings(
            title="The modelled path",
            rows=[{"what": name} for name in asked],
            promises=[],
            unmeasured=[f"{name} (no netem here: {error})" for name in asked],
        )
    still = [found.pop(when) for when in ("before", "after")]
    overheads = np.concatenate([(each.left - each.entered)[each.order] for each in still]) - DELAY
    pairs = {
        name: (
            modelled(asked[name], crossing.entered, overheads, options.seed),
            sample("netem", crossing),
        )
        for name, crossing in found.items()
    }
    return Findings(
        title=f"The modelled path, {options.packets} packets",
        rows=[
            {
                "what": name,
                "by": each.source,
                "mean ms": 1e3 * float(each.delays.mean()),
                "p99 ms": 1e3 * float(np.percentile(each.delays, 99)),
                "lost %": 100 * float(each.lost.mean()),
                "mean run": float(each.runs.mean()) if each.lost.any() else 0.0,
                "overtaken": each.overtaken,
            }
            for name, pair in pairs.items()
            for each in pair
        ],
        promises=[each for name, pair in pairs.items() for each in compare(name, asked[name], *pair)],
        versions={"netem": kernel},
        details={f"overhead_p{share}_ms": 1e3 * float(np.percentile(overheads, share)) for share in (50, 99)},
        plot=lambda figure: draw(figure, pairs),
    )


def draw(figure: Any, samples: Mapping[str, tuple[Sample, Sample]]) -> None:
    """Delays as cumulative shares, and loss runs."""
    axes = figure.subplots(2, len(samples))
    for column, (case, pair) in enumerate(samples.items()):
        for each in pair:
            delays = np.sort(each.delays) * 1e3
            axes[0, column].plot(delays, np.linspace(0, 1, len(delays)), label=each.source)
        axes[0, column].set(title=case, xlabel="delay, ms", ylabel="share")
        axes[0, column].legend()
        if all(each.lost.any() for each in pair):
            axes[1, column].hist([each.runs for each in pair], bins=range(1, 15), density=True)
        axes[1, column].set(xlabel="lost in a row", ylabel="share")
