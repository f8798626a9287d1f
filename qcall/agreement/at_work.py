"""A handshake while its KEMs are at work: it goes on when they are done, and nothing is lost meanwhile.

The shell does the work beside its loop, so the relay can deliver more before it is done. Those messages are
taken in their order afterwards, as if the work had taken no time: which messages may follow which is the
table's affair alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qcall.errors import AgreementFailed

from .effects import Effects
from .kem_work import Worked

HELD = 4
"""Messages that may wait. An honest peer that sent M1 or M2 can only have sent a refusal after it."""


@dataclass
class AtWork:
    """How the handshake goes on with what was computed, and what came meanwhile."""

    then: Callable[[Worked, float], Effects] = field(repr=False)
    held: list[bytes] = field(default_factory=list)

    def hold(self, raw: bytes) -> None:
        """Let a message wait. AgreementFailed for one too many."""
        if len(self.held) >= HELD:
            raise AgreementFailed("the other phone went on without waiting for an answer", code="out-of-turn")
        self.held.append(raw)
