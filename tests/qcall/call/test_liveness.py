"""A call over a dead path is noticed and given up; one that is only interrupted goes on."""

from __future__ import annotations

from qcall.call.liveness import DEAD_AFTER, LOST_AFTER, Change, Liveness

SOON = 0.1


def test_nothing_is_said_while_packets_come() -> None:
    liveness = Liveness(100.0)
    assert all(liveness.look(100 + at, 100 + at + SOON) is None for at in range(60))


def test_a_pause_is_said_once_and_its_end_once() -> None:
    liveness = Liveness(0.0)
    assert liveness.look(1.0, 1.0 + LOST_AFTER - SOON) is None
    assert liveness.look(1.0, 1.0 + LOST_AFTER) is Change.LOST
    assert liveness.look(1.0, 1.0 + LOST_AFTER + SOON) is None
    assert liveness.look(5.0, 5.0) is Change.BACK
    assert liveness.look(5.0, 5.0 + SOON) is None


def test_a_path_that_stays_dead_is_given_up() -> None:
    liveness = Liveness(0.0)
    assert liveness.look(1.0, 1.0 + DEAD_AFTER - SOON) is Change.LOST
    assert liveness.look(1.0, 1.0 + DEAD_AFTER) is Change.DEAD


def test_a_phone_that_never_sent_anything_is_given_as_long() -> None:
    liveness = Liveness(10.0)
    assert liveness.look(None, 10.0 + LOST_AFTER - SOON) is None
    assert liveness.look(None, 10.0 + DEAD_AFTER) is Change.DEAD


def test_what_was_heard_before_the_call_was_answered_does_not_count() -> None:
    assert Liveness(100.0).look(1.0, 100.0) is None
