"""What our phones add to RTP, between aiortc and SRTP: copies against loss, reports of losses, digits.

``Carrier`` stands where aiortc has its SRTP sessions and hands on to ``SrtpEpochs``. All additions are
standard (RFC 2198, RFC 3611, RFC 4733) and all are encrypted; aiortc sees none of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pylibsrtp import Error

from . import dtmf, redundancy, xr
from .dtmf import DigitReceiver, DigitSender
from .playout import Unwrapper
from .protection import LossModel, Protection
from .redundancy import Block
from .srtp import SrtpEpochs
from .xr import LossReport

HEADER = 12
"""Bytes of an RTP header without contributors and extensions, the only kind that our phones send."""
PLAIN = 0x80
"""First byte of such a header: version 2 and nothing else."""
REDUNDANT = 63
"""Payload type of RFC 2198 payloads; never seen in SDP, because it is added below it."""
BYE = 203
"""RTCP packet type after which nothing may follow (RFC 3550, section 6.1)."""
KEPT = 6
"""Frames of which a copy can still be sent."""
UNSETTLED = 3
"""Latest packets that a loss report leaves out: they may be late."""


class Losses:
    """Which packets of the incoming stream came, until it is reported."""

    def __init__(self) -> None:
        self.source = 0
        self._sequence = Unwrapper(16)
        self._received: set[int] = set()
        self._reported: int | None = None
        self._highest = -1

    def add(self, sequence: int, source: int) -> None:
        """A packet with this sequence number (16 bits) came."""
        extended = self._sequence.unwrap(sequence)
        self.source = source
        if self._reported is None:
            self._reported = extended
        self._highest = max(self._highest, extended)
        if extended >= self._reported:
            self._received.add(extended)
        if len(self._received) > 2 * xr.LONGEST:
            self._forget(self._highest - xr.LONGEST)

    def report(self) -> LossReport | None:
        """What was not reported before and is settled now."""
        if self._reported is None:
            return None
        begin = max(self._reported, self._highest - xr.LONGEST)
        end = self._highest - UNSETTLED
        if end <= begin:
            return None
        received = tuple(sequence in self._received for sequence in range(begin, end))
        self._forget(end)
        return LossReport(self.source, begin & 0xFFFF, received)

    def _forget(self, before: int) -> None:
        self._reported = before
        self._received = {sequence for sequence in self._received if sequence >= before}


class Carrier:
    """Has the methods that aiortc calls on an SRTP session.

    ``on_copy(timestamp, payload)`` is called with every older frame that came once more, before the packet
    that carried it goes on; ``on_protection`` when the far phone's reports ask for another protection;
    ``on_digit`` with each digit that the far user presses. Ours are given to ``digits``. ``copies``: whether
    frames may travel twice. ``on_fault`` is told of what nobody foresaw in sending: aiortc would only stop.
    """

    def __init__(
        self,
        srtp: SrtpEpochs,
        *,
        on_copy: Callable[[int, bytes], None],
        on_protection: Callable[[Protection], None],
        on_digit: Callable[[str], None],
        on_fault: Callable[[Exception], None],
        copies: bool = True,
    ) -> None:
        self.model = LossModel(copies=copies)
        self.bytes_sent = 0
        """RTP payload, copies and digits included: what webrtc-stats calls ``bytesSent``."""
        self.copies_sent = 0
        self.copies_received = 0
        self._srtp = srtp
        self._on_copy = on_copy
        self._on_protection = on_protection
        self._on_digit = on_digit
        self._on_fault = on_fault
        self.digits = DigitSender()
        self._digits_heard = DigitReceiver()
        self._sent: deque[Block] = deque(maxlen=KEPT)
        self._losses = Losses()

    def protect(self, packet: bytes) -> bytes:
        """An outgoing RTP packet as SRTP, with a digit, or with an older frame where that helps."""
        try:
            return self._srtp.protect(self._packed(packet))
        except Exception as error:
            self._on_fault(error)
            raise

    def _packed(self, packet: bytes) -> bytes:
        header, payload = packet[:HEADER], packet[HEADER:]
        payload_type, timestamp = header[1] & 0x7F, int.from_bytes(header[4:8], "big")
        beside = self._beside(timestamp, len(payload))
        self._sent.append(Block(payload_type, timestamp, payload))
        if beside is not None:
            payload = redundancy.pack(payload_type, timestamp, payload, beside)
            header = header[:1] + bytes([header[1] & 0x80 | REDUNDANT]) + header[2:]
        self.bytes_sent += len(payload)
        return header + payload

    def _beside(self, timestamp: int, size: int) -> Block | None:
        """What travels with the voice frame of ``size`` bytes at ``timestamp``."""
        if (event := self.digits.with_frame(timestamp, size)) is not None:
            return Block(dtmf.PAYLOAD_TYPE, event.timestamp, event.payload)
        lag = self.model.protection.lag
        if not 0 < lag <= len(self._sent) or not redundancy.is_young(timestamp, self._sent[-lag]):
            return None
        self.copies_sent += 1
        return self._sent[-lag]

    def protect_rtcp(self, packet: bytes) -> bytes:
        """An outgoing RTCP packet as SRTCP, with our loss report behind it."""
        report = None if packet[1] == BYE else self._losses.report()
        if report is not None:
            packet += xr.pack(int.from_bytes(packet[4:8], "big"), report)
        return self._srtp.protect_rtcp(packet)

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in an SRTP packet, without the copy in it. Raises ``pylibsrtp.Error``."""
        plain = self._srtp.unprotect(packet)
        if plain[0] != PLAIN:
            return plain
        header, payload = plain[:HEADER], plain[HEADER:]
        self._losses.add(int.from_bytes(header[2:4], "big"), int.from_bytes(header[8:12], "big"))
        if header[1] & 0x7F != REDUNDANT:
            return plain
        try:
            payload_type, payload, blocks = redundancy.unpack(int.from_bytes(header[4:8], "big"), payload)
        except ValueError as error:
            raise Error(str(error)) from None
        for block in blocks:
            if block.payload_type == payload_type:
                self.copies_received += 1
                self._on_copy(block.timestamp, block.payload)
            elif block.payload_type == dtmf.PAYLOAD_TYPE and block is blocks[-1]:
                digit = self._digits_heard.receive(block.timestamp, block.payload)
                if digit is not None:
                    self._on_digit(digit)
        return header[:1] + bytes([header[1] & 0x80 | payload_type]) + header[2:] + payload

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The RTCP packet in an SRTCP packet, without loss reports. Raises ``pylibsrtp.Error``."""
        plain, reports = xr.split(self._srtp.unprotect_rtcp(packet))
        for report in reports:
            before = self.model.protection
            if self.model.report(report) != before:
                self._on_protection(self.model.protection)
        return plain
