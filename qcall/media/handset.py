"""What the user of a phone speaks into and hears from in a call, and what can be done to both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from .devices import Sink, Source
from .earpiece import Earpiece
from .mouthpiece import Mouthpiece
from .processing import Processing
from .recording import Recording
from .tones import Tone


def unrecorded(*_: object) -> None:
    """Where speech goes that nobody records."""


class Handset:
    """A mouthpiece and an earpiece. ``feed`` sees to it that the earpiece sounds."""

    def __init__(self, mouth: Mouthpiece, ear: Earpiece, feed: Callable[[], None]) -> None:
        self._mouth = mouth
        self._ear = ear
        self._feed = feed
        self._recording: Recording | None = None

    def play(self, tone: Tone | None) -> None:
        """Let the user hear ``tone`` until the next, or none; nothing where tones are off."""
        if tone is None:
            self._ear.tones.stop()
        else:
            self._ear.tones.play(tone)
        if self._ear.tones.playing:
            self._feed()

    def hush(self) -> None:
        """The call is over for the user's ear and mouth, but for tones."""
        self._mouth.held = self._ear.held = True

    @property
    def muted(self) -> bool:
        """Whether silence is sent in the place of speech; nobody can tell from the packets."""
        return self._mouth.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._mouth.muted = muted

    @property
    def held(self) -> bool:
        """Whether the call rests: silence is sent, and what comes is not played."""
        return self._mouth.held

    @held.setter
    def held(self, held: bool) -> None:
        self._mouth.held = self._ear.held = held

    @property
    def levels(self) -> tuple[float, float]:
        """Loudness of the latest speech spoken and heard, in decibels relative to full scale."""
        return self._mouth.level, self._ear.level

    def change_source(self, source: Source) -> None:
        """Speak into another device from now on; the one before is closed."""
        before, self._mouth.source = self._mouth.source, source
        before.close()

    def change_sink(self, sink: Sink) -> None:
        """Hear from another device from now on; the one before is closed."""
        before, self._ear.sink = self._ear.sink, sink
        before.close()

    def change_processing(self, processing: Processing | None) -> None:
        """Clean what the microphone picks up by this from now on, or leave it as it is."""
        self._mouth.processing = self._ear.processing = processing

    def record(self, recording: Recording | None) -> None:
        """Record into ``recording`` from now on, or no more; the one before is closed."""
        before, self._recording = self._recording, recording
        self._mouth.on_spoken = unrecorded if recording is None else recording.spoken
        self._ear.on_heard = unrecorded if recording is None else recording.heard
        if before is not None:
            before.close()

    def close(self) -> None:
        """Give both devices and the recording back."""
        with contextlib.ExitStack() as owned:  # each of them is closed, whatever another raises
            owned.callback(self._ear.sink.close)
            owned.callback(self._mouth.source.close)
            owned.callback(self.record, None)
