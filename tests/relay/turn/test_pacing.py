"""When the clients' socket is read again."""

from __future__ import annotations

import pytest

from relay.turn.pacing import AIM, BUSY, LONGEST_TICK, SHORTEST_TICK, Pacing


def settle(pacing: Pacing, rate: float, seconds: float = 0.5) -> float | None:
    """Read at 1 kHz while ``rate`` datagrams a second come; returns the wait after the last read."""
    wait = None
    for tick in range(int(seconds * 1000)):
        now = tick / 1000
        at = pacing.read(round(rate / 1000), now)
        wait = None if at is None else at - now
    return wait


def test_the_first_datagrams_are_not_kept_waiting():
    pacing = Pacing()
    assert pacing.read(1, 10.0) is None


def test_a_few_calls_are_read_as_they_come():
    assert settle(Pacing(), BUSY / 2) is None


@pytest.mark.parametrize("rate", [10_000, 50_000])
def test_many_are_left_to_collect_for_the_longest_tick(rate):
    assert settle(Pacing(), rate) == pytest.approx(LONGEST_TICK)


def test_very_many_shorten_the_tick():
    assert settle(Pacing(), 2 * AIM / LONGEST_TICK) == pytest.approx(LONGEST_TICK / 2, rel=0.01)
    assert settle(Pacing(), 100 * AIM / SHORTEST_TICK) == pytest.approx(SHORTEST_TICK)


def test_where_all_have_patience_the_tick_is_longer():
    pacing = Pacing()
    settle(pacing, 10_000)
    assert pacing.read(10, 0.5, 2.9e-3) == pytest.approx(0.5029)
    assert pacing.read(10, 0.503, 0.1e-3) == pytest.approx(0.504)


@pytest.mark.parametrize(("rate", "tick"), [(0, 150e-6), (10_000, 350e-6), (200_000, 500e-6)])
def test_the_more_comes_the_more_leaves_together(rate, tick):
    pacing = Pacing()
    settle(pacing, rate)
    assert pacing.release_tick == pytest.approx(tick, rel=0.02)


def test_silence_ends_the_waiting():
    pacing = Pacing()
    settle(pacing, 50_000)
    now = 0.5
    while pacing.read(0, now) is not None:
        now += LONGEST_TICK
    assert now < 0.7
