"""A long call in virtual time: real Opus, SRTP, reports, copies and playout, over a path that loses a tenth.

The whole hour is run with ``QCALL_TEST_PROFILE=nightly``.
"""

from __future__ import annotations

import gc
import os
import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from aiortc.rtp import RtcpRrPacket

from qcall.crypto.secret import Secret
from qcall.media.carrier import Carrier
from qcall.media.inbound import Inbound
from qcall.media.opus import Encoder
from qcall.media.playout import CAPACITY
from qcall.media.srtp import SrtpEpochs, SrtpKeyPair

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
SECONDS = 3_600 if NIGHTLY else 60
WARM = 15
"""Seconds after which everything that may be kept is kept."""
SPEECH = Path(__file__).parents[2] / "data/speech/F1_harvard_phrases.wav"
FRAME = 960


def carrier(send: int, receive: int, inbound: Inbound | None, encoder: Encoder | None) -> Carrier:
    keys = SrtpKeyPair(Secret(bytes([send]) * 44), Secret(bytes([receive]) * 44))
    return Carrier(
        SrtpEpochs(keys),
        on_copy=lambda timestamp, payload: inbound.copy(timestamp, payload, clock[0]) if inbound else None,
        on_protection=lambda wanted: setattr(encoder, "expected_loss", wanted.expected_loss),
        on_digit=lambda digit: None,
        on_fault=lambda error: None,
    )


clock = [0.0]


class Call:
    """One speaker and one listener; ``drift`` is how much faster the listener's clock runs."""

    def __init__(self, *, loss: float, drift: float) -> None:
        self.inbound = Inbound(initial=0.01)
        self.inbound.playing = True
        self.encoder = Encoder()
        self.speaker = carrier(1, 2, None, self.encoder)
        self.listener = carrier(2, 1, self.inbound, None)
        self._luck = np.random.default_rng(8)
        self._loss, self._drift = loss, drift
        with wave.open(str(SPEECH)) as file:
            self._speech = np.frombuffer(file.readframes(5 * 48_000), np.int16).reshape(-1, FRAME)
        self._number = 0

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        for _ in range(round(50 * seconds)):
            self._frame()
            self._number += 1

    def _frame(self) -> None:
        number = self._number
        sent = 0.02 * number * (1 + self._drift)
        frame = self.encoder.encode(self._speech[number % len(self._speech)])
        timestamp = number * FRAME & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x80, 96, number & 0xFFFF, timestamp, 7)
        packet = self.speaker.protect(header + frame)
        for tick in (2 * number, 2 * number + 1):
            clock[0] = 0.01 * tick + 0.004
            if tick == 2 * number and self._luck.random() >= self._loss:
                clock[0] = max(sent + self._luck.exponential(0.005), clock[0] - 0.005)
                payload = self.listener.unprotect(packet)[12:]
                self.inbound.packet(number & 0xFFFF, timestamp, payload, clock[0])
            self.inbound.pull(0.01 * tick + 0.004)
        if number % 50 == 49:
            self.speaker.unprotect_rtcp(self.listener.protect_rtcp(bytes(RtcpRrPacket(ssrc=9))))


def kept() -> int:
    """Bytes that the phone's own code holds; what the tests' workers hold beside it is left out."""
    gc.collect()
    own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/qcall/media/*")])
    return sum(trace.size for trace in own.traces)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("drift", [0.0, 2e-4] if NIGHTLY else [2e-4])
def test_memory_is_flat_while_a_tenth_is_lost(drift: float) -> None:
    call = Call(loss=0.1, drift=drift)
    call.run(WARM)
    tracemalloc.start()
    try:
        call.run(WARM)
        before = kept()
        call.run(SECONDS - 2 * WARM)
        after = kept()
    finally:
        tracemalloc.stop()
    assert after - before < 40_000, "bytes: no more than the buffers' own ups and downs"
    playout = call.inbound._playout
    assert len(playout._packets) < CAPACITY
    assert len(playout._seen) <= CAPACITY
    stats = call.inbound.stats()
    assert stats["packetsLost"] == pytest.approx(0.1 * 50 * SECONDS, rel=0.1)
    assert stats["concealedSamples"] < 0.03 * stats["totalSamplesReceived"], "most of it is repaired"
    assert call.listener.copies_received > 0.8 * 50 * (SECONDS - WARM)
    assert playout.delay < playout.target + 0.04
