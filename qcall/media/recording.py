"""A recording of a call: one's own side in a mono file, or both in stereo, the own one left.

Speech is recorded as it was sent and as it came out of the playout buffer: what is muted or on hold is
silence here too. Both sides run at their own pace and are laid side by side by the time they take; one that
ceases is filled up with silence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import SILENCE
from .sides import Sides
from .wav import WavFile

LEAD = SAMPLE_RATE // 2
"""Samples that one side may be ahead of the other before the other counts as having ceased."""


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
        self._own = SILENCE[:0]
        self._far = SILENCE[:0]
        self.is_empty = True
        """Whether nothing has been recorded yet; of that no file is left."""

    def spoken(self, sound: Samples) -> None:
        """Speech of this side, as it was sent."""
        if self.sides is Sides.OWN:
            self._keep(sound)
        else:
            self._own = np.concatenate((self._own, sound))
            self._write()

    def heard(self, sound: Samples) -> None:
        """Speech of the far side, as it was played."""
        if self.sides is Sides.BOTH:
            self._far = np.concatenate((self._far, sound))
            self._write()

    def close(self) -> None:
        """The file is whole; may be called twice. What cannot be written any more, ``on_fault`` tells."""
        longest = max(len(self._own), len(self._far))
        self._own, self._far = filled(self._own, longest), filled(self._far, longest)
        self._write()
        try:
            self._wav.close()
        except DeviceError as error:
            self.on_fault(error)
        if self.is_empty:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)

    def _write(self) -> None:
        lead = max(len(self._own), len(self._far)) - LEAD
        self._own, self._far = filled(self._own, lead), filled(self._far, lead)
        ready = min(len(self._own), len(self._far))
        if ready:
            pairs = np.stack((self._own[:ready], self._far[:ready]), axis=1)
            self._own, self._far = self._own[ready:], self._far[ready:]
            self._keep(pairs.reshape(-1))

    def _keep(self, sound: Samples) -> None:
        self.is_empty = False
        try:
            self._wav.write(sound)
        except DeviceError as error:
            self.on_fault(error)


def filled(sound: Samples, samples: int) -> Samples:
    """``sound``, with silence behind it up to that many samples."""
    return np.pad(sound, (0, max(0, samples - len(sound))))
