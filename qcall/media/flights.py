"""Handshake flights of DTLS, sent again long before DTLS itself would (RFC 6347, section 4.2.4).

DTLS waits for 1 s, then 2, then 4. With four flights of one or two datagrams each, every fourth call over a
path that loses 5 % would wait for a second or more, some for longer than key confirmation may take. So the
last flight is repeated, as it is. A receiver drops by its number a record that it has had (section 4.1.2.6):
a repetition changes nothing but the odds. What DTLS itself sends again has new numbers, and is the flight
from then on. Browsers begin with twice the round trip, for the same reason.
"""

from __future__ import annotations

GATHER = 0.05
"""Seconds within which datagrams belong to one flight; DTLS writes a flight at once."""
GAPS = (0.2, 0.4, *(0.8,) * 10)
"""Seconds from a flight to its first repetition, and on to the next."""
HANDSHAKE = (b"\x14", b"\x16")
"""First bytes of datagrams of a handshake: change_cipher_spec, handshake (RFC 6347, section 4.1)."""
END = (b"\x15", b"\x17")
"""First bytes of what follows it: alert, application data."""


class Flights:
    """The last flight of one end; ``deadline`` is when it is due again (seconds on the caller's clock).

    It ends with the handshake, whose sign is application data that comes: the far end has seen everything.
    """

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.over = False
        self._flight: list[bytes] = []
        self._sent_at = 0.0
        self._repeated = 0

    def sent(self, datagram: bytes, now: float) -> None:
        """DTLS sends ``datagram``, or it is something else that shares the path (RFC 7983)."""
        if self.over or datagram[:1] not in HANDSHAKE:
            return
        if now - self._sent_at > GATHER:
            self._flight.clear()
        self._flight.append(datagram)
        self._sent_at, self._repeated = now, 0
        self.deadline = now + GAPS[0]

    def received(self, datagram: bytes) -> None:
        """``datagram`` has come."""
        if datagram[:1] in END:
            self.stop()

    def again(self, now: float) -> list[bytes]:
        """The datagrams to repeat now."""
        if self.deadline is None or now < self.deadline:
            return []
        self._repeated += 1
        self.deadline = now + GAPS[self._repeated] if self._repeated < len(GAPS) else None
        return list(self._flight)

    def stop(self) -> None:
        """Repeat nothing any more."""
        self.over, self.deadline = True, None
        self._flight.clear()
