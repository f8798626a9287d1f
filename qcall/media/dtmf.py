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

from . import redundancy

PAYLOAD_TYPE = 101
EVENTS = "0123456789*#ABCD"
"""Event codes 0 to 15 (RFC 4733, section 3.2)."""
PAYLOAD = struct.Struct("!BBH")
END = 0x80
VOLUME = 10
"""-10 dBm0, what telephones send."""
TONE, PAUSE = 48 * 100, 48 * 60
"""Timestamp units that a digit lasts, and until the next."""
ENDS = 3
"""Packets that tell of a digit's end (RFC 4733, section 2.5.1.4)."""
LONGEST_FRAME = 48 * 20
"""Timestamp units; frames have ten or twenty milliseconds."""
RECENT = 48_000 * 10
"""Timestamp units by which a packet may come behind those that followed it, and still be known for old."""
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
        self._ends = 0
        self._previous: int | None = None

    def press(self, digits: str) -> None:
        """Send ``digits`` one after the other. Raises ``ValueError`` for others, and for too many."""
        if not all(digit in EVENTS for digit in digits.upper()):
            raise ValueError(f"only {EVENTS} can be sent")
        if len(self._waiting) + len(digits) > MOST_WAITING:
            raise ValueError(f"no more than {MOST_WAITING} digits can wait")
        self._waiting.extend(digits.upper())

    def with_frame(self, timestamp: int, size: int) -> Event | None:
        """The event to send with the voice frame of ``size`` bytes at ``timestamp``, if any.

        It must be asked for every frame, and tells what has been of the digit by the end of that frame. A
        digit that a gap in the voice falls into is given up: its beginning is too long ago to be named.
        """
        previous, self._previous = self._previous, timestamp
        frame = LONGEST_FRAME if previous is None else min(LONGEST_FRAME, (timestamp - previous) & 0xFFFFFFFF)
        passed = (timestamp - self._began) & 0xFFFFFFFF
        over = passed >= TONE + PAUSE if self._ends == ENDS else passed > redundancy.LARGEST_OFFSET
        if self._digit is None or over:
            self._digit = self._waiting.popleft() if self._waiting else None
            self._began, self._ends, passed = timestamp, 0, 0
        if self._digit is None or self._ends == ENDS:
            return None
        ended = passed + frame >= TONE
        self._ends += ended
        duration = min(passed + frame, TONE)
        payload = PAYLOAD.pack(EVENTS.index(self._digit), VOLUME | END * ended, duration)
        return Event(self._digit, self._began, payload.ljust(size, b"\0"))


class DigitReceiver:
    """Tells each digit once, however many packets tell of it, and none sooner than it could be pressed."""

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """The digit of an event payload, when it is new; ``None`` for repetitions and for what is none."""
        if len(payload) < PAYLOAD.size:
            return None
        code, _, duration = PAYLOAD.unpack_from(payload)
        if code >= len(EVENTS) or duration == 0:  # a digit is no state (RFC 4733, section 2.3.5)
            return None
        if self._last is not None:
            passed = ((timestamp - self._last + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
            if -RECENT < passed < TONE + PAUSE:
                return None
        self._last = timestamp
        return EVENTS[code]
