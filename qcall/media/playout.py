"""The playout buffer: packets in as they arrive, 10 ms of sound out whenever the loudspeaker asks.

Pulled by the playout clock, never pushed by arrivals. What is not there when it is due is made up: from the
redundancy in the following packet (FEC), else by concealment that fades out. While nothing at all is there
the timeline stands still, so that frames that are merely late are still heard; frames that are lost are
taken off again from what was made up in their place.

All counts are called as in the W3C's webrtc-stats (RTCInboundRtpStreamStats) where it has a name for them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .opus import SAMPLE_RATE, OpusError, carries_fec

Samples = NDArray[np.int16]

BLOCK = SAMPLE_RATE // 100
"""Samples in one pull: 10 ms."""
SILENCE = np.zeros(BLOCK, np.int16)
LARGEST_GAP = SAMPLE_RATE
"""Samples; a jump of the sender's clock beyond this is not filled but followed."""
CAPACITY = 100
"""Packets kept at most: 2 s of 20 ms frames."""
FADE_AFTER, FADE_UNTIL = 8 * BLOCK, 20 * BLOCK
"""Samples of uninterrupted concealment after which it grows fainter, and after which it is silence."""


class Decoder(Protocol):
    """What the buffer needs of a codec; ``qcall.media.opus.Decoder`` is one."""

    def decode(self, packet: bytes) -> Samples: ...
    def recover(self, following: bytes, samples: int) -> Samples: ...
    def conceal(self, samples: int) -> Samples: ...


@dataclass(slots=True)
class Counts:
    """What happened since the start, in samples unless named otherwise."""

    packets_discarded: int = 0
    """Packets that came too late, or that the full buffer could not hold."""
    packets_duplicated: int = 0
    total_samples: int = 0
    concealed: int = 0
    silent_concealed: int = 0
    concealment_events: int = 0
    fec_recovered: int = 0
    """Samples that came out of the redundancy of a following packet."""
    inserted: int = 0
    """Samples by which the timeline stood still: the delay grew by as much."""
    emitted: int = 0
    delay: float = 0.0
    """Seconds that the emitted samples have spent in the buffer, summed over samples."""
    undecodable: int = 0
    """Packets that the decoder refused."""

    def stats(self) -> dict[str, float | int]:
        """Under their names in webrtc-stats; ``fecRecoveredSamples`` and ``undecodablePackets`` are ours."""
        return {
            "packetsDiscarded": self.packets_discarded,
            "packetsDuplicated": self.packets_duplicated,
            "totalSamplesReceived": self.total_samples,
            "concealedSamples": self.concealed,
            "silentConcealedSamples": self.silent_concealed,
            "concealmentEvents": self.concealment_events,
            "fecRecoveredSamples": self.fec_recovered,
            "insertedSamplesForDeceleration": self.inserted,
            "jitterBufferEmittedCount": self.emitted,
            "jitterBufferDelay": self.delay / SAMPLE_RATE,
            "undecodablePackets": self.undecodable,
        }


@dataclass(slots=True)
class Unwrapper:
    """Extends counters of ``bits`` bits that wrap around (RFC 3711, section 3.3.1, does it likewise)."""

    bits: int
    _last: int | None = field(default=None)

    def unwrap(self, value: int) -> int:
        """``value`` with as many wraps added as bring it nearest to the last one."""
        if self._last is None:
            self._last = value
        size = 1 << self.bits
        step = (value - self._last + size // 2) % size - size // 2
        self._last += step
        return self._last


class Playout:
    """The buffer between the network and the loudspeaker of one call.

    ``target`` is the delay in seconds that the first packet is held back; ``now`` is in seconds on any
    monotonic clock.
    """

    def __init__(self, decoder: Decoder, *, target: float = 0.02) -> None:
        self.counts = Counts()
        self.target = target
        self._decoder = decoder
        self._unwrapper = Unwrapper(32)
        self._packets: dict[int, tuple[bytes, float]] = {}
        self._first_arrival: float | None = None
        self._position: int | None = None
        self._frame = 2 * BLOCK
        self._pending = SILENCE[:0]
        self._stood_still = 0
        self._concealing = 0

    @property
    def started(self) -> bool:
        """Whether sound has come out."""
        return self._position is not None

    def push(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take the RTP payload that begins at ``timestamp`` (32 bits, 48 kHz) and arrived at ``now``."""
        start = self._unwrapper.unwrap(timestamp)
        if self._first_arrival is None:
            self._first_arrival = now
        if start in self._packets:
            self.counts.packets_duplicated += 1
            return
        if self._position is not None and start < self._position:
            self.counts.packets_discarded += 1
            return
        self._packets[start] = (payload, now)
        if len(self._packets) > CAPACITY:
            del self._packets[min(self._packets)]
            self.counts.packets_discarded += 1

    def pull(self, now: float) -> Samples:
        """The next 10 ms."""
        if self._position is None and not self._begin(now):
            return SILENCE
        while len(self._pending) < BLOCK:
            self._pending = np.concatenate((self._pending, self._next(now)))
        block, self._pending = self._pending[:BLOCK], self._pending[BLOCK:]
        self.counts.total_samples += BLOCK
        return block

    def _begin(self, now: float) -> bool:
        if self._first_arrival is None or now < self._first_arrival + self.target:
            return False
        self._position = min(self._packets)
        return True

    def _next(self, now: float) -> Samples:
        """More sound, and the timeline moved on by what of it is not made up while standing still."""
        assert self._position is not None
        if self._position in self._packets:
            return self._play(now)
        if not self._packets:
            self._stood_still += BLOCK
            return self._conceal(BLOCK)
        gap = min(self._packets) - self._position
        missing = gap - self._stood_still
        if missing <= 0 or missing > LARGEST_GAP:
            self._settle(gap)
            self._position += gap
            return SILENCE[:0]
        following, _ = self._packets[self._position + gap]
        if missing <= self._frame and carries_fec(following):
            with contextlib.suppress(OpusError):
                return self._recover(following, gap, missing)
        self._settle(self._stood_still)
        step = min(missing, BLOCK)
        self._position += gap - missing + step
        return self._conceal(step)

    def _play(self, now: float) -> Samples:
        assert self._position is not None
        payload, arrived = self._packets.pop(self._position)
        try:
            sound = self._decoder.decode(payload)
        except OpusError:
            self.counts.undecodable += 1
            self._position += self._frame
            return self._conceal(self._frame)
        self._settle(0)
        self._concealing = 0
        self._frame = len(sound)
        self._position += len(sound)
        self.counts.emitted += len(sound)
        self.counts.delay += (now - arrived) * len(sound)
        return sound

    def _recover(self, following: bytes, gap: int, missing: int) -> Samples:
        """The frame before ``following``; what stood in for its beginning is cut off."""
        assert self._position is not None
        sound = self._decoder.recover(following, self._frame)[-missing:]
        self._settle(gap - missing)
        self._concealing = 0
        self._position += gap
        self.counts.fec_recovered += len(sound)
        return sound

    def _conceal(self, samples: int) -> Samples:
        if self._concealing == 0:
            self.counts.concealment_events += 1
        sound = self._decoder.conceal(samples)
        done = self._concealing + np.arange(samples)
        loudness = np.clip((FADE_UNTIL - done) / (FADE_UNTIL - FADE_AFTER), 0.0, 1.0)
        self._concealing += samples
        self.counts.concealed += samples
        self.counts.silent_concealed += samples if not loudness.any() else 0
        return (sound * loudness).astype(np.int16)

    def _settle(self, lost: int) -> None:
        """End a standstill: ``lost`` samples of it stood in for lost ones, the rest made the delay longer."""
        self.counts.inserted += max(0, self._stood_still - lost)
        self._stood_still = 0
