"""Echo cancellation, noise suppression and gain control: WebRTC's own, from the ``livekit`` wheel.

Needed where a loudspeaker is heard by the microphone; with a headset or a file it would only cost quality,
delay (9 ms; 15 with noise suppression) and time. Optional: everything else works without the wheel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK

DEVICE_DELAY = 40
"""Milliseconds from a block's way to the loudspeaker to its echo's way back, to begin with: two blocks wait
on either side of PortAudio. The canceller finds the true value by itself."""
FAILED = "the echo canceller failed and is off now; use a headset if the far user hears an echo"


class Processing:
    """Blocks of 10 ms: first ``heard`` what is played, then ``spoken`` what the microphone picked up.

    Raises ``DeviceError`` where the wheel is not installed, or does not run. What fails in it later is told
    by ``on_fault``, once; from then on speech goes through as it is.
    """

    def __init__(
        self, *, echo_cancellation: bool = True, noise_suppression: bool = True, gain_control: bool = True
    ) -> None:
        try:
            from livekit.rtc import AudioFrame
            from livekit.rtc.apm import AudioProcessingModule
        except ImportError:
            raise DeviceError(
                "the echo canceller is not installed; use a headset, or run: pip install 'qcall[processing]'"
            ) from None
        self.on_fault: Callable[[DeviceError], None] = lambda error: None
        self._frame = AudioFrame
        self._working = True
        self._echo = echo_cancellation
        try:
            self._module: Any = AudioProcessingModule(
                echo_cancellation=echo_cancellation,
                noise_suppression=noise_suppression,
                high_pass_filter=False,
                auto_gain_control=gain_control,
            )
            if self._echo:
                self._module.set_stream_delay_ms(DEVICE_DELAY)
        except Exception as error:  # whatever the library raises, in its own words
            text = f"the echo canceller cannot be started ({error}); use a headset"
            raise DeviceError(text) from None

    def heard(self, block: Samples) -> None:
        """``block`` goes to the loudspeaker: its echo is to be expected."""
        if self._echo and self._working:
            with self._survived():
                self._module.process_reverse_stream(self._framed(block))

    def spoken(self, block: Samples) -> Samples:
        """``block`` from the microphone, without echo and noise, at an even loudness."""
        if self._working:
            with self._survived():
                frame = self._framed(block)
                self._module.process_stream(frame)
                return np.frombuffer(frame.data, np.int16).copy()
        return block

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        """A fault of the library's ends the processing, and not the call."""
        try:
            yield
        except Exception:  # whatever it raises: RuntimeError with the library's own words, so far
            self._working = False
            self.on_fault(DeviceError(FAILED))

    def _framed(self, block: Samples) -> Any:
        return self._frame(bytearray(block.astype(np.int16).tobytes()), SAMPLE_RATE, 1, BLOCK)
