"""The stricter policy holds; strangers get few guesses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcall.agreement.policy import (
    ATTEMPTS,
    SOURCES,
    WINDOW,
    AttemptLimit,
    QkdPolicy,
    QkdState,
    allows,
    stricter,
)
from qcall.agreement.suites import Q3, Q5, choose, rank

POLICIES = st.sampled_from(QkdPolicy)


@given(POLICIES, POLICIES)
def test_the_stricter_one_holds_whoever_says_it(one: QkdPolicy, other: QkdPolicy) -> None:
    held = stricter(one, other)
    assert held == stricter(other, one)
    assert held in (one, other)
    assert (QkdPolicy.REQUIRE in (one, other)) == (held is QkdPolicy.REQUIRE)


def test_what_a_policy_allows() -> None:
    allowed = {(policy, state) for policy in QkdPolicy for state in QkdState if allows(policy, state)}
    assert allowed == {
        (QkdPolicy.OFF, QkdState.OFF),
        (QkdPolicy.PREFER, QkdState.PRESENT),
        (QkdPolicy.PREFER, QkdState.ABSENT),
        (QkdPolicy.REQUIRE, QkdState.PRESENT),
    }


def test_a_suite_is_chosen_by_strength_among_known_names() -> None:
    assert choose(["Q3", "Q5"], [Q3, Q5]) is Q5
    assert choose(["Q9", "Q3"], [Q3, Q5]) is Q3
    assert choose(["Q9"], [Q3, Q5]) is None
    assert choose(["Q5"], []) is None
    assert rank("Q5") > rank("Q3") > rank("Q9") == rank(None)


def test_ten_guesses_a_minute_and_no_more() -> None:
    limit = AttemptLimit()
    assert [limit.allow("eve", float(n)) for n in range(12)] == [True] * ATTEMPTS + [False] * 2
    assert limit.allow("alice", 11.0)
    assert not limit.allow("eve", WINDOW - 0.01)
    assert limit.allow("eve", WINDOW)
    assert not limit.allow("eve", WINDOW)


def test_a_call_that_completed_was_no_guess() -> None:
    limit = AttemptLimit()
    for n in range(100):
        assert limit.allow("alice", float(n) / 10)
        limit.completed("alice")


def test_the_memory_of_strangers_is_bounded() -> None:
    limit = AttemptLimit()
    for n in range(10 * SOURCES):
        limit.allow(n, 0.0)
    assert len(limit._times) == SOURCES
