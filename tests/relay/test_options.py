"""What a relay is told becomes hops, for itself and for its media workers."""

from __future__ import annotations

import itertools

import pytest

from relay.errors import UsageError
from relay.network.topology import load
from relay.options import Options, PathOptions, hops, routes, worker_options
from relay.path.hop import Jitter

CHAIN = load("beijing-hefei")
NAMED = CHAIN.hops(CHAIN.path("beijing", "hefei"))


def test_loss_from_end_to_end_is_spread_over_the_hops() -> None:
    arrive = 1.0
    for hop in hops(NAMED, PathOptions(topology=CHAIN, loss=0.05)):
        arrive *= 1 - hop.loss
    assert arrive == pytest.approx(0.95)


def test_losses_in_a_row_are_as_many_in_all() -> None:
    made = hops(NAMED, PathOptions(topology=CHAIN, loss=0.05, burst=3))
    assert all(hop.burst is not None and hop.burst.leave == pytest.approx(1 / 3) for hop in made)
    assert sum(hop.burst.loss for hop in made if hop.burst) == pytest.approx(0.05, rel=0.05)


def test_the_jitter_of_the_path_is_that_of_all_hops_together() -> None:
    told = PathOptions(topology=CHAIN, jitter=0.004, jitter_shape=Jitter.PARETO)
    made = hops(NAMED, told)
    assert sum(hop.jitter**2 for hop in made) == pytest.approx(0.004**2)
    assert {hop.jitter_shape for hop in made} == {Jitter.PARETO}


def test_a_rate_takes_its_time_at_every_hop_and_a_full_queue_drops() -> None:
    told = PathOptions(topology=CHAIN, jitter=0.0, rate=1e6, queue=2, seed=1)
    path = routes(told).between("beijing", "hefei")
    assert path is not None
    first = path.release("call", 125, 0.0)
    assert first == pytest.approx(path.propagation + len(NAMED) * 0.001)
    later = [path.release("call", 125, 0.0) for _ in range(5)]
    assert sum(each is None for each in later) == 3


def test_a_queue_without_a_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="--queue: only what has a --rate"):
        PathOptions(topology=CHAIN, queue=3)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(UsageError, match="--rate"):
        PathOptions(topology=CHAIN, rate=rate)


def test_a_worker_is_told_all_of_the_path() -> None:
    told = Options(
        topology=CHAIN, source="beijing-hefei", listen=("127.0.0.1", 0), turn=("127.0.0.1", 0), loss=0.01,
        burst=2.0, jitter=0.003, jitter_shape=Jitter.PARETO, reorder=True, rate=64e3, queue=7, seed=5,
    )  # fmt: skip
    words = worker_options(told, None, 1)
    pairs = dict(itertools.pairwise(words))
    path = {name: pairs[name] for name in ("--path", "--loss", "--burst", "--jitter", "--jitter-shape")}
    assert path == {
        "--path": "beijing-hefei", "--loss": "0.01", "--burst": "2.0", "--jitter": "3.0",
        "--jitter-shape": "pareto",
    }  # fmt: skip
    assert (pairs["--rate"], pairs["--queue"], pairs["--seed"]) == ("64.0", "7", "6")
    assert "--reorder" in words
