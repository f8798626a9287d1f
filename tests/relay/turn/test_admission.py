"""A server that is full knows it before its calls do."""

from __future__ import annotations

import pytest

from relay.turn.admission import FULL, LATE, LEAST_DESCRIPTORS, PERIOD, ROOM, Admission


class Core:
    """One core's time, and what was released on it."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.now = self.processor = self.answering = 0.0
        self.released = self.late = 0

    def run(
        self, share: float, seconds: float, released: int = 0, late: int = 0, answering: float = 0.0
    ) -> bool:
        """Use a share of the core, ``answering`` of it for requests; returns whether the server is full."""
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.processor += share * PERIOD
            self.answering += answering * PERIOD
            self.released += released
            self.late += late
            self.admission.measure(self.now, self.processor, self.answering, self.released, self.late)
        return self.admission.full


def test_an_idle_server_has_room():
    assert not Core().run(0.0, 5)


@pytest.mark.parametrize(("share", "full"), [(FULL - 0.05, False), (FULL + 0.05, True)])
def test_the_core_fills_up(share, full):
    core = Core()
    assert core.run(share, 10) is full
    assert core.admission.busy == pytest.approx(share, abs=0.01)


def test_answering_many_requests_is_no_load():
    core = Core()
    assert not core.run(1.0, 5, answering=0.5)
    assert core.admission.busy == pytest.approx(1.0, abs=0.01)
    assert core.admission.carrying == pytest.approx(0.5, abs=0.01)


def test_a_moment_is_no_load():
    core = Core()
    core.run(0.3, 5)
    assert not core.run(1.0, PERIOD)


def test_it_stays_full_until_there_is_room():
    core = Core()
    assert core.run(0.95, 10)
    assert core.run((ROOM + FULL) / 2, 10)
    assert not core.run(ROOM - 0.05, 10)


def test_late_releases_fill_it_whatever_the_core_says():
    core = Core()
    assert not core.run(0.1, 2, released=1000, late=int(1000 * LATE) - 1)
    assert core.run(0.1, 1, released=1000, late=int(1000 * LATE) + 1)
    assert not core.run(0.1, 1, released=1000)


def test_one_late_period_is_a_hiccup():
    core = Core()
    assert not core.run(0.1, PERIOD * 2, released=1000, late=500)
    assert core.run(0.1, PERIOD, released=1000, late=500)


def test_it_is_full_while_few_descriptors_are_left():
    core = Core()
    core.admission.count_descriptors(LEAST_DESCRIPTORS - 1)
    assert core.run(0.1, 1)
    core.admission.count_descriptors(LEAST_DESCRIPTORS)
    assert not core.admission.full


def test_a_few_releases_say_nothing():
    assert not Core().run(0.1, 2, released=10, late=10)
