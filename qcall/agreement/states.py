"""Where an agreement is, and how long it may stay there.

caller  idle ─ start, KEM → M2? ─ M2, KEM → preparing ─ offer and keys → M4? ─ M4 → agreed ┐
callee  M1? ─ M1, KEM → M3? ─ M3 → keys? ─ keys → answer? ─ answer → agreed ───────────────┤
                                                                                           │
          agreed ─ exporter → confirming ─ KC → confirmed ─ hang up → closing → ended

          anything wrong, in any state → ended

KEM: what the KEMs cost is paid beside the loop (`qcall.agreement.kem_work`). State and limit stay what they
were until that is done, and the peer's messages wait.
"""

from __future__ import annotations

import enum

HANDSHAKE_LIMIT = 20.0
"""Seconds from the first message to M4, a second attempt included."""
MEDIA_LIMIT = 20.0
"""Seconds from M4 until DTLS is up."""
CONFIRM_LIMIT = 5.0
"""Seconds from DTLS to key confirmation."""
RECEIPT_LIMIT = 2.0
"""Seconds from hanging up until the peer's signature is no longer waited for."""
CLOCK_SKEW = 300
"""Seconds by which the clocks of two phones may differ."""


class State(enum.Enum):
    """Where an agreement is."""

    IDLE = "idle"
    AWAIT_M1 = "M1?"
    AWAIT_M2 = "M2?"
    PREPARING = "preparing"
    AWAIT_M3 = "M3?"
    AWAIT_KEYS = "keys?"
    AWAIT_ANSWER = "answer?"
    AWAIT_M4 = "M4?"
    AGREED = "agreed"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    CLOSING = "closing"
    ENDED = "ended"


class OutOfTurn(Exception):
    """The driver called something that this state does not have: a fault of ours."""
