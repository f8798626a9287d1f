"""The modelled path in virtual time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import UsageError
from relay.path.model import FIBRE_DELAY, FLOWS_KEPT, Burst, Hop, Jitter, Path

HOPS = [Hop(f"{n}", km=67.0) for n in range(15)]
STILL = [replace(hop, jitter=0.0) for hop in HOPS]


def lossy(**change: object) -> list[Hop]:
    return [replace(STILL[0], **change), *STILL[1:]]


def test_a_still_path_takes_its_fibre_and_its_nodes() -> None:
    path = Path(STILL, seed=1)
    assert path.km == pytest.approx(1005.0)
    assert path.propagation == pytest.approx(1005 * FIBRE_DELAY + 15 * 50e-6)
    assert path.release("a", 172, 10.0) == pytest.approx(10.0 + path.propagation)


@given(
    st.lists(st.tuples(st.floats(0, 0.01), st.sampled_from("ab")), min_size=1, max_size=60),
    st.sampled_from(list(Jitter)),
    st.integers(0, 1000),
)
def test_never_early_and_never_out_of_order(gaps: list[tuple[float, str]], shape: Jitter, seed: int) -> None:
    path = Path([replace(hop, jitter=2e-3, jitter_shape=shape) for hop in HOPS], seed=seed)
    now, last = 0.0, {"a": 0.0, "b": 0.0}
    for gap, flow in gaps:
        now += gap
        at = path.release(flow, 172, now)
        assert at is not None
        assert at >= now + path.propagation - 1e-12
        assert at >= last[flow]
        last[flow] = at


def test_the_same_seed_gives_the_same_path() -> None:
    def run(seed: int) -> list[float | None]:
        path = Path(lossy(loss=0.3), seed=seed)
        return [path.release("a", 172, n * 0.02) for n in range(200)]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_independent_loss_has_its_rate() -> None:
    path = Path(lossy(loss=0.05), seed=5)
    lost = sum(path.release("a", 172, n * 0.02) is None for n in range(20_000))
    assert lost / 20_000 == pytest.approx(0.05, abs=0.006)  # four standard deviations
    assert path.statistics["0"].lost == lost


def test_hops_have_their_own_luck() -> None:
    path = Path([replace(hop, loss=0.3) for hop in STILL[:2]], seed=5)
    lost = sum(path.release("a", 172, n * 0.02) is None for n in range(20_000))
    assert lost / 20_000 == pytest.approx(0.51, abs=0.015)  # and not 0.3, as if both had the same


def test_a_packet_is_lost_where_it_is_lost_first() -> None:
    path = Path([STILL[0], *(replace(hop, loss=1.0) for hop in STILL[1:3])], seed=5)
    assert path.release("a", 172, 0.0) is None
    assert [(hop.passed, hop.lost) for hop in path.statistics.values()] == [(1, 0), (0, 1), (0, 0)]


def test_bursts_have_their_mean_length() -> None:
    path = Path(lossy(burst=Burst(enter=0.01, leave=1 / 3)), seed=5)
    lost = [path.release("a", 172, n * 0.02) is None for n in range(60_000)]
    runs = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / runs == pytest.approx(3.0, rel=0.15)


def test_a_hop_that_is_down_loses_everything_until_it_is_up() -> None:
    path = Path(lossy(up=False), seed=5)
    assert path.release("a", 172, 0.0) is None
    path.replace(STILL)
    assert path.release("a", 172, 1.0) is not None


def test_a_shorter_path_does_not_overtake_what_is_under_way() -> None:
    path = Path(STILL, seed=5)
    first = path.release("a", 172, 0.0)
    path.replace(STILL[:1])
    assert first is not None
    assert path.release("a", 172, 0.001) == math.nextafter(first, math.inf)


def test_flows_are_forgotten_in_the_end() -> None:
    path = Path(STILL[:1], seed=5)
    for flow in range(FLOWS_KEPT + 10):
        path.release(flow, 172, 0.0)
    assert len(path._flows) == len(path._last) == FLOWS_KEPT


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(40, 1500), st.floats(0, 0.002)), max_size=40),
    min_size=1,
    max_size=30,
)
VARIANTS: dict[str, list[Hop]] = {
    "still": STILL,
    "jitter": HOPS,
    "wild": [replace(hop, jitter=3e-3, jitter_shape=Jitter.PARETO) for hop in HOPS],
    "lossy": lossy(loss=0.3, burst=Burst(0.1, 0.3)),
    "down": lossy(up=False),
    "queued": [STILL[0], replace(HOPS[1], rate=1e6, queue_packets=3, queue_bytes=3000), *HOPS[2:]],
    "none": [],
}


@pytest.mark.parametrize("variant", VARIANTS)
@given(BATCHES, st.integers(0, 1000), st.booleans(), st.booleans())
def test_a_batch_fares_like_its_packets_one_by_one(
    variant: str, batches: list[list[tuple[int, int, float]]], seed: int, outage: bool, reorder: bool
) -> None:
    together, singly = (Path(VARIANTS[variant], seed=seed, reorder=reorder) for _ in range(2))
    if outage and VARIANTS[variant]:
        for path in (together, singly):
            path.outage("0", 0.01, 0.02)
    now = 1.0 if not outage else 0.0
    for batch in batches:
        flows = np.array([together.flow(flow) for flow, _, _ in batch], np.intp)
        arrivals = now + np.cumsum([gap for _, _, gap in batch])
        sizes = np.array([size for _, size, _ in batch], np.intp)
        found = together.release_many(flows, sizes, arrivals).tolist()
        expected = [
            singly.release(flow, size, at)
            for (flow, size, _), at in zip(batch, arrivals.tolist(), strict=True)
        ]
        assert [None if math.isnan(at) else at for at in found] == pytest.approx(expected, abs=1e-12)
        now = float(arrivals[-1]) if batch else now
    assert together.statistics == singly.statistics
    assert together.loss_runs == singly.loss_runs


def test_a_large_batch_keeps_the_order_of_every_flow() -> None:
    path = Path(VARIANTS["wild"], seed=3)
    flows = np.arange(2000) % 7
    for flow in range(7):
        path.flow(flow)
    released = path.release_many(flows, np.full(2000, 172), np.linspace(1.0, 1.1, 2000))
    for flow in range(7):
        assert (np.diff(released[flows == flow]) >= 0).all()
    assert (np.diff(released) < 0).any(), "the flows themselves are not held up by each other"


@pytest.mark.parametrize("reorder", [False, True])
def test_a_flow_is_reordered_only_when_asked(reorder: bool) -> None:
    path = Path(VARIANTS["wild"], seed=3, reorder=reorder)
    flow = path.flow("flow")
    released = path.release_many(np.full(2000, flow), np.full(2000, 172), np.linspace(1.0, 1.1, 2000))
    singly = [path.release("flow", 172, 2.0 + number * 1e-4) for number in range(500)]
    assert bool((np.diff(released) < 0).any()) is reorder
    assert (sorted(singly) != singly) is reorder


def test_two_hops_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="same name"):
        Path([STILL[0], STILL[0]], seed=1)


def test_a_path_without_hops_leads_nowhere() -> None:
    path = Path(STILL, seed=1)
    path.replace([])
    assert path.release("a", 172, 0.0) is None
    path.replace(STILL)
    assert path.release("a", 172, 0.0) is not None


def test_a_packet_costs_what_happens_on_its_way() -> None:
    hops = [Hop("a", 10.0, jitter=0.0), Hop("b", 20.0, jitter=0.0, rate=1e6), Hop("c", 30.0, jitter=0.0)]
    path = Path(hops, seed=1)
    assert path.release("a", 125, 5.0) == pytest.approx(5.0 + path.propagation + 1e-3)
    # The second finds the first on the link.
    assert path.release("b", 125, 5.0) == pytest.approx(5.0 + path.propagation + 2e-3)


def test_the_tail_of_a_queue_is_dropped_and_counted_there() -> None:
    hops = [STILL[0], replace(STILL[1], rate=1e6, queue_packets=2), STILL[2]]
    path = Path(hops, seed=1)
    fates = [path.release("a", 125, 0.0) is not None for _ in range(5)]
    assert fates == [True, True, True, False, False]  # one on the link, two waiting
    counted = path.statistics
    assert [(counted[hop.name].passed, counted[hop.name].dropped) for hop in hops] == [(5, 0), (3, 2), (3, 0)]


def test_every_packet_is_accounted_for() -> None:
    hops = [
        replace(STILL[0], loss=0.2),
        replace(STILL[1], burst=Burst(0.05, 0.3)),
        replace(STILL[2], loss=0.1),
    ]
    path = Path([*hops, replace(STILL[3], rate=1e5, queue_packets=3)], seed=9)
    came_out = sum(path.release("a", 172, n * 0.01) is not None for n in range(3000))
    entering = 3000
    for counted in path.statistics.values():
        assert counted.passed + counted.lost + counted.dropped == entering
        entering = counted.passed
    assert entering == came_out
    lost = sum(length * times for length, times in path.loss_runs.items())
    assert 3000 - came_out - 20 <= lost <= 3000 - came_out


def test_an_outage_hits_whoever_gets_there_while_it_lasts() -> None:
    path = Path(STILL, seed=1)
    there = 7 * STILL[0].floor  # seconds to the eighth hop
    path.outage("7", 1.0, 2.0)
    assert path.release("a", 172, 0.999 - there) is not None
    assert path.release("a", 172, 1.001 - there) is None
    assert path.release("b", 172, 1.999 - there) is None
    assert path.release("b", 172, 2.001 - there) is not None
    assert path.statistics["7"].lost == 2


def test_a_change_at_one_hop_leaves_the_luck_of_the_others() -> None:
    def lost_at_the_last(first: Hop) -> list[bool]:
        path = Path([first, replace(STILL[1], loss=0.3)], seed=11)
        return [path.release("a", 172, n * 0.02) is None for n in range(300)]

    assert lost_at_the_last(STILL[0]) == lost_at_the_last(replace(STILL[0], km=500.0, jitter=1e-3))


def test_what_waits_in_a_queue_still_waits_when_another_hop_changes() -> None:
    queue = replace(STILL[1], rate=1e5)
    path = Path([STILL[0], queue], seed=1)
    first = path.release("a", 1250, 0.0)
    path.replace([replace(STILL[0], km=80.0), queue])
    second = path.release("b", 1250, 0.0)
    assert first is not None
    assert second is not None
    assert second >= first + 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"km": -1.0},
        {"km": float("nan")},
        {"jitter": -1e-3},
        {"processing": float("inf")},
        {"loss": 1.5},
        {"rate": 0.0},
        {"queue_packets": 5},
    ],
)
def test_hops_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="hop 0"):
        replace(STILL[0], **change)  # type: ignore[arg-type]


def test_a_burst_that_never_ends_is_refused() -> None:
    with pytest.raises(UsageError, match="leave"):
        Burst(0.1, 0.0)
