"""A recording of a call: one's own side in a mono file, or both in stereo, the own one left.

Speech is recorded as it was sent and as it came out of the playout buffer: what is muted or on hold is
silence here too. Both sides run at their own pace and are laid side by side by the time they take. Where the
clocks of microphone and loudspeaker differ, the slower side is made longer in its pauses, so that question
and answer stay together for hours; one that ceases is filled up with silence until it is back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import SILENCE, Loudness
from .sides import Sides
from .stretch import ALIKE, ANYHOW, LONGEST, lengthen
from .wav import WavFile

LEAD = SAMPLE_RATE // 2
"""Samples that one side may be ahead of the other before the other counts as having ceased."""
OFF = SAMPLE_RATE * 15 // 1000
"""Samples that a side may be behind on average before its next pause is made longer."""
FAR_OFF = SAMPLE_RATE * 25 // 1000
"""The same before speech itself is, where that is inaudible."""
AVERAGE = 2 * SAMPLE_RATE
"""Samples over which the average is taken: sound comes in frames, and from a busy machine in bursts."""


class Side:
    """What one side of a call has said and the other has not caught up with."""

    def __init__(self) -> None:
        self.waiting = SILENCE[:0]
        self.ceased = False
        self._past = SILENCE[:0]
        self._loudness = Loudness()

    def add(self, sound: Samples, behind: float) -> int:
        """Put ``sound`` behind what waits, made longer where this side is ``behind``; samples put in."""
        background = self._loudness.is_background(sound)
        more = sound
        if behind > (OFF if background else FAR_OFF):
            more = lengthen(self._past, sound, round(behind), alike=ANYHOW if background else ALIKE)
        self.waiting = np.concatenate((self.waiting, more))
        self._past = np.concatenate((self._past, sound))[-LONGEST:]
        return len(more) - len(sound)

    def fill(self, samples: int) -> bool:
        """Let silence follow until so many samples wait; whether there was any to put in."""
        lack = samples - len(self.waiting)
        if lack > 0:
            self.waiting = np.pad(self.waiting, (0, lack))
        return lack > 0

    def take(self, samples: int) -> Samples:
        """The first of what waits."""
        taken, self.waiting = self.waiting[:samples], self.waiting[samples:]
        return taken


class Recording:
    """Fed from both ends of a call; ``close`` ends it. Raises ``DeviceError`` when it cannot be made.

    The file must be new: a recording never takes the place of another.
    """

    def __init__(self, file: Path, sides: Sides) -> None:
        self.on_fault: Callable[[DeviceError], None] = lambda error: None
        """Called once, when the file cannot be written any more; the call goes on."""
        self.file = file
        self.sides = sides
        self._wav = WavFile(file, channels=2 if sides is Sides.BOTH else 1, new=True)
        self._own = Side()
        self._far = Side()
        self._lead = 0.0
        """Samples that this side is ahead of the far one, on average."""
        self.is_empty = True
        """Whether nothing has been recorded yet; of that no file is left."""

    def spoken(self, sound: Samples) -> None:
        """Speech of this side, as it was sent."""
        if self.sides is Sides.OWN:
            self._keep(sound)
        else:
            self._come_back(self._own, self._far, len(sound))
            self._lead += self._own.add(sound, -self._lead)
            self._write(len(sound))

    def heard(self, sound: Samples) -> None:
        """Speech of the far side, as it was played."""
        if self.sides is Sides.BOTH:
            self._come_back(self._far, self._own, len(sound))
            self._lead -= self._far.add(sound, self._lead)
            self._write(len(sound))

    def close(self) -> None:
        """The file is whole; may be called twice. What cannot be written any more, ``on_fault`` tells."""
        self._own.fill(len(self._far.waiting))
        self._far.fill(len(self._own.waiting))
        self._write(0)
        try:
            self._wav.close()
        except DeviceError as error:
            self.on_fault(error)
        if self.is_empty:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)

    def _come_back(self, side: Side, other: Side, samples: int) -> None:
        """``samples`` come of ``side``: if it had ceased, they belong beside the newest of the ``other``."""
        if side.ceased:
            side.fill(len(other.waiting) - samples)
            side.ceased = False
            self._lead = 0.0

    def _write(self, samples: int) -> None:
        """``samples`` have come: follow the lead, and write what both sides have."""
        lead = len(self._own.waiting) - len(self._far.waiting)
        self._lead += (lead - self._lead) * min(1.0, samples / AVERAGE)
        self._own.ceased |= self._own.fill(len(self._far.waiting) - LEAD)
        self._far.ceased |= self._far.fill(len(self._own.waiting) - LEAD)
        ready = min(len(self._own.waiting), len(self._far.waiting))
        if ready:
            self._keep(np.stack((self._own.take(ready), self._far.take(ready)), axis=1).reshape(-1))

    def _keep(self, sound: Samples) -> None:
        self.is_empty = False
        try:
            self._wav.write(sound)
        except DeviceError as error:
            self.on_fault(error)
