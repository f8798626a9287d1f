"""Digits pressed during a call (RFC 4733): named events beside the voice, never tones within it.

    event (8 bits)   end (1)  reserved (1)  volume (6)   duration (16 bits, timestamp units)

The payload is filled with zeros to the size of a voice frame and travels where a copy of an older frame
would: on the wire a packet with a digit looks like one with a copy. Which digit it is nobody sees; that keys
are pressed is seen on a path so clean that no copies travel.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

PAYLOAD_TYPE = 101
EVENTS = "0123456789*#ABCD"
"""Event codes 0 to 15 (RFC 4733, section 3.2)."""
PAYLOAD = struct.Struct("!BBH")
END = 0x80
VOLUME = 10
"""-10 dBm0, what telephones send."""
TONE, PAUSE = 100, 60
"""Milliseconds that a digit lasts, and until the next; RFC 4733 (2.5.1.3) wants its end sent three times."""
MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class Event:
    """A digit that began at ``timestamp`` (32 bits, 48 kHz)."""

    digit: str
    timestamp: int
    payload: bytes


class DigitSender:
    """Which event goes with which voice frame."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._digit: str | None = None
        self._began = 0

    def press(self, digits: str) -> None:
        """Send ``digits`` one after the other. Raises ``ValueError`` for others, and for too many."""
        if not all(digit in EVENTS for digit in digits.upper()):
            raise ValueError(f"only {EVENTS} can be sent")
        if len(self._waiting) + len(digits) > MOST_WAITING:
            raise ValueError(f"no more than {MOST_WAITING} digits can wait")
        self._waiting.extend(digits.upper())

    def with_frame(self, timestamp: int, size: int) -> Event | None:
        """The event to send with the voice frame of ``size`` bytes at ``timestamp``, if any."""
        if self._digit is None:
            if not self._waiting:
                return None
            self._digit, self._began = self._waiting.popleft(), timestamp
        passed = (timestamp - self._began) & 0xFFFFFFFF
        tone, whole = 48 * TONE, 48 * (TONE + PAUSE)
        if passed >= whole:
            self._digit = None
            return None if not self._waiting else self.with_frame(timestamp, size)
        ended = passed >= tone
        duration = min(passed, tone)
        payload = PAYLOAD.pack(EVENTS.index(self._digit), VOLUME | END * ended, duration)
        return Event(self._digit, self._began, payload.ljust(size, b"\0"))


class DigitReceiver:
    """Tells each digit once, however many packets tell of it, and none sooner than it could be pressed."""

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """The digit of an event payload, when it is new; ``None`` for repetitions and for what is none."""
        if len(payload) < PAYLOAD.size or (code := payload[0]) >= len(EVENTS):
            return None
        if self._last is not None:
            passed = (timestamp - self._last) & 0xFFFFFFFF
            if not 48 * (TONE + PAUSE) <= passed < 1 << 31:
                return None
        self._last = timestamp
        return EVENTS[code]
