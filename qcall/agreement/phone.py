"""This phone, as far as an agreement needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qcall.crypto.identity import Identity
from qcall.crypto.kem import CRYPTOGRAPHY, Kem

from .peer import Memory
from .policy import QkdPolicy
from .rekey import INTERVAL
from .suites import STANDARD, Suite


@dataclass(frozen=True)
class Phone:
    """This phone, as far as an agreement needs it. ``entropy(n)`` gives n bytes that nobody can guess.

    ``allow_less`` is the user's word, given before dialling, that this call may have fewer layers or a
    weaker suite than earlier calls with the same contact.
    """

    name: str
    identity: Identity
    memory: Memory
    entropy: Callable[[int], bytes] = field(repr=False)
    policy: QkdPolicy = QkdPolicy.PREFER
    sae_id: str | None = None
    kme_id: str | None = None
    suites: Sequence[Suite] = STANDARD
    kems: Mapping[str, Kem] = field(default_factory=lambda: CRYPTOGRAPHY, repr=False)
    allow_less: bool = False
    rekey_interval: float = INTERVAL
