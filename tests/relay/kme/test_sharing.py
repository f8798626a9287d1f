"""Fair shares: full pools bind nobody, low ones everybody alike, and a call too many is told so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.kme.sharing import KEYS_PER_CALL, WINDOW, NoShare, Sharing


class Way:
    """What the links to one key node hold: a pool that fills."""

    def __init__(self, left: int, rate: float = 0.0) -> None:
        self.sharing = Sharing()
        self.left = left
        self.rate = rate
        self.asked = 0

    def budget(self) -> tuple[int, float]:
        self.asked += 1
        return self.left, self.rate

    def take(self, sae: str, number: int = 1, now: float = 0.0) -> None:
        self.sharing.admit(sae, "there", number, self.budget, now)
        self.left -= number
        self.sharing.took(sae, "there", number, now)

    def refusal(self, sae: str, number: int = 1, now: float = 0.0) -> NoShare:
        with pytest.raises(NoShare) as refused:
            self.sharing.admit(sae, "there", number, self.budget, now)
        return refused.value


def test_with_full_pools_one_may_take_much() -> None:
    Way(2000).take("greedy", 500)


def test_with_low_pools_nobody_takes_more_than_an_equal_part() -> None:
    way = Way(12)
    for sae in ("a", "b", "c"):
        way.take(sae)
    way.take("a", 3)
    refused = way.refusal("a")
    assert refused.code == "fair-share"
    assert "shared by 3 calls" in str(refused)
    way.take("b", 3)
    way.take("c", 3)


def test_a_call_too_many_is_refused_with_what_the_links_can_keep() -> None:
    way = Way(4, rate=3 / WINDOW)
    for sae in ("a", "b", "c"):
        way.take(sae)
    refused = way.refusal("d")
    assert refused.code == "no-capacity"
    assert "can keep 3 calls in keys and 3 are up" in str(refused)


def test_a_call_that_runs_goes_on_when_no_new_one_is_admitted() -> None:
    way = Way(4)
    way.take("a")
    way.take("b")
    assert way.refusal("c").code == "no-capacity"
    way.take("a", now=60)
    way.take("b", now=60)


def test_a_share_comes_back_when_the_window_has_passed() -> None:
    way = Way(4)
    way.take("a", 2)
    way.take("b")
    refused = way.refusal("a", now=10)
    assert refused.wait == WINDOW - 10
    way.left = 4
    way.take("a", now=WINDOW + 1)


def test_without_any_key_it_is_the_links_that_say_what_is_missing() -> None:
    Way(0).sharing.admit("a", "there", 1, lambda: (0, 0.0), 0.0)


def test_the_budget_is_believed_for_a_moment_but_never_to_refuse() -> None:
    way = Way(1000)
    way.take("a")
    way.take("a", now=0.1)
    assert way.asked == 1
    way.take("a", now=1.0)
    assert way.asked == 2
    way.left = 2
    way.sharing.admit("b", "there", 1, way.budget, 1.1)
    assert way.asked == 2
    way.left = 5000
    way.take("a", 1500, now=1.1)
    assert way.asked == 3, "what was believed would have refused"


def test_other_ways_are_shared_apart() -> None:
    way = Way(4)
    way.take("a", 4)
    way.sharing.admit("b", "elsewhere", 2, lambda: (4, 0.0), 0.0)
    assert (way.sharing.calls("there", 0.0), way.sharing.calls("elsewhere", 0.0)) == (1, 0)


@given(st.integers(0, 60), st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), max_size=60))
def test_whoever_asks_for_whatever_no_one_is_granted_more_than_a_part(
    pool: int, asked: list[tuple[str, int]]
) -> None:
    way = Way(pool)
    granted: dict[str, int] = {}
    for sae, number in asked:
        if number > way.left:
            continue  # the links refuse by themselves
        try:
            way.take(sae, number)
        except NoShare:
            continue
        granted[sae] = granted.get(sae, 0) + number
        assert granted[sae] * len(granted) <= pool
    assert len(granted) <= pool / KEYS_PER_CALL
