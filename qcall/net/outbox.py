"""What a phone has sent and the relay has not accepted yet, and what has already come. Pure.

Together with the relay's own memory this makes an envelope arrive once, although connections break: the phone
sends what was not accepted again after every login, and passes over what it has seen.
"""

from __future__ import annotations

from collections import OrderedDict

from qcall.wire.signalling import Delivery, Envelope, Failed, Reason

PATIENCE = 10.0
"""Seconds for the relay to accept an envelope, reconnecting included; a call being set up waits no longer."""
REMEMBERED = 4096

Key = tuple[bytes, int]


class Outbox:
    """Envelopes by (call_id, seq), in the order in which they were sent."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, tuple[float, Envelope]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When the oldest envelope is given up, in seconds on the caller's clock."""
        return next(iter(self._waiting.values()))[0] if self._waiting else None

    @property
    def waiting(self) -> tuple[Envelope, ...]:
        """What to send again after a login."""
        return tuple(envelope for _, envelope in self._waiting.values())

    def put(self, envelope: Envelope, now: float) -> None:
        """Keep ``envelope`` until it is accepted. A (call_id, seq) that waits may only be put as it was."""
        key = (envelope.call_id, envelope.seq)
        _, waiting = self._waiting.setdefault(key, (now + PATIENCE, envelope))
        if waiting != envelope:
            raise ValueError(f"seq {envelope.seq} of this call is in use")

    def settle(self, call_id: bytes, seq: int) -> None:
        """The relay has accepted or failed that envelope."""
        self._waiting.pop((call_id, seq), None)

    def give_up(self, now: float) -> tuple[Failed, ...]:
        """Drop what has waited too long."""
        late = [key for key, (deadline, _) in self._waiting.items() if deadline <= now]
        for key in late:
            del self._waiting[key]
        return tuple(Failed(*key, Reason.RELAY_LOST) for key in late)


class Seen:
    """Deliveries that have come before; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._keys: OrderedDict[tuple[str, bytes, int], None] = OrderedDict()

    def first(self, delivery: Delivery) -> bool:
        """Whether this delivery is new; from now on it is not."""
        key = (delivery.sender, delivery.call_id, delivery.seq)
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > REMEMBERED:
            self._keys.popitem(last=False)
        return True
