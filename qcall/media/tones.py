"""What the phone itself has to say: it rings, the far phone rings, the line is busy, the call is held.

Tones and cadences are the Chinese network's (ITU-T E.180, supplement 2): 450 Hz for all of them but the
phone's own ringing, which no recommendation covers. Their loudness never exceeds the speech's: before the
talk it is a nominal one, in the talk it is faint until somebody has been heard, and then follows what was
heard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK
from .quality import level

NOMINAL = -30.0
"""Decibels below full scale, RMS: 4 dB below where ITU-T P.56 wants speech on a digital line."""
UNHEARD = -50.0
"""The same in a talk in which nobody has been heard yet: as loud as the speech of a far too quiet phone."""
BELOW_SPEECH = 6.0
"""Decibels that a tone stays below the speech that was heard."""
FAINTEST = -80.0
"""Decibels below full scale under which there is nothing: what silence is after the codec."""
ABOVE_BACKGROUND, FORGET = 6.0, 0.04
"""Decibels that speech is above the quietest that was heard lately, and by which that rises every 10 ms."""
LEARN = 0.02
"""Weight of the newest 10 ms of speech."""
EDGE = SAMPLE_RATE * 5 // 1000
"""Samples in which a tone rises and falls, or it would click."""


@dataclass(frozen=True, slots=True)
class Tone:
    """Frequencies in hertz that sound together, and seconds on and off in turn, over and over."""

    name: str
    frequencies: tuple[float, ...]
    cadence: tuple[float, ...]

    @property
    def period(self) -> float:
        """Seconds until it begins again."""
        return sum(self.cadence)


RINGING = Tone("ringing", (400.0, 500.0), (0.4, 0.2, 0.4, 2.0))
"""This phone rings."""
RING_BACK = Tone("ring-back", (450.0,), (1.0, 4.0))
"""The far phone rings."""
BUSY = Tone("busy", (450.0,), (0.35, 0.35))
"""The far user is in a call, declined, or has hung up."""
CONGESTION = Tone("congestion", (450.0,), (0.7, 0.7))
"""The call failed on the way."""
HOLDING = Tone("hold", (450.0,), (0.2, 0.2, 0.2, 9.4))
"""The far user holds the call."""


class Tones:
    """Plays one tone at a time into what the loudspeaker plays. Silent while ``enabled`` is off."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._tone: Tone | None = None
        self._at = 0
        self._heard = False
        self._background = math.inf
        self._speech: float | None = None

    @property
    def playing(self) -> Tone | None:
        """The tone that sounds, or that is in a pause of its cadence."""
        return self._tone if self.enabled else None

    @property
    def level(self) -> float:
        """Decibels relative to full scale, RMS, that a tone is played at."""
        if self._speech is None:
            return UNHEARD if self._heard else NOMINAL
        return min(NOMINAL, self._speech - BELOW_SPEECH)

    def play(self, tone: Tone) -> None:
        """Begin ``tone``, in the place of any other."""
        if tone != self._tone:
            self._tone, self._at = tone, 0

    def stop(self) -> None:
        """End whatever sounds."""
        self._tone = None

    def hear(self, speech: Samples) -> None:
        """Learn from what comes of the far user in the talk how loud speech is in it."""
        self._heard = True
        loud = level(speech)
        if loud < FAINTEST:
            return
        self._background = min(loud, self._background + FORGET)
        if loud < self._background + ABOVE_BACKGROUND:
            return
        known = loud if self._speech is None else self._speech
        self._speech = 10 * math.log10((1 - LEARN) * 10 ** (known / 10) + LEARN * 10 ** (loud / 10))

    def over(self, block: Samples) -> Samples:
        """``block`` of 10 ms with the tone in it; for every block that is played."""
        if self._tone is None or not self.enabled:
            return block
        sound = waveform(self._tone, self._at) * (32_768 * 10 ** (self.level / 20))
        self._at = (self._at + BLOCK) % round(self._tone.period * SAMPLE_RATE)
        return np.clip(np.rint(block + sound), -32_768, 32_767).astype(np.int16)


def waveform(tone: Tone, start: int) -> NDArray[np.float64]:
    """10 ms of ``tone`` from sample ``start`` of its cadence on, with an RMS of one while it is on."""
    at = start + np.arange(BLOCK)
    envelope, begins = np.zeros(BLOCK), 0
    for place, seconds in enumerate(tone.cadence):
        ends = begins + round(seconds * SAMPLE_RATE)
        if place % 2 == 0:
            rising, falling = (at - begins) / EDGE, (ends - at) / EDGE
            envelope += np.clip(np.minimum(rising, falling), 0.0, 1.0)
        begins = ends
    waves = np.zeros(BLOCK)
    if not envelope.any():
        return waves
    for frequency in tone.frequencies:
        waves += np.sin(2 * np.pi * frequency * at / SAMPLE_RATE)
    return waves * envelope * math.sqrt(2 / len(tone.frequencies))
