"""Draws against the distributions that they claim to come from."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from relay.path.chance import Stream
from relay.path.hop import Burst, Hop, Jitter

COUNT = 50_000
SIGMA = 2e-3


def draw(hop: Hop, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    stream = Stream((seed,))
    blocks = [stream.next(hop, 250) for _ in range(COUNT // 250)]
    losses = [np.zeros(250, np.bool_) if block[1] is None else block[1] for block in blocks]
    delays = [np.zeros(250) if block[0] is None else block[0] for block in blocks]
    return np.concatenate(delays), np.concatenate(losses)


def half_normal(delay: float) -> float:
    return math.erf(delay / (SIGMA / math.sqrt(1 - 2 / math.pi)) / math.sqrt(2))


def lomax(delay: float) -> float:
    return 1 - (1 + delay / (SIGMA / (math.sqrt(3) / 2))) ** -3


@pytest.mark.parametrize(("shape", "cdf"), [(Jitter.NORMAL, half_normal), (Jitter.PARETO, lomax)])
def test_jitter_has_its_distribution(shape: Jitter, cdf: Callable[[float], float]) -> None:
    delays = np.sort(draw(Hop("a", 1.0, jitter=SIGMA, jitter_shape=shape))[0])
    expected = np.array([cdf(delay) for delay in delays])
    distance = np.max(np.abs(expected - np.arange(1, COUNT + 1) / COUNT))
    # Kolmogorov-Smirnov: larger by chance once in 10,000 seeds, and this seed is fixed.
    assert distance < math.sqrt(-math.log(1e-4 / 2) / (2 * COUNT))
    assert delays[0] >= 0


def test_jitter_has_the_standard_deviation_that_was_asked() -> None:
    delays, _ = draw(Hop("a", 1.0, jitter=SIGMA))
    assert np.std(delays) == pytest.approx(SIGMA, rel=0.02)
    assert np.mean(delays) == pytest.approx(
        SIGMA * math.sqrt(2 / math.pi) / math.sqrt(1 - 2 / math.pi), rel=0.02
    )


def test_no_jitter_is_none_at_all() -> None:
    assert not draw(Hop("a", 1.0, jitter=SIGMA, jitter_shape=Jitter.NONE))[0].any()
    assert not draw(Hop("a", 1.0, jitter=0.0))[0].any()


def test_independent_loss_has_its_rate_and_no_memory() -> None:
    _, lost = draw(Hop("a", 1.0, loss=0.1))
    assert np.mean(lost) == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / COUNT))
    assert np.mean(lost[1:][lost[:-1]]) == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / (0.1 * COUNT)))


def test_bursts_have_their_share_and_geometric_lengths() -> None:
    burst = Burst(enter=0.02, leave=0.25)
    _, lost = draw(Hop("a", 1.0, burst=burst))
    assert np.mean(lost) == pytest.approx(burst.loss, rel=0.1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    # Chi-squared of the lengths 1 to 8 and above against the geometric distribution: 8 degrees of freedom.
    shares = [0.25 * 0.75**n for n in range(8)]
    expected = len(lengths) * np.array([*shares, 1 - sum(shares)])
    seen = np.array([np.sum(lengths == n) for n in range(1, 9)] + [np.sum(lengths > 8)])
    assert np.sum((seen - expected) ** 2 / expected) < 31.8  # exceeded by chance once in 10,000


def test_the_same_seed_draws_the_same() -> None:
    hop = Hop("a", 1.0, loss=0.3, burst=Burst(0.1, 0.5))
    assert all(np.array_equal(one, other) for one, other in zip(draw(hop), draw(hop), strict=True))
    assert not np.array_equal(draw(hop)[1], draw(hop, seed=2)[1])
