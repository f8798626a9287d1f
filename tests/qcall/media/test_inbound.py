"""The incoming half of a call."""

from __future__ import annotations

import numpy as np
import pytest

from qcall.media.inbound import Inbound
from qcall.media.opus import Encoder, Samples


def hum() -> Samples:
    return (9_000 * np.sin(2 * np.pi * 150 * np.arange(960) / 48_000)).astype(np.int16)


def test_nothing_is_heard_or_counted_before_playing_is_allowed() -> None:
    inbound, encoder = Inbound(initial=0.0), Encoder()
    for number in range(5):
        inbound.packet(number, 960 * number, encoder.encode(hum()), 0.02 * number)
        inbound.copy(960 * number, encoder.encode(hum()), 0.02 * number)
    assert not inbound.pull(1.0).any()
    assert not inbound.heard
    assert inbound.stats()["packetsReceived"] == 0


def test_numbers_that_wrap_are_no_loss_and_no_jitter() -> None:
    inbound, encoder = Inbound(initial=0.0), Encoder()
    inbound.playing = True
    for number in range(100):
        sequence, timestamp = (65_500 + number) & 0xFFFF, (2**32 - 40 * 960 + 960 * number) & 0xFFFFFFFF
        inbound.packet(sequence, timestamp, encoder.encode(hum()), 0.02 * number)
        inbound.pull(0.02 * number + 0.001)
        inbound.pull(0.02 * number + 0.011)
    stats = inbound.stats()
    assert inbound.heard
    assert (stats["packetsReceived"], stats["packetsLost"]) == (100, 0)
    assert stats["jitter"] == pytest.approx(0, abs=1e-9)
    assert stats["concealedSamples"] == 0


def test_a_copy_makes_good_for_its_lost_packet() -> None:
    inbound, encoder = Inbound(initial=0.05), Encoder()
    inbound.playing = True
    payloads = [encoder.encode(hum()) for _ in range(50)]
    for number, payload in enumerate(payloads):
        now = 0.02 * number
        if number > 0:
            inbound.copy(960 * (number - 1), payloads[number - 1], now)
        if number % 10 != 5:
            inbound.packet(number, 960 * number, payload, now)
        inbound.pull(now + 0.001)
        inbound.pull(now + 0.011)
    stats = inbound.stats()
    assert stats["packetsLost"] == 5
    assert stats["concealedSamples"] == 0
    assert stats["packetsDuplicated"] == 0
