"""Token buckets: nobody takes more than their share, and nobody who waited is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.kme import quota
from relay.kme.quota import Quota


def test_a_burst_is_granted_and_then_the_rate() -> None:
    made = Quota(rate=2, burst=10)
    assert made.take("a", 10, 0.0) == 0
    assert made.take("a", 1, 0.0) == 0.5
    assert made.take("a", 1, 0.5) == 0


def test_one_sae_does_not_spend_anothers() -> None:
    made = Quota(rate=1, burst=5)
    made.take("a", 5, 0.0)
    assert made.take("b", 5, 0.0) == 0


def test_more_than_a_burst_is_never_granted() -> None:
    assert math.isinf(Quota(rate=1, burst=5).take("a", 6, 0.0))


def test_memory_stays_bounded_and_an_empty_bucket_outlives_the_full_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota, "TABLE_LIMIT", 3)
    made = Quota(rate=0.001, burst=5)
    made.take("greedy", 5, 0.0)
    for name in ("b", "c", "d", "e"):
        made.take(name, 0, 0.0)
    assert made.take("greedy", 1, 1.0) > 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 8)), max_size=30))
def test_what_is_granted_never_exceeds_burst_and_rate(asked: list[tuple[float, int]]) -> None:
    made = Quota(rate=1.5, burst=8)
    now = granted = 0.0
    for wait, number in asked:
        now += wait
        delay = made.take("a", number, now)
        granted += number if delay == 0 else 0
        assert granted <= 8 + 1.5 * now + 1e-6
        if delay > 0:
            now += delay + 1e-9
            assert made.take("a", number, now) == 0
            granted += number
