"""What the playout buffer learns from arrivals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.delay import BUCKET, LONGEST, SHORTEST, WINDOW, Histogram, TargetDelay, Transit


def learned(delays: list[float], repairs: list[float] = []) -> TargetDelay:  # noqa: B006 - only read
    target = TargetDelay(0.02)
    for delay in delays:
        target.observe(delay)
    for delay in repairs:
        target.observe_repair(delay)
    return target


def test_a_calm_path_needs_the_shortest_delay() -> None:
    assert learned([0.0] * 100).seconds == SHORTEST


@pytest.mark.parametrize("jitter", [0.01, 0.03, 0.08])
def test_the_target_covers_19_of_20_packets_at_least(jitter: float) -> None:
    draws = np.random.default_rng(3).exponential(jitter, 4_000).tolist()
    target = TargetDelay(0.02)
    covered, targets = [], []
    for delay in draws:
        target.observe(delay)
        covered.append(delay <= target.seconds)
        targets.append(target.seconds)
    assert np.mean(covered[500:]) > 0.94
    assert np.mean(targets[500:]) < 5 * jitter


def test_one_late_packet_does_not_move_the_target() -> None:
    assert learned([0.0] * 100 + [0.3] + [0.0] * 2).seconds == SHORTEST


def test_a_path_that_got_worse_is_learned_within_a_second_and_forgotten_in_a_few() -> None:
    target = learned([0.0] * 200 + [0.06] * 50)
    assert target.seconds >= 0.06
    for _ in range(500):
        target.observe(0.0)
    assert target.seconds == SHORTEST


def test_repairs_are_waited_for_when_they_are_frequent() -> None:
    rare, frequent = TargetDelay(0.02), TargetDelay(0.02)
    for packet in range(2_000):
        rare.observe(0.0)
        frequent.observe(0.0)
        if packet % 1_000 == 500:
            rare.observe_repair(0.02)
        if packet % 20 == 19:
            frequent.observe_repair(0.02)
    assert rare.seconds == SHORTEST
    assert frequent.seconds >= 0.02


def test_a_repair_within_the_target_costs_nothing() -> None:
    assert learned([0.06] * 200, [0.02] * 20).seconds == learned([0.06] * 200).seconds


@given(st.lists(st.floats(0, 5), max_size=50), st.lists(st.floats(-1, 5), max_size=50))
def test_the_target_stays_within_its_bounds(delays: list[float], repairs: list[float]) -> None:
    assert SHORTEST <= learned([*delays, 0.0], repairs).seconds <= LONGEST


def test_shares_sum_to_one() -> None:
    histogram = Histogram(0.983)
    for delay in (0.0, 0.01, 0.2, 9.0):
        histogram.add(delay)
    assert histogram.shares.sum() == pytest.approx(1)
    assert histogram.shares[int(0.01 / BUCKET)] == pytest.approx(0.25)


def test_delay_is_relative_to_the_fastest() -> None:
    transit = Transit()
    assert transit.observe(0.00, 100.05) == 0
    assert transit.observe(0.02, 100.08) == pytest.approx(0.01)
    assert transit.observe(0.04, 100.08) == 0


def test_a_longer_route_is_the_new_normal_after_the_window() -> None:
    transit = Transit()
    transit.observe(0.0, 0.0)
    assert transit.observe(WINDOW / 2, WINDOW / 2 + 0.1) == pytest.approx(0.1)
    transit.observe(WINDOW, WINDOW + 0.1)
    assert transit.observe(2 * WINDOW, 2 * WINDOW + 0.1) == 0


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_drift_of_the_clocks_looks_like_no_delay(drift: float) -> None:
    transit = Transit()
    delays = [transit.observe(0.02 * n, 0.02 * n * (1 + drift)) for n in range(50_000)]
    assert max(delays) <= WINDOW * abs(drift) + 1e-9


@pytest.mark.parametrize(("every", "waits"), [(50, False), (26, True)])
def test_lateness_is_waited_for_while_a_percent_costs_less_than_10_ms(every: int, waits: bool) -> None:
    target = learned([0.03 if packet % every == 0 else 0.0 for packet in range(2_000)])
    assert (target.seconds > 0.03) == waits
