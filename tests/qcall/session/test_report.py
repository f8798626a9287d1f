"""The verdict on a call: what repair has left of the losses, not what the path took."""

from __future__ import annotations

import pytest

from qcall.session.report import quality

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
    assert "mos" not in quality({**STATS, "packetsReceived": 0, "packetsLost": 0}, 20)
