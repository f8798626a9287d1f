"""The incoming half of a call: packets in, sound out, and the numbers of both."""

from __future__ import annotations

from .opus import SAMPLE_RATE, Decoder, Samples
from .playout import Playout, Unwrapper
from .quality import Reception


class Inbound:
    """What arrives from the peer. Until ``playing`` is set, all of it is dropped unseen.

    ``initial`` is the playout delay in seconds to begin with; ``now`` is on any monotonic clock.
    """

    def __init__(self, *, initial: float) -> None:
        self.playing = False
        self._playout = Playout(Decoder(), initial=initial)
        self._reception = Reception()
        self._sequence = Unwrapper(16)
        self._timestamp = Unwrapper(32)

    @property
    def heard(self) -> bool:
        """Whether the peer's sound has come out."""
        return self._playout.started

    def packet(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        """An RTP packet arrived."""
        if self.playing:
            media_time = self._timestamp.unwrap(timestamp) / SAMPLE_RATE
            self._reception.add(self._sequence.unwrap(sequence), media_time, now)
            self._playout.push(timestamp, payload, now)

    def copy(self, timestamp: int, payload: bytes, now: float) -> None:
        """A frame arrived once more, in a later packet."""
        if self.playing:
            self._playout.push(timestamp, payload, now, repeated=True)

    def pull(self, now: float) -> Samples:
        """The next 10 ms for the loudspeaker."""
        return self._playout.pull(now)

    def stats(self) -> dict[str, float | int]:
        """Called as in webrtc-stats; times in seconds."""
        return {
            **self._playout.counts.stats(),
            "packetsReceived": self._reception.received,
            "packetsLost": self._reception.lost,
            "jitter": self._reception.jitter,
            "burstRatio": self._reception.burst_ratio,
        }
