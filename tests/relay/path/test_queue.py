"""The tail-drop queue against a model that looks at every packet, and against queueing theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.path.queue import TailDrop

RATE = 8000.0  # a byte a millisecond


def test_an_idle_link_only_takes_the_time_to_send() -> None:
    queue = TailDrop(RATE)
    assert queue.depart(100, 1.0) == pytest.approx(1.1)
    assert queue.depart(100, 2.0) == pytest.approx(2.1)


@pytest.mark.parametrize(
    ("limits", "passing"), [((3, None), 4), ((None, 250), 3), ((3, 250), 3), ((0, None), 1)]
)
def test_what_the_queue_cannot_hold_is_dropped(limits: tuple[int | None, int | None], passing: int) -> None:
    queue = TailDrop(RATE, *limits)
    fates = [queue.depart(100, 0.0) for _ in range(6)]
    assert [fate is not None for fate in fates] == [True] * passing + [False] * (6 - passing)


def test_a_queue_that_has_drained_takes_packets_again() -> None:
    queue = TailDrop(RATE, packets=1)
    assert [queue.depart(100, 0.0) is not None for _ in range(3)] == [True, True, False]
    assert queue.depart(100, 0.15) is not None
    assert len(queue) == 1


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200)), max_size=60),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(0, 400),
)
def test_agrees_with_a_model_that_looks_at_every_packet(
    arrivals: list[tuple[int, int]], packets: int | None, octets: int | None
) -> None:
    queue = TailDrop(8.0, packets, octets)
    sent: list[tuple[int, int, int]] = []  # start, end, bytes; a second a byte, so that floats are exact
    now = 0
    for gap, size in arrivals:
        now += gap
        waiting = [held for start, _, held in sent if start > now]
        start = max(now, sent[-1][1] if sent else 0)
        full = packets is not None and len(waiting) >= packets
        full |= octets is not None and sum(waiting) + size > octets
        departure = queue.depart(size, float(now))
        if full and start > now:
            assert departure is None
        else:
            sent.append((start, start + size, size))
            assert departure == start + size
        assert len(queue) == sum(start > now for start, _, _ in sent)


def test_who_was_brought_here_early_waits_behind_its_predecessor() -> None:
    queue = TailDrop(RATE)
    assert queue.depart(100, 1.0) == pytest.approx(1.1)
    assert queue.depart(100, 0.5) == pytest.approx(1.2)


def test_poisson_arrivals_wait_as_long_as_theory_says() -> None:
    """M/D/1: the mean wait is rho/(2(1 - rho)) service times (Pollaczek-Khinchine)."""
    draw = np.random.Generator(np.random.PCG64(7))
    queue, load, service = TailDrop(RATE), 0.7, 0.1
    times = np.cumsum(draw.exponential(service / load, 60_000)).tolist()
    waits = [(queue.depart(100, at) or 0.0) - at - service for at in times]
    assert np.mean(waits) == pytest.approx(load / (2 * (1 - load)) * service, rel=0.05)
