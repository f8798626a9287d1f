"""Who the other phone is, judged by what this phone remembers.

The relay vouches for routing and for nothing else. A name counts because the peer signs it together with
its identity, because it is the name the relay routed, and because the identity is the one pinned to it.

    new       nobody of this name or identity was met before
    pinned    the identity that was met before
    verified  and both users compared the words
    words-differ  and they were not the same: the call goes on, the warning stays until they are
    changed   another identity than the pinned one: the call is blocked
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qcall.crypto.identity import Fingerprint


class ContactStatus(StrEnum):
    """What is known of a peer."""

    NEW = "new"
    PINNED = "pinned"
    VERIFIED = "verified"
    DOUBTED = "words-differ"
    CHANGED = "changed"


class Pin(Protocol):
    """What is remembered of a contact."""

    @property
    def fingerprint(self) -> bytes: ...
    @property
    def verified(self) -> bool: ...
    @property
    def doubted(self) -> bool:
        """The users compared the words of a call, which differed, and never the same ones since."""

    @property
    def qkd_seen(self) -> bool:
        """A call with quantum keys has succeeded: fewer layers need the user's word."""

    @property
    def suite_seen(self) -> str | None:
        """The strongest suite of any call that succeeded."""


class Memory(Protocol):
    """What outlives a call and a restart; `qcall.records` implements it. Methods may raise StorageError."""

    def contact(self, name: str) -> Pin | None:
        """The contact of that name."""

    def met_call(self, call_id: bytes) -> bool:
        """Whether a call_id was used up before."""

    def consume_call(self, call_id: bytes, key_ids: Sequence[str]) -> bool:
        """Use up a call_id and key_IDs, all or none; false if any was used before."""

    def consume_keys(self, key_ids: Sequence[str]) -> bool:
        """Use up key_IDs, all or none; false if any was used before."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other phone, authenticated."""

    name: str
    fingerprint: Fingerprint
    status: ContactStatus
    kme_id: str | None = None
    pinned: Fingerprint | None = None
    """The identity this contact had before; differs from ``fingerprint`` only when it changed."""


def judge(pin: Pin | None, fingerprint: Fingerprint) -> ContactStatus:
    """How an identity relates to what is remembered of its name."""
    if pin is None:
        return ContactStatus.NEW
    if pin.fingerprint != fingerprint:
        return ContactStatus.CHANGED
    if pin.doubted:
        return ContactStatus.DOUBTED
    return ContactStatus.VERIFIED if pin.verified else ContactStatus.PINNED
