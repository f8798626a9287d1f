"""The modelled path in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_the_mean_of_the_jitter_is_what_was_asked() -> None:
    for shape in (Jitter.NORMAL, Jitter.PARETO):
        path = Path([Hop("a", 100.0, jitter=1e-3, jitter_shape=shape)], seed=3)
        extra = [(path.release(n, 172, 0.0) or 0.0) - path.propagation for n in range(20_000)]
        # A normal that is cut at zero (one deviation below its mean) has a mean 8.3 % higher.
        expected = 1.083e-3 if shape is Jitter.NORMAL else 1e-3
        assert sum(extra) / len(extra) == pytest.approx(expected, rel=0.05)


def test_independent_loss_has_its_rate() -> None:
    path = Path(lossy(loss=0.05), seed=5)
    lost = sum(path.release("a", 172, n * 0.02) is None for n in range(20_000))
    assert lost / 20_000 == pytest.approx(0.05, abs=0.006)  # four standard deviations
    assert path.statistics["0"].lost == lost


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
    assert path.release("a", 172, 0.001) == first


def test_flows_are_forgotten_in_the_end() -> None:
    path = Path(STILL[:1], seed=5)
    for flow in range(FLOWS_KEPT + 10):
        path.release(flow, 172, 0.0)
    assert len(path._last) == FLOWS_KEPT


def test_two_hops_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Path([STILL[0], STILL[0]], seed=1)
