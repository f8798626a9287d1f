"""More than fifty packets in a row that no key opens: a warning, new keys, and then the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcall.call.authenticity import LIMIT, PATIENCE, Authenticity, Verdict


def test_fifty_in_a_row_are_nothing_and_one_more_is_warned_about_once() -> None:
    watch = Authenticity()
    assert watch.look(LIMIT, 0.0) is None
    assert watch.look(LIMIT + 1, 0.5) is Verdict.FAILING
    assert watch.look(LIMIT + 30, 1.0) is None


def test_a_good_packet_takes_the_warning_back() -> None:
    watch = Authenticity()
    watch.look(LIMIT + 1, 0.0)
    assert watch.look(0, 0.5) is Verdict.WELL
    assert watch.look(0, 1.0) is None
    assert watch.look(LIMIT + 1, 20.0) is Verdict.FAILING


def test_a_row_that_does_not_end_ends_the_call() -> None:
    watch = Authenticity()
    watch.look(LIMIT + 1, 0.0)
    assert watch.look(500, PATIENCE - 0.1) is None
    assert watch.look(500, PATIENCE) is Verdict.LOST


@given(st.lists(st.integers(0, 200), max_size=60))
def test_nothing_is_lost_without_a_warning_and_seconds_of_failures(rows: list[int]) -> None:
    watch, since = Authenticity(), None
    for tick, row in enumerate(rows):
        now = tick / 2
        verdict = watch.look(row, now)
        if row <= LIMIT:
            since = None
        elif since is None:
            since = now
        assert (verdict is Verdict.LOST) == (since is not None and now - since >= PATIENCE)
        assert (verdict is Verdict.FAILING) == (since == now)
