"""A handshake while its KEMs are at work: it goes on when they are done, and nothing is lost meanwhile.

The shell does the work beside its loop, so the relay can deliver more before it is done. Those messages are
taken in their order afterwards, as if the work had taken no time: which messages may follow which is the
table's affair alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qcall.errors import AgreementFailed, LocalFault, QcallError

from .effects import Effects
from .kem_work import Worked
from .states import State

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


def overdue(state: State, at_work: AtWork | None) -> QcallError:
    """The time for ``state`` is up. While KEMs are at work it is this phone that the other one waits for."""
    if at_work is not None:
        return LocalFault(
            "this phone did not compute its keys in time; end what else keeps it busy, and try again",
            code="timeout",
        )
    if state is State.CONFIRMING:
        text = "the other phone did not confirm the keys; hung up"
        return AgreementFailed(text, code="no-confirmation")
    return AgreementFailed(
        f"the other phone did not go on (waiting: {state.value}); try again", code="timeout"
    )
