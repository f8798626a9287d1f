"""What webrtc-stats tell of a few frames, to the sample."""

from __future__ import annotations

import pytest

from qcall.media.playout import BLOCK, FADE_AFTER, FADE_UNTIL, Playout
from tests.qcall.media.test_playout import FRAME, STEP, NumberedFrames, packet

RATE = 48_000


def heard(
    playout: Playout, frames: int, *, late: dict[int, float], lost: set[int], fec: bool = False
) -> None:
    """Play ``frames`` frames, of which some come late by so many seconds, and some never."""
    arrivals = sorted((n * STEP + late.get(n, 0.0), n) for n in range(frames) if n not in lost)
    for tick in range(2 * frames):
        now = tick / 100 + 0.003
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            playout.push(number * FRAME, packet(number, fec=fec), at)
        playout.pull(now)


def test_the_sums_of_a_calm_second() -> None:
    playout = Playout(NumberedFrames(), initial=0.02, adaptive=False)
    heard(playout, 50, late={}, lost=set())
    told, emitted = playout.counts.stats(), 49 * FRAME
    assert told["jitterBufferEmittedCount"] == emitted
    # The first is asked for 23 ms after it came, every other one likewise, 20 ms after the one before it.
    assert told["jitterBufferDelay"] == pytest.approx(0.023 * emitted)
    assert told["relativePlayoutDelay"] == pytest.approx(0.023 * emitted)
    assert told["totalSamplesReceived"] == 98 * BLOCK
    rest = set(told) - {
        *("jitterBufferEmittedCount", "jitterBufferDelay", "relativePlayoutDelay", "totalSamplesReceived"),
        "jitterBufferTargetDelay",
    }
    assert {name: told[name] for name in rest if told[name]} == {}


def test_the_target_is_summed_over_what_is_played() -> None:
    playout = Playout(NumberedFrames(), initial=0.1, adaptive=False)
    playout.push(0, packet(0), 0.0)
    playout.push(FRAME, packet(1), STEP)
    aim = playout.target
    assert not playout.pull(0.05).any()
    for tick in range(10, 14):
        playout.pull(tick / 100)
    told = playout.counts.stats()
    assert told["jitterBufferTargetDelay"] == pytest.approx(aim * 2 * FRAME)
    assert told["jitterBufferDelay"] == pytest.approx((0.1 + 0.1) * FRAME)


def test_a_packet_that_came_late_waited_less_than_the_fastest_would_have() -> None:
    playout = Playout(NumberedFrames(), initial=0.02, adaptive=False)
    heard(playout, 50, late={25: 0.015}, lost=set())
    told, emitted = playout.counts.stats(), 49 * FRAME
    assert told["jitterBufferDelay"] == pytest.approx(0.023 * emitted - 0.015 * FRAME)
    assert told["relativePlayoutDelay"] == pytest.approx(0.023 * emitted)


def test_what_is_made_up_is_silent_only_when_nothing_of_speech_is_left() -> None:
    playout = Playout(NumberedFrames(), initial=0.02, adaptive=False)
    heard(playout, 50, late={}, lost=set(range(20, 50)))
    told = playout.counts.stats()
    made_up = told["concealedSamples"]
    assert told["concealmentEvents"] == 1
    assert made_up > FADE_UNTIL > FADE_AFTER
    assert told["silentConcealedSamples"] == made_up - FADE_UNTIL
    assert told["standstillSamples"] + playout._standing == made_up


def test_a_jump_over_what_never_came_is_counted() -> None:
    playout = Playout(NumberedFrames(), initial=0.0, adaptive=False)
    playout.push(0, packet(0), 0.0)
    playout.push(RATE * 60, packet(1), STEP)
    for tick in range(2, 6):
        playout.pull(tick / 100)
    assert playout.counts.stats()["skippedSamples"] == RATE * 60 - FRAME


def test_fec_is_told_and_so_is_what_of_it_nobody_needed() -> None:
    playout = Playout(NumberedFrames(), initial=0.04, adaptive=False)
    heard(playout, 50, late={}, lost={20}, fec=True)
    told = playout.counts.stats()
    assert (told["fecPacketsReceived"], told["fecPacketsDiscarded"]) == (49, 48)
    assert told["fecRecoveredSamples"] == FRAME


def test_a_copy_is_fec_and_used_when_it_is_played() -> None:
    playout = Playout(NumberedFrames(), initial=0.04, adaptive=False)
    for number in range(10):
        now = number * STEP
        if number not in (0, 6):
            playout.push((number - 1) * FRAME, packet(number - 1), now, repeated=True)
        if number != 5:
            playout.push(number * FRAME, packet(number), now)
        if number == 6:
            playout.push((number - 1) * FRAME, packet(number - 1), now, repeated=True)
        for later in (0.001, 0.011):
            playout.pull(now + later)
    told = playout.counts.stats()
    assert (told["fecPacketsReceived"], told["fecPacketsDiscarded"]) == (9, 8)
    assert told["packetsDuplicated"] == told["packetsDiscarded"] == 0
