"""The pool of one link: both ends hold the same bits, and no bit is ever given twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import NoKeyMaterial, Refused
from relay.network.link import BLOCK_BITS, IN_FLIGHT, WINDOW, LinkEnd

SECRET = bytes(range(32))


def ends(
    *, rate: float = 0.0, level: float = 100 * BLOCK_BITS, capacity: int = 1 << 20
) -> tuple[LinkEnd, LinkEnd]:
    return (
        LinkEnd(SECRET, 0, rate=rate, now=0.0, capacity=capacity, level=level),
        LinkEnd(SECRET, 1, rate=rate, now=0.0, capacity=capacity, level=level),
    )


def test_both_ends_see_the_same_block() -> None:
    left, right = ends()
    sent = left.reserve(0.0)
    seen = right.peek(sent.index, 0.0)
    assert (sent.pad, sent.mac_key) == (seen.pad, seen.mac_key)
    assert len(sent.pad) + len(sent.mac_key) == BLOCK_BITS // 8


def test_a_block_costs_exactly_512_bits_at_both_ends() -> None:
    left, right = ends()
    block = left.reserve(0.0)
    right.claim(right.peek(block.index, 0.0))
    assert left.level(0.0) == right.level(0.0) == 99 * 512
    assert left.spent_bits == right.spent_bits == 512


def test_an_empty_pool_gives_nothing_and_spends_nothing() -> None:
    left, _ = ends(level=BLOCK_BITS - 1)
    with pytest.raises(NoKeyMaterial):
        left.reserve(0.0)
    assert left.level(0.0) == BLOCK_BITS - 1


def test_a_pool_fills_at_its_rate_up_to_its_capacity() -> None:
    left, _ = ends(rate=1000, level=0, capacity=4096)
    assert left.level(2.0) == 2000
    assert left.level(60.0) == 4096


def test_a_spent_block_cannot_be_claimed_again() -> None:
    left, right = ends()
    block = left.reserve(0.0)
    right.claim(right.peek(block.index, 0.0))
    with pytest.raises(Refused, match="used before"):
        right.peek(block.index, 0.0)


def test_a_block_that_another_overtook_is_still_good_once() -> None:
    left, right = ends()
    first, second = left.reserve(0.0), left.reserve(0.0)
    right.claim(right.peek(second.index, 0.0))
    assert (right.lost_bits, right.level(0.0)) == (512, left.level(0.0))
    early = right.peek(first.index, 0.0)
    right.claim(early)
    assert (right.lost_bits, right.spent_bits, right.level(0.0)) == (0, 1024, left.level(0.0))
    for again in (first, second):
        with pytest.raises(Refused, match="used before"):
            right.peek(again.index, 0.0)
    with pytest.raises(Refused, match="used before"):
        right.claim(early)


def test_a_block_overtaken_by_a_whole_window_is_lost() -> None:
    left, right = ends(level=(WINDOW + 2) * 512.0, capacity=1 << 30)
    first, *others = (left.reserve(0.0) for _ in range(WINDOW + 1))
    right.claim(right.peek(others[-1].index, 0.0))
    with pytest.raises(Refused, match="used before"):
        right.peek(first.index, 0.0)
    assert right.peek(others[0].index, 0.0) == others[0]


def test_what_both_ends_spent_at_once_is_made_up_for_before_anything_else() -> None:
    left, right = ends(rate=512.0, level=512.0)
    mine, yours = left.reserve(0.0), right.reserve(0.0)
    left.claim(left.peek(yours.index, 0.0))
    right.claim(right.peek(mine.index, 0.0))
    assert left.level(0.0) == right.level(0.0) == -512
    with pytest.raises(NoKeyMaterial):
        left.reserve(1.9)
    left.reserve(2.0)


def test_a_block_beyond_what_the_link_has_made_is_refused() -> None:
    _, right = ends(level=10 * BLOCK_BITS)
    with pytest.raises(Refused, match="ahead"):
        right.peek(10 + IN_FLIGHT + 1, 0.0)


def test_looking_at_a_block_spends_nothing() -> None:
    _, right = ends()
    right.peek(50, 0.0)
    assert right.level(0.0) == 100 * BLOCK_BITS


def test_a_restart_with_a_new_secret_shares_no_bits_with_the_time_before() -> None:
    before, _ = ends()
    after = LinkEnd(bytes(32), 0, rate=0, now=0.0, level=BLOCK_BITS)
    assert before.reserve(0.0).pad != after.reserve(0.0).pad


def test_draining_loses_the_bits_without_spending_them() -> None:
    left, _ = ends()
    left.drain(0.0)
    assert (left.level(0.0), left.lost_bits, left.spent_bits) == (0, 100 * BLOCK_BITS, 0)


def test_a_cut_link_keeps_its_pool_while_it_grows_older() -> None:
    left, _ = ends(rate=512, level=5120)
    assert left.age(0.0) == 10
    left.set_rate(0, 0.0)
    assert (left.level(30.0), left.age(30.0)) == (5120, 40)


def test_a_block_never_prints_its_bits() -> None:
    left, _ = ends()
    block = left.reserve(0.0)
    assert repr(block.pad) not in repr(block)
    assert "pad" not in repr(block)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_whoever_spends_and_whatever_is_lost_no_bit_comes_twice(steps: list[tuple[bool, bool]]) -> None:
    left, right = ends()
    seen: set[bytes] = set()
    for from_left, arrives in steps:
        sender, receiver = (left, right) if from_left else (right, left)
        block = sender.reserve(0.0)
        assert block.pad not in seen
        assert block.mac_key not in seen
        seen |= {block.pad, block.mac_key}
        if arrives:
            receiver.claim(receiver.peek(block.index, 0.0))


@given(
    st.floats(0, 1e5),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 40)), max_size=20),
)
def test_the_two_ends_agree_on_the_level_and_never_overdraw(
    rate: float, steps: list[tuple[float, int]]
) -> None:
    left, right = ends(rate=rate, level=0, capacity=50_000)
    now = made = 0.0
    for wait, wanted in steps:
        now += wait
        made += rate * wait
        for _ in range(wanted):
            try:
                block = left.reserve(now)
            except NoKeyMaterial:
                break
            right.claim(right.peek(block.index, now))
        assert left.level(now) == pytest.approx(right.level(now), abs=1e-3)
    assert left.spent_bits <= made + 1e-3
