"""A call over a dead path is noticed and given up; one that is only interrupted goes on."""

from __future__ import annotations

from qcall.call.liveness import DEAD_AFTER, LOST_AFTER, RINGING_DEAD_AFTER, Change, Liveness

SOON = 0.1


def talking(now: float) -> Liveness:
    """A call that was answered at ``now``."""
    liveness = Liveness(now - 30.0)
    liveness.talk(now)
    return liveness


def test_nothing_is_said_while_packets_come() -> None:
    liveness = talking(100.0)
    assert all(liveness.look(None, 100 + at, 100 + at + SOON) is None for at in range(60))


def test_a_pause_is_said_once_and_its_end_once() -> None:
    liveness = talking(0.0)
    assert liveness.look(None, 1.0, 1.0 + LOST_AFTER - SOON) is None
    assert liveness.look(None, 1.0, 1.0 + LOST_AFTER) is Change.LOST
    assert liveness.look(None, 1.0, 1.0 + LOST_AFTER + SOON) is None
    assert liveness.look(None, 5.0, 5.0) is Change.BACK
    assert liveness.look(None, 5.0, 5.0 + SOON) is None


def test_a_path_that_stays_dead_is_given_up() -> None:
    liveness = talking(0.0)
    assert liveness.look(None, 1.0, 1.0 + DEAD_AFTER - SOON) is Change.LOST
    assert liveness.look(None, 1.0, 1.0 + DEAD_AFTER) is Change.DEAD


def test_a_phone_that_never_sent_anything_is_given_as_long() -> None:
    liveness = talking(10.0)
    assert liveness.look(None, None, 10.0 + LOST_AFTER - SOON) is None
    assert liveness.look(None, None, 10.0 + DEAD_AFTER) is Change.DEAD


def test_what_was_heard_before_the_call_was_answered_does_not_count() -> None:
    assert talking(100.0).look(None, 1.0, 100.0) is None


def test_consent_checks_do_not_stand_for_speech() -> None:
    assert talking(0.0).look(DEAD_AFTER, None, DEAD_AFTER) is Change.DEAD


def test_a_call_that_rings_needs_no_media() -> None:
    liveness = Liveness(0.0)
    assert all(liveness.look(at - 5.0, None, at) is None for at in range(5, 60))


def test_a_call_that_rings_over_a_dead_path_is_given_up() -> None:
    liveness = Liveness(0.0)
    assert liveness.look(8.0, None, 8.0 + RINGING_DEAD_AFTER - SOON) is None
    assert liveness.look(8.0, None, 8.0 + RINGING_DEAD_AFTER) is Change.DEAD
