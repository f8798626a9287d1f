"""Token buckets in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.signalling.budget import Budget, Rate


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    budget = Budget(Rate(per_second=2.0, burst=5.0))
    assert [budget.spend("a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert budget.spend("a", 0.5)
    assert not budget.spend("a", 0.5)


def test_keys_do_not_share() -> None:
    budget = Budget(Rate(per_second=1.0, burst=1.0))
    assert budget.spend("a", 0.0)
    assert budget.spend("b", 0.0)
    assert not budget.spend("a", 0.0)


def test_more_than_the_burst_never_passes_at_once() -> None:
    budget = Budget(Rate(per_second=1.0, burst=10.0))
    assert not budget.spend("a", 1000.0, amount=11.0)
    assert budget.spend("a", 1000.0, amount=10.0)


@given(st.lists(st.floats(0, 3), max_size=80))
def test_no_window_exceeds_burst_and_rate(gaps: list[float]) -> None:
    budget = Budget(Rate(per_second=2.0, burst=3.0))
    now, passed = 0.0, []
    for gap in gaps:
        now += gap
        if budget.spend("a", now):
            passed.append(now)
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= 3 + 2 * (end - start) + 1e-6


def test_a_flood_of_keys_costs_no_memory_and_does_not_touch_those_who_were_there() -> None:
    budget = Budget(Rate(per_second=1.0, burst=10.0), capacity=100)
    assert budget.spend("old", 0.0)
    passed = sum(budget.spend(f"flood {n}", 0.0) for n in range(10_000))
    assert len(budget) == 100
    assert passed == 99 + 10
    assert budget.spend("old", 0.0)


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    budget = Budget(Rate(per_second=1.0, burst=1.0), capacity=10)
    for n in range(10):
        budget.spend(n, 0.0)
    assert budget.spend("new", 1.5)
    assert len(budget) == 1
