"""Echo cancellation, noise suppression and gain control: WebRTC's own, from the ``livekit`` wheel.

Needed where a loudspeaker is heard by the microphone; with a headset or a file it would only cost quality,
9 ms of delay and time. Optional: everything else works without the wheel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE, Samples
from .playout import BLOCK

DEVICE_DELAY = 40
"""Milliseconds from a block's way to the loudspeaker to its echo's way back, to begin with: two blocks wait
on either side of PortAudio. The canceller finds the true value by itself."""


class Processing:
    """Blocks of 10 ms: first ``heard`` what is played, then ``spoken`` what the microphone picked up.

    Raises ``DeviceError`` where the wheel is not installed.
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
        self._frame = AudioFrame
        self._module: Any = AudioProcessingModule(
            echo_cancellation=echo_cancellation,
            noise_suppression=noise_suppression,
            high_pass_filter=False,
            auto_gain_control=gain_control,
        )
        self._echo = echo_cancellation
        if self._echo:
            self._module.set_stream_delay_ms(DEVICE_DELAY)

    def heard(self, block: Samples) -> None:
        """``block`` goes to the loudspeaker: its echo is to be expected."""
        if self._echo:
            self._module.process_reverse_stream(self._framed(block))

    def spoken(self, block: Samples) -> Samples:
        """``block`` from the microphone, without echo and noise, at an even loudness."""
        frame = self._framed(block)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16).copy()

    def _framed(self, block: Samples) -> Any:
        return self._frame(bytearray(block.astype(np.int16).tobytes()), SAMPLE_RATE, 1, BLOCK)
