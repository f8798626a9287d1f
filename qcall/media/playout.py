"""The playout buffer: packets in as they arrive, 10 ms of sound out whenever the loudspeaker asks.

Pulled by the playout clock, never pushed by arrivals. What is not there when it is due is made up: from the
redundancy in the following packet (FEC), else by concealment that fades to comfort noise. While nothing at
all is there the timeline stands still, so that frames that are merely late are still heard; frames that are
lost are taken off again from what was made up in their place.

The delay follows its target (``qcall.media.delay``) by making speech a little shorter or longer
(``qcall.media.stretch``), in pauses first. Thereby it also follows the drift between the two phones' clocks.

All counts are called as in the W3C's webrtc-stats (RTCInboundRtpStreamStats) where it has a name for them.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .counts import Counts
from .delay import TargetDelay, Transit
from .noise import ComfortNoise
from .opus import SAMPLE_RATE, OpusError, carries_fec, is_speech_only
from .stretch import ALIKE, ANYHOW, LONGEST, lengthen, shorten

Samples = NDArray[np.int16]

BLOCK = SAMPLE_RATE // 100
"""Samples in one pull: 10 ms."""
SILENCE = np.zeros(BLOCK, np.int16)
LARGEST_GAP = SAMPLE_RATE
"""Samples; where the sender's clock jumps ahead by more, that is not filled but followed."""
CAPACITY = 100
"""Packets kept at most: 2 s of 20 ms frames."""
SLACK_FRAMES, LEAST_SLACK = 0.75, 0.0075
"""Frames, and seconds, that the delay may be above its target before speech is made shorter.

Half of it is left when it is: all of it, and the next late packet would put it in again.
"""
LEAST_LACK = 0.005
"""Seconds that the delay may be below a short target before speech is made longer; below a long one, more."""
HURRY = 0.06
"""Seconds above the target from which a less perfect seam will do."""
HURRIED_ALIKE = 0.5
CALM, HURRIED = SAMPLE_RATE * 60 // 1000, SAMPLE_RATE * 30 // 1000
"""Samples between two changes of length, as a rule and in a hurry."""
FADE_AFTER, FADE_UNTIL = 8 * BLOCK, 20 * BLOCK
"""Samples of uninterrupted concealment after which it grows fainter, and after which only noise is left."""
QUIET = 15.0
"""Root mean square below twice which nobody can be speaking."""
STALL = 0.2
"""Seconds between two pulls after which the loudspeaker has stood still, and will not catch up."""
LEARN_EVERY = SAMPLE_RATE // 5
"""Samples between two looks at the background's colour."""


class Decoder(Protocol):
    """What the buffer needs of a codec; ``qcall.media.opus.Decoder`` is one."""

    def decode(self, packet: bytes) -> Samples: ...
    def recover(self, following: bytes, samples: int) -> Samples: ...
    def conceal(self, samples: int) -> Samples: ...


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


class Loudness:
    """Tells speech from the background by the quietest that was heard lately."""

    def __init__(self) -> None:
        self._floor = math.inf

    def is_background(self, sound: Samples) -> bool:
        """Whether nobody speaks in ``sound``; every sound is to be shown, in order."""
        loud = sound.astype(np.float32)
        level = math.sqrt(float(loud @ loud) / len(loud)) if len(loud) else 0.0
        # After digital silence (mute, hold) the floor would take half a minute to come back from nothing.
        self._floor = max(QUIET, min(level, self._floor * 1.005))
        return level < 2 * self._floor


class Playout:
    """The buffer between the network and the loudspeaker of one call.

    ``initial`` is the delay in seconds by which the first packet is held back, before anything is known of
    the path; without ``adaptive`` it stays. ``now`` is in seconds on any monotonic clock.
    """

    def __init__(self, decoder: Decoder, *, initial: float = 0.01, adaptive: bool = True) -> None:
        self.counts = Counts()
        self._decoder = decoder
        self._unwrapper = Unwrapper(32)
        self._transit = Transit()
        self._target = TargetDelay(initial)
        self._adaptive = adaptive
        self._initial = initial
        self._loudness = Loudness()
        self._noise = ComfortNoise()
        self._packets: dict[int, tuple[bytes, float, bool]] = {}
        self._seen: dict[int, None] = {}
        self._first_arrival: float | None = None
        self._last_arrival = -math.inf
        self._last_pull = -math.inf
        self._newest = -1
        self._last_delay = 0.0
        self._delay = 0.0
        self._position: int | None = None
        self._frame = 2 * BLOCK
        self._past = SILENCE[:0]
        self._pending = SILENCE[:0]
        self._unchanged = 0
        self._standing = 0
        self._concealing = 0

    @property
    def started(self) -> bool:
        """Whether sound has come out."""
        return self._position is not None

    @property
    def delay(self) -> float:
        """Seconds that the frame played last would have waited, had it been as fast as the fastest."""
        return self._delay

    @property
    def target(self) -> float:
        """Seconds that the buffer should delay the fastest packet by."""
        return self._target.seconds

    def push(self, timestamp: int, payload: bytes, now: float, *, repeated: bool = False) -> None:
        """Take the RTP payload that begins at ``timestamp`` (32 bits, 48 kHz) and arrived at ``now``.

        ``repeated`` marks a copy that travelled in a later packet: it counts only where it is needed.
        """
        start = self._unwrapper.unwrap(timestamp)
        if self._first_arrival is None:
            self._first_arrival = now
        self.counts.fec_packets += repeated or carries_fec(payload)
        if start in self._seen:
            self.counts.packets_duplicated += not repeated
            return
        self._learn(start, payload, now, repeated=repeated)
        if self._position is not None and start < self._position:
            self.counts.packets_discarded += not repeated
            return
        self._packets[start] = (payload, now, repeated)
        if len(self._packets) > CAPACITY:
            del self._packets[min(self._packets)]
            self.counts.packets_discarded += 1

    def pull(self, now: float) -> Samples:
        """The next 10 ms."""
        if self._position is None and not self._begin(now):
            return SILENCE
        if now - self._last_pull > STALL:
            self._skip(round((now - self._last_pull) * SAMPLE_RATE))
        self._last_pull = now
        while len(self._pending) < BLOCK:
            sound = self._next(now)
            self._past = np.concatenate((self._past, sound))[-LONGEST:]
            self._pending = np.concatenate((self._pending, sound))
        block, self._pending = self._pending[:BLOCK], self._pending[BLOCK:]
        self.counts.total_samples += BLOCK
        return block

    def _learn(self, start: int, payload: bytes, now: float, *, repeated: bool) -> None:
        """Note when the frame at ``start``, and the one that ``payload`` repairs, became available."""
        frame = self._frame / SAMPLE_RATE
        before = start - self._frame
        self._seen[start] = None
        if len(self._seen) > CAPACITY:
            del self._seen[next(iter(self._seen))]
        if repeated or start < self._newest:
            if self._transit.base is not None:
                self._target.observe_repair(now - start / SAMPLE_RATE - self._transit.base)
            return
        self._newest = start
        delay = self._transit.observe(start / SAMPLE_RATE, now)
        # Packets that were held up behind a late one arrive with it; it alone is what to wait for.
        held_up = now - self._last_arrival < frame / 4 and delay < self._last_delay
        self._last_arrival, self._last_delay = now, delay
        if not held_up:
            self._target.observe(delay)
        repairable = carries_fec(payload) or is_speech_only(payload)
        if self._position is not None and before not in self._seen and repairable:
            # What is lost in silence is not repaired, but in speech it would be: wait for it from now on.
            self._target.observe_repair(delay + frame)

    def _begin(self, now: float) -> bool:
        if self._first_arrival is None or now < self._first_arrival + self._initial:
            return False
        self._position = min(self._packets)
        self._last_pull = now
        if now > self._first_arrival + self._initial + STALL and self._transit.base is not None:
            # The loudspeaker took its time to begin: what came before that would stay as delay.
            there = round((now - self._initial - self._transit.base) * SAMPLE_RATE)
            self._skip(max(0, there - self._position))
        return True

    def _skip(self, samples: int) -> None:
        """Leave out what was not asked for while the loudspeaker stood still, or it would stay as delay."""
        assert self._position is not None
        there = self._position + samples
        there = min((start for start in self._packets if start >= there), default=there)
        for start in [start for start in self._packets if start < there]:
            del self._packets[start]
            self.counts.packets_discarded += 1
        self.counts.skipped += there - self._position
        self.counts.removed += len(self._pending)
        self._pending = SILENCE[:0]
        self._position = there

    def _next(self, now: float) -> Samples:
        """More sound, and the timeline moved on by what of it is not made up while standing still."""
        assert self._position is not None
        if self._position in self._packets:
            return self._play(now)
        if not self._packets:
            self._standing += BLOCK
            return self._conceal(BLOCK)
        gap = min(self._packets) - self._position
        missing = gap - self._standing
        if missing <= 0 or missing > LARGEST_GAP:
            self.counts.skipped += max(0, missing)
            self._settle(gap)
            self._position += gap
            return SILENCE[:0]
        following, *_ = self._packets[self._position + gap]
        if missing <= self._frame and carries_fec(following):
            with contextlib.suppress(OpusError):
                return self._recover(following, gap, missing)
        self._settle(self._standing)
        step = min(missing, BLOCK)
        self._position += gap - missing + step
        return self._conceal(step)

    def _play(self, now: float) -> Samples:
        """The frame whose turn it is, made shorter or longer if the delay is off its target."""
        assert self._position is not None
        self._delay = now - self._position / SAMPLE_RATE - (self._transit.base or 0.0)
        lack = self.target - self._delay
        excess = len(self._pending) / SAMPLE_RATE - lack
        sound = self._decode(now)
        slack = max(LEAST_SLACK, SLACK_FRAMES * self._frame / SAMPLE_RATE)
        if excess > slack and len(sound) < 2 * BLOCK and self._position in self._packets:
            sound = np.concatenate((sound, self._decode(now)))
        background = self._loudness.is_background(sound)
        if background and self._adaptive and self.counts.emitted % LEARN_EVERY < len(sound):
            self._noise.learn(sound)
        hurry = excess > HURRY
        self._unchanged += len(sound)
        if not self._adaptive or self._unchanged < (HURRIED if hurry else CALM):
            return sound
        alike = ANYHOW if background else HURRIED_ALIKE if hurry else ALIKE
        changed = sound
        if excess > slack:
            changed = shorten(sound, round((excess - slack / 2) * SAMPLE_RATE), alike=alike)
        elif lack > min(max(LEAST_LACK, self.target / 4), 3 * LEAST_LACK):
            changed = lengthen(self._past, sound, round(lack * SAMPLE_RATE), alike=alike)
        if len(changed) != len(sound):
            self._unchanged = 0
            self.counts.removed += max(0, len(sound) - len(changed))
            self.counts.inserted += max(0, len(changed) - len(sound))
        return changed

    def _decode(self, now: float) -> Samples:
        assert self._position is not None
        payload, arrived, repeated = self._packets.pop(self._position)
        try:
            sound = self._decoder.decode(payload)
        except OpusError:
            self.counts.undecodable += 1
            self._position += self._frame
            return self._conceal(self._frame)
        self.counts.fec_used += repeated
        self._settle(0)
        self._concealing = 0
        self._frame = len(sound)
        self._position += len(sound)
        self.counts.emitted += len(sound)
        self.counts.delay += (now - arrived) * len(sound)
        self.counts.target += self.target * len(sound)
        self.counts.relative += self._delay * len(sound)
        return sound

    def _recover(self, following: bytes, gap: int, missing: int) -> Samples:
        """The frame before ``following``; what stood in for its beginning is cut off."""
        assert self._position is not None
        sound = self._decoder.recover(following, self._frame)[-missing:]
        self._settle(gap - missing)
        self._concealing = 0
        self._position += gap
        self.counts.fec_recovered += len(sound)
        self.counts.fec_used += 1
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
        if loudness.all():
            return (sound * loudness).astype(np.int16)
        faded = sound * loudness + self._noise.make(samples) * (1 - loudness)
        return np.clip(np.rint(faded), -32_768, 32_767).astype(np.int16)

    def _settle(self, lost: int) -> None:
        """End a standstill: ``lost`` samples of it stood in for lost ones, the rest made the delay longer."""
        self.counts.stood_still += max(0, self._standing - lost)
        self._standing = 0
