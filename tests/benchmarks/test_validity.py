"""A run that did not measure what it set out to is spoiled; one that did is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scripts.benchmarks.validity import count_tolerance, doubts, loss_tolerance

SOUND: dict[str, Any] = {
    "delay": 0.046,
    "path": 0.0058,
    "peak": 0.9,
    "loss": 0.052,
    "nominal": 0.05,
    "burst": 1.0,
    "packets": 5_000,
    "counted": 0.051,
}


def test_a_good_run_raises_no_doubts() -> None:
    assert list(doubts(**SOUND)) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"delay": -0.161}, "before the path"),
        ({"delay": 0.003}, "before the path"),
        ({"peak": 0.3}, "not found"),
        ({"loss": 0.08, "counted": 0.08}, "the path lost 8.0 %"),
        ({"loss": 0.0, "counted": 0.0}, "in the place of 5.0 %"),
        ({"counted": 0.09}, "the listener missed 9.0 %"),
    ],
)
def test_what_cannot_be_is_doubted(wrong: dict[str, float], says: str) -> None:
    (doubt,) = doubts(**{**SOUND, **wrong})
    assert says in doubt


def test_a_lossless_path_may_lose_hardly_anything() -> None:
    assert loss_tolerance(0.0, 1.0, 5_000) < 0.001


@pytest.mark.parametrize("burst", [1, 3, 6])
def test_chance_alone_spoils_no_run(burst: int) -> None:
    luck = np.random.default_rng(burst)
    loss, packets, spoiled = 0.1, 2_000, 0
    enter = loss / (1 - loss) / burst
    for _ in range(200):
        lost, share = False, 0
        for draw in luck.random(packets):
            lost = draw >= 1 / burst if lost else draw < enter
            share += lost
        spoiled += abs(share / packets - loss) > loss_tolerance(loss, burst, packets)
    assert spoiled == 0


def test_the_ends_of_a_call_spoil_no_run_and_a_long_one_less_than_a_short_one() -> None:
    assert count_tolerance(0.1, 1, 1_700) > 0.01
    assert count_tolerance(0.1, 1, 20_000) < 0.002
    assert count_tolerance(0.0, 1, 5_000) < 0.001
