"""What either direction of a call's voice takes of a core: codec, copies, SRTP, playout, and nothing else.

The sockets, the event loop and aiortc are not in it: a phone in a call takes more, by proc(5).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from qcall.media.opus import SAMPLE_RATE, Samples
from scripts.benchmarks.virtual_call import VirtualCall


@dataclass(frozen=True)
class Directions:
    """Shares of one core."""

    sending: float
    receiving: float


class PricedCall(VirtualCall):
    """A call in virtual time that counts the processor time of its two ends."""

    sending = receiving = 0.0

    def _say(self, number: int, piece: Samples) -> None:
        began = time.thread_time()
        super()._say(number, piece)
        self.sending += time.thread_time() - began

    def _hear(self, packet: bytes) -> None:
        began = time.thread_time()
        super()._hear(packet)
        self.receiving += time.thread_time() - began

    def _pull(self) -> None:
        began = time.thread_time()
        super()._pull()
        self.receiving += time.thread_time() - began


def price(speech: Samples, seed: int) -> Directions:
    """What saying ``speech``, and hearing it at the other end of a clean path, takes while it lasts."""
    call = PricedCall(
        topology="beijing-hefei", loss=0.0, burst=1.0, jitter=None, seed=seed, bitrate=32_000, copies=True
    )
    call.run(speech)
    seconds = len(speech) / SAMPLE_RATE
    return Directions(call.sending / seconds, call.receiving / seconds)
