"""The verdict on a call: what repair has left of the losses, not what the path took."""

from __future__ import annotations

import pytest

from qcall.session.event import Event
from qcall.session.report import SUMS, lately, quality
from qcall.session.wording import line_of

STATS = {
    "packetsReceived": 900,
    "packetsLost": 100,
    "burstRatio": 1.0,
    "totalSamplesReceived": 960_000,
    "concealedSamples": 0,
    "concealmentEvents": 0,
    "jitterBufferEmittedCount": 900_000,
    "relativePlayoutDelay": 18_000.0,
    "roundTripTime": 0.012,
}


def test_losses_that_copies_made_good_cost_nothing() -> None:
    assert quality(STATS, 20)["mos"] == pytest.approx(4.41, abs=0.01)


def test_sound_that_was_made_up_costs() -> None:
    worse = quality({**STATS, "concealedSamples": 28_800, "concealmentEvents": 30}, 20)
    assert worse["unrepairedLoss"] == 0.03
    assert 3.5 < worse["mos"] < 4.1
    bursts = quality({**STATS, "concealedSamples": 28_800, "concealmentEvents": 10}, 20)
    assert bursts["mos"] < worse["mos"]


def test_one_way_delay_is_a_frame_half_the_round_trip_and_the_buffer() -> None:
    assert quality(STATS, 20)["oneWayDelay"] == pytest.approx(0.02 + 0.006 + 0.02)


def test_a_call_in_which_nothing_was_heard_has_no_verdict() -> None:
    assert "mos" not in quality({**STATS, "totalSamplesReceived": 0}, 20)


def after(before: dict[str, float], **more: float) -> dict[str, float]:
    """The stats when one more second was heard."""
    second = {"packetsReceived": 50, "totalSamplesReceived": 48_000, "jitterBufferEmittedCount": 48_000}
    second |= {"relativePlayoutDelay": 960.0, **more}
    return {name: value + second.get(name, 0) if name in SUMS else value for name, value in before.items()}


def test_a_bad_second_after_a_good_hour_is_told() -> None:
    hour = {name: 360 * value if name in SUMS else value for name, value in STATS.items()}
    second = after(hour, concealedSamples=9_600, concealmentEvents=10, jitterBufferEmittedCount=38_400)
    assert quality(second, 20)["mos"] > 4.4
    told = lately(quality(second, 20), quality(hour, 20))
    assert told["unrepairedLoss"] == 0.2
    assert told["mos"] < 2


def test_the_buffer_of_the_last_second_is_what_its_delay_is_made_of() -> None:
    second = after(STATS, relativePlayoutDelay=0.3 * 48_000)
    told = lately(quality(second, 20), quality(STATS, 20))
    assert told["oneWayDelay"] == pytest.approx(0.02 + 0.006 + 0.3)


def test_the_first_second_is_compared_with_nothing() -> None:
    first = quality(STATS, 20)
    assert lately(first, {}).items() <= first.items()


def test_a_second_without_any_packet_is_the_worst() -> None:
    nothing = after(STATS, packetsReceived=0, jitterBufferEmittedCount=0, relativePlayoutDelay=0)
    silent = {**nothing, "concealedSamples": 48_000.0, "concealmentEvents": 1}
    assert lately(quality(silent, 20), quality(STATS, 20))["mos"] < 1.1


def test_where_all_was_made_up_no_delay_can_be_told() -> None:
    second = after(STATS, jitterBufferEmittedCount=0, concealedSamples=48_000, concealmentEvents=1)
    assert "oneWayDelay" not in lately(quality(second, 20), quality(STATS, 20))


def test_a_call_that_ended_before_it_was_heard_has_words_all_the_same() -> None:
    told = quality({**STATS, "totalSamplesReceived": 0}, 20)
    fields = {"contact": "bob", "outgoing": True, "reason": "hangup", "quality": told, "timing": {}}
    assert line_of(Event("ended", 1.0, fields)) == "call ended: you hung up"
