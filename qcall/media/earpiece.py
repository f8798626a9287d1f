"""The way to the loudspeaker, at the loudspeaker's pace: the far user's speech and the phone's own tones."""

from __future__ import annotations

import time
from collections.abc import Callable

from .devices import Sink
from .opus import Samples
from .playout import SILENCE
from .processing import Processing
from .quality import SILENT, level
from .tones import Tones


class Earpiece:
    """Asks ``pull(now)`` for every block that the sink wants, while ``playing``.

    ``on_heard`` gets all speech as it is played, without tones; ``processing``, if there is one, learns of
    everything whose echo the microphone will pick up.
    """

    def __init__(self, sink: Sink, pull: Callable[[float], Samples], tones: Tones) -> None:
        self.sink = sink
        self.tones = tones
        self.processing: Processing | None = None
        self.playing = False
        self.held = False
        """While it is set, the far user's speech goes unheard."""
        self.on_heard: Callable[[Samples], None] = lambda sound: None
        self.level = SILENT
        self._pull = pull

    async def run(self, on_block: Callable[[], None]) -> None:
        """Feed the sink, for ever; ``on_block`` follows every block. Raises what the sink raises."""
        while True:
            await self.sink.wanted()
            self.sink.write(self._next())
            on_block()

    def _next(self) -> Samples:
        speech = self._pull(time.monotonic()) if self.playing else SILENCE
        if self.held:
            speech = SILENCE
        self.level = level(speech)
        if self.playing:
            self.on_heard(speech)
            if self.tones.enabled:
                self.tones.hear(speech)
        block = self.tones.over(speech)
        if self.processing is not None:
            self.processing.heard(block)
        return block
