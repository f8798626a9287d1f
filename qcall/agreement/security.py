"""What protects a call, for the screen, ``--json``, history and receipts. Names and hashes, never keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .peer import Peer
from .policy import QkdPolicy, QkdState


@dataclass(frozen=True, slots=True)
class QkdInfo:
    """The quantum layer of an epoch. ``reason`` says why it is absent."""

    state: QkdState
    reason: str | None = None
    key_ids: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    """Names of the trusted nodes that the key passed, both ends included."""
    qber: tuple[float, ...] = ()
    """Quantum bit error rate of every hop, as the caller's key node tells it."""
    age: tuple[float, ...] = ()
    """Age in seconds of the link key that carried it over every hop."""

    @property
    def hops(self) -> int:
        return max(len(self.path) - 1, 0)


@dataclass(frozen=True, slots=True)
class SecurityInfo:
    """The outcome of the agreement. ``transcript`` is th4: equal on both phones, on no others."""

    call_id: bytes
    suite: str
    kems: tuple[str, ...]
    scheme: str
    """The ML-DSA that signs beside Ed25519."""
    policy: QkdPolicy
    qkd: QkdInfo
    peer: Peer
    words: tuple[str, ...]
    transcript: bytes
    epoch: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "call_id": self.call_id.hex(),
            "suite": self.suite,
            "classical": "X25519",
            "mlkem": " + ".join(self.kems),
            "signatures": f"Ed25519 + {self.scheme}",
            "qkd": {
                "state": str(self.qkd.state),
                "reason": self.qkd.reason,
                "key_ids": list(self.qkd.key_ids),
                "path": list(self.qkd.path),
                "hops": self.qkd.hops,
                "qber": list(self.qkd.qber),
                "age": list(self.qkd.age),
            },
            "policy": str(self.policy),
            "epoch": self.epoch,
            "peer": self.peer.name,
            "fingerprint": str(self.peer.fingerprint),
            "trust": str(self.peer.status),
            "words": list(self.words),
            "transcript": self.transcript.hex(),
        }
