"""The last words of a call: both phones sign its receipt.

    A  Hangup{reason, epoch, signature of A}  →  B      B signs the same from its own record
    A  ←  Farewell{signature of B}               B

Whoever hangs up names the epoch up to which the receipt counts; the other phone has that epoch or a later
one in its record, because messages arrive in order. Where both hang up at once, the shorter record counts.
"""

from __future__ import annotations

from qcall.crypto.identity import Identity, PublicIdentity

from .control import Farewell, Hangup, Message
from .receipt import Ledger, Receipt, SignedReceipt, party, record
from .schedule import Direction
from .security import SecurityInfo
from .suites import Suite

Answer = tuple[Farewell, SignedReceipt]


class Closing:
    """Signs what is in the ledger, when the time comes."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def hang_up(self, reason: str) -> Hangup:
        """What this phone says first."""
        return Hangup(reason, self.ledger.epoch, self.ledger.sign(self.ledger.epoch))

    def countersign(self, hangup: Hangup) -> Answer | None:
        """What this phone answers; ``None`` when the peer does not ask, or knows of more than this phone."""
        if hangup.signature is None or hangup.epoch is None or hangup.epoch > self.ledger.epoch:
            return None
        return (
            Farewell(self.ledger.sign(hangup.epoch)),
            self.ledger.signed(hangup.epoch, hangup.signature),
        )

    def last_words(self, message: Message) -> tuple[Farewell | None, SignedReceipt | None]:
        """After ``hang_up``: what to answer, and the receipt as soon as it is there."""
        if isinstance(message, Farewell):
            return None, self.ledger.signed(self.ledger.epoch, message.signature)
        return (self.countersign(message) if isinstance(message, Hangup) else None) or (None, None)

    def alone(self) -> SignedReceipt:
        """The receipt without the peer, which is gone."""
        return self.ledger.signed(self.ledger.epoch, None)


def open_ledger(
    own: Identity,
    name: str,
    peer: PublicIdentity,
    direction: Direction,
    suite: Suite,
    security: SecurityInfo,
) -> Ledger:
    """The ledger of a call that was just confirmed."""
    here = party(name, own.public(suite.scheme))
    there = party(security.peer.name, peer)
    caller, callee = (here, there) if direction is Direction.I else (there, here)
    receipt = Receipt(
        version=1,
        call_id=security.call_id,
        suite=security.suite,
        scheme=suite.scheme,
        policy=security.policy,
        caller=caller,
        callee=callee,
        epochs=(record(security.qkd, security.transcript),),
    )
    return Ledger(own, direction, receipt)
