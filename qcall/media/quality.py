"""How good a call sounds, in numbers: loss, jitter, the E-model's opinion score, mouth-to-ear delay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .opus import SAMPLE_RATE, Samples

# E-model with default values, after ITU-T G.107: what is left of 100 before delay and equipment.
BEST_RATING = 93.2
# The equipment impairment of Opus and its robustness to loss. ITU-T G.113 has no official values for Opus:
# these are fitted to PESQ-WB at 32 kb/s under random loss of 0 to 20 %, against the share of sound that was
# made up because no FEC and no copy brought it, by `scripts/bench quality --virtual --rounds 2` (seeds 1, 2).
# They are 0.06 MOS off there, and 0.17 off for bursts, which took no part in the fit (root mean square).
OPUS_IE = 0.0
OPUS_BPL = 12.5


def delay_impairment(one_way: float) -> float:
    """Idd of G.107, section 7.4, for ``one_way`` seconds from mouth to ear."""
    if one_way <= 0.1:
        return 0.0
    x = math.log2(one_way * 1000 / 100)
    impairment: float = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return impairment


def rating(one_way: float, loss: float, burst_ratio: float = 1.0) -> float:
    """R of G.107 for a delay in seconds and a share (0 to 1) of frames lost and not repaired.

    ``burst_ratio`` is the mean length of a burst over what random loss would give (G.107, section 7.5).
    """
    percent = 100 * loss
    equipment = OPUS_IE + (95 - OPUS_IE) * percent / (percent / burst_ratio + OPUS_BPL)
    return BEST_RATING - delay_impairment(one_way) - equipment


def opinion_score(r: float) -> float:
    """The mean opinion score, 1 to 4.5, for a rating ``r`` (G.107, annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))


def unrepaired(stats: Mapping[str, float], frame: int) -> tuple[float, float]:
    """What is left of the losses after FEC and copies, out of webrtc-stats of the playout.

    The share (0 to 1) of the sound that had to be made up, and the burst ratio of that (G.107, section 7.5);
    ``frame`` is in samples.
    """
    share = stats["concealedSamples"] / max(1, stats["totalSamplesReceived"])
    length = stats["concealedSamples"] / frame / max(1, stats["concealmentEvents"])
    return share, max(1.0, length * (1 - share))


SILENT = -96.0
"""Decibels below full scale of what has no sound at all."""


def level(sound: Samples) -> float:
    """Loudness of ``sound`` in decibels relative to full scale (0 is the loudest, ``SILENT`` the least)."""
    loud = sound.astype(np.float32)
    power = float(loud @ loud) / max(1, len(loud)) / 32_768**2
    return max(SILENT, 10 * math.log10(power)) if power > 0 else SILENT


@dataclass(slots=True)
class Reception:
    """Loss and jitter of one RTP stream (RFC 3550, appendices A.3 and A.8)."""

    received: int = 0
    jitter: float = 0.0
    """Seconds: the smoothed difference of successive transit times."""
    gaps: int = 0
    """Places in the sequence where one packet or more were missing when the next one came."""
    _first: int | None = field(default=None)
    _highest: int = 0
    _transit: float | None = field(default=None)

    def add(self, sequence: int, media_time: float, now: float) -> None:
        """A packet with this extended sequence number and these seconds of media time arrived at ``now``."""
        self.received += 1
        if self._first is None:
            self._first = self._highest = sequence
        if sequence < self._highest:
            return
        self.gaps += sequence > self._highest + 1
        self._highest = sequence
        transit = now - media_time
        if self._transit is not None:
            self.jitter += (abs(transit - self._transit) - self.jitter) / 16
        self._transit = transit

    @property
    def expected(self) -> int:
        """Packets that the far side has sent, as far as the sequence numbers tell."""
        return 0 if self._first is None else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        """Packets that never came; negative when duplicates outnumber losses, as RFC 3550 has it."""
        return self.expected - self.received

    @property
    def burst_ratio(self) -> float:
        """Mean length of a burst of losses over what random loss would give (G.107, section 7.5)."""
        if not self.gaps or self.lost <= 0:
            return 1.0
        return max(1.0, self.lost / self.gaps * (1 - self.lost / self.expected))


@dataclass(frozen=True, slots=True)
class Match:
    """Where one sound was found in another."""

    lag: int
    """Samples by which it is later there."""
    peak: float
    """Normalised cross-correlation, -1 to 1; 1 is the same sound."""


def locate(needle: Samples, haystack: Samples) -> Match:
    """The place in ``haystack`` that is most like ``needle``; both mono at 48 kHz.

    Normalised cross-correlation by FFT: loudness does not matter, shape does. ``haystack`` may begin within
    the needle's length and must not be shorter than it.
    """
    if len(haystack) < len(needle) or not needle.any():
        raise ValueError("the haystack must be at least as long as the needle, the needle not silent")
    small, large = needle.astype(np.float64), haystack.astype(np.float64)
    size = 1 << (len(small) + len(large) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(large, size) * np.conj(np.fft.rfft(small, size)), size)
    products = products[: len(large) - len(small) + 1]
    energy = np.concatenate(([0.0], np.cumsum(large**2)))
    windows = energy[len(small) :] - energy[: len(energy) - len(small)]
    scale = np.sqrt(np.maximum(windows, 1.0) * float(small @ small))
    likeness = products / scale
    lag = int(np.argmax(likeness))
    return Match(lag, float(likeness[lag]))


CHIRP_SAMPLES = SAMPLE_RATE * 20 // 1000
CHIRP_PERIOD = SAMPLE_RATE // 2
CHIRP_LIKENESS = 0.5
"""A peak below this is no chirp: a codec leaves 0.9 of one, speech has 0.3 at most."""


def chirp() -> Samples:
    """20 ms from 500 to 2,000 Hz: short enough to time, and what every voice codec leaves as it is.

    One up to 4,000 Hz does not survive Opus' speech layer: 6 % of them were not recognised behind it, 39 to
    92 % where it carries FEC, by where in a frame they began.
    """
    t = np.arange(CHIRP_SAMPLES) / SAMPLE_RATE
    length = CHIRP_SAMPLES / SAMPLE_RATE
    phase = 2 * np.pi * (500 * t + (2000 - 500) / (2 * length) * t**2)
    return (20_000 * np.sin(phase) * np.hanning(CHIRP_SAMPLES)).astype(np.int16)


def chirps(samples: int, period: int = CHIRP_PERIOD) -> Samples:
    """Silence with a chirp every ``period`` samples, the first after half of that."""
    sound = np.zeros(samples, np.int16)
    one = chirp()
    for start in range(period // 2, samples - len(one), period):
        sound[start : start + len(one)] = one
    return sound


def chirps_due(samples: int, started: float, period: int = CHIRP_PERIOD) -> int:
    """How many chirps can be found in so many samples heard; ``started`` as for ``chirp_delays``."""
    return len(_spoken_while_heard(samples, started, period))


def _spoken_while_heard(samples: int, started: float, period: int) -> list[tuple[int, int]]:
    """Where chirps were spoken: in samples of ``chirps``, and of what was heard.

    One spoken within the last quarter of a second may be under way at the end, and is left out.
    """
    moments = range(period // 2, samples + round(started * SAMPLE_RATE) - CHIRP_PERIOD // 2 + 1, period)
    begins = ((spoken, spoken - round(started * SAMPLE_RATE)) for spoken in moments)
    return [(spoken, begin) for spoken, begin in begins if begin >= 0]


def chirp_delays(heard: Samples, started: float, period: int = CHIRP_PERIOD) -> NDArray[np.float64]:
    """Seconds from mouth to ear of every chirp found in ``heard``.

    ``started`` is when the first sample of ``heard`` sounded, in seconds after the first sample of
    ``chirps`` was spoken. Delays of a period or more cannot be told from their neighbour's.
    """
    one, found = chirp(), []
    for spoken, begin in _spoken_while_heard(len(heard), started, period):
        match = locate(one, heard[begin : begin + period])
        if match.peak >= CHIRP_LIKENESS:
            found.append(started + (begin + match.lag - spoken) / SAMPLE_RATE)
    return np.array(found)
