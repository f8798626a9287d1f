"""One direction of a call in virtual time: the product's codec, copies, reports, SRTP, path and playout.

No operating system and no network take part, so that the same seed gives the same sound on every machine,
however busy it is. What is missing against the whole product is what a scheduler does to it.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from aiortc.rtp import RtcpRrPacket

from qcall.crypto.secret import Secret
from qcall.media.carrier import Carrier
from qcall.media.inbound import Inbound
from qcall.media.opus import SAMPLE_RATE, Encoder, Samples
from qcall.media.srtp import KEY_LENGTH, SrtpEpochs, SrtpKeyPair
from relay.network.topology import load
from relay.options import PathOptions, routes
from scripts.benchmarks.calls import SRTP_TAG, Fates, payload_bytes

TAIL = 0.8
"""Seconds of silence after the speech, for what is still on its way."""
REPORTS = 1.0
"""Seconds between two RTCP reports, as aiortc sends them."""
PULL_PHASE = 0.0037
"""Seconds that the listener's clock ticks after the speaker's; any will do."""


@dataclass(frozen=True)
class Outcome:
    """What was heard, from the moment on in which the first sample was spoken, and what the path did."""

    sound: Samples
    fates: Fates
    stats: Mapping[str, float]
    """The listener's, as in webrtc-stats."""
    sent: float
    """Bytes a second of RTP payload: voice, and copies of it."""


class VirtualCall:
    """A path and the two ends of one direction. ``loss`` and ``burst`` as for ``relay serve``."""

    def __init__(
        self,
        *,
        topology: str,
        loss: float,
        burst: float,
        jitter: float | None,
        seed: int,
        bitrate: int,
        copies: bool,
    ) -> None:
        chosen = load(topology)
        options = PathOptions(topology=chosen, seed=seed, loss=loss, burst=burst, jitter=jitter)
        made = routes(options)
        there = made.between(chosen.sites[0], chosen.sites[-1])
        back = made.between(chosen.sites[-1], chosen.sites[0])
        assert there is not None
        assert back is not None
        self._there, self._back = there, back
        self._encoder = Encoder(bitrate=bitrate)
        self._copies = copies
        self._inbound = Inbound(initial=0.01)
        self._inbound.playing = True
        self._speaker = self._carrier(1, 2)
        self._encoder.expected_loss = self._speaker.model.protection.expected_loss
        self._listener = self._carrier(2, 1)
        self._now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._heard: list[Samples] = []
        self._fates: Fates = []
        self._sent = 0

    def run(self, speech: Samples) -> Outcome:
        """Say ``speech``."""
        frame = self._encoder.frame_samples
        sound = np.pad(speech, (0, round(TAIL * SAMPLE_RATE) + frame - len(speech) % frame))
        seconds = len(sound) / SAMPLE_RATE
        for number in range(len(sound) // frame):
            piece = sound[number * frame : (number + 1) * frame]
            self._at((number + 1) * frame / SAMPLE_RATE, lambda n=number, p=piece: self._say(n, p))
        for tick in range(round(100 * seconds)):
            self._at(tick / 100 + PULL_PHASE, self._pull)
        for number in range(1, int(seconds / REPORTS)):
            self._at(REPORTS * number, self._report)
        while self._due:
            self._now, _, work = heapq.heappop(self._due)
            work()
        heard = np.concatenate(self._heard)
        return Outcome(heard, self._fates, self._inbound.stats(), self._sent / seconds)

    def _carrier(self, send: int, receive: int) -> Carrier:
        keys = (Secret(bytes([number]) * KEY_LENGTH) for number in (send, receive))
        return Carrier(
            SrtpEpochs(SrtpKeyPair(*keys)),
            on_copy=lambda timestamp, payload: self._inbound.copy(timestamp, payload, self._now),
            on_protection=lambda wanted: setattr(self._encoder, "expected_loss", wanted.expected_loss),
            on_digit=lambda digit: None,
            on_fault=lambda error: None,
            copies=self._copies,
        )

    def _at(self, when: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), work))

    def _say(self, number: int, piece: Samples) -> None:
        timestamp = number * len(piece) & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x80, 96, number & 0xFFFF, timestamp, 7)
        packet = self._speaker.protect(header + self._encoder.encode(piece))
        self._sent += payload_bytes(packet) - SRTP_TAG
        released = self._there.release("voice", len(packet), self._now)
        self._fates.append(None if released is None else released - self._now)
        if released is not None:
            self._at(released, lambda: self._hear(packet))

    def _hear(self, packet: bytes) -> None:
        plain = self._listener.unprotect(packet)
        sequence, timestamp = struct.unpack_from("!HI", plain, 2)
        self._inbound.packet(sequence, timestamp, plain[12:], self._now)

    def _pull(self) -> None:
        self._heard.append(self._inbound.pull(self._now))

    def _report(self) -> None:
        report = self._listener.protect_rtcp(bytes(RtcpRrPacket(ssrc=9)))
        released = self._back.release("reports", len(report), self._now)
        if released is not None:
            self._at(released, lambda: self._take(report))

    def _take(self, report: bytes) -> None:
        self._speaker.unprotect_rtcp(report)
