"""One call from idle to ended, as a table.

    caller  idle ─ dialled → dialling ─ agreed → ringing ─ confirmed → ringing (secured) ─ answered → talking
    callee  idle ─ invited → invited ─ agreed → alerting ─ confirmed → alerting (secured) ─ answered → talking
                                                   └─ answered → answering ─ confirmed → talking

Media starts in exactly two places, both of them behind ``confirmed``: no row of the table reaches
``talking`` without it. Whatever fails, from whatever state, ends in ``ended`` with one ``Release``.
"""

from __future__ import annotations

import enum

from .events import (
    Effect,
    Input,
    Reason,
    Release,
    Ring,
    RingBack,
    StartMedia,
    TellAnswered,
    TellEnded,
)

RING_LIMIT = 60.0
"""Seconds that a phone rings before the caller gives up (ours; telephone networks use 60 to 180)."""


class State(enum.Enum):
    """Where a call is."""

    IDLE = "idle"
    DIALLING = "dialling"
    RINGING = "ringing"
    RINGING_SECURED = "ringing-secured"
    INVITED = "invited"
    ALERTING = "alerting"
    ALERTING_SECURED = "alerting-secured"
    ANSWERING = "answering"
    TALKING = "talking"
    ENDED = "ended"


RING = (Ring(),)
RING_BACK = (RingBack(),)
ANSWER = (TellAnswered(), StartMedia())
TALK = (StartMedia(),)
NOTHING: tuple[Effect, ...] = ()

TABLE: dict[tuple[State, Input], tuple[State, tuple[Effect, ...]]] = {
    (State.IDLE, Input.DIALLED): (State.DIALLING, NOTHING),
    (State.DIALLING, Input.AGREED): (State.RINGING, RING_BACK),
    (State.RINGING, Input.CONFIRMED): (State.RINGING_SECURED, NOTHING),
    (State.RINGING_SECURED, Input.PEER_ANSWERED): (State.TALKING, TALK),
    (State.IDLE, Input.INVITED): (State.INVITED, NOTHING),
    (State.INVITED, Input.AGREED): (State.ALERTING, RING),
    (State.ALERTING, Input.CONFIRMED): (State.ALERTING_SECURED, NOTHING),
    (State.ALERTING, Input.ANSWERED): (State.ANSWERING, NOTHING),
    (State.ANSWERING, Input.CONFIRMED): (State.TALKING, ANSWER),
    (State.ALERTING_SECURED, Input.ANSWERED): (State.TALKING, ANSWER),
}

# How a hang-up by the user is called, by the state it happens in.
HANG_UP: dict[State, Reason] = {
    State.DIALLING: Reason.CANCELLED,
    State.RINGING: Reason.CANCELLED,
    State.RINGING_SECURED: Reason.CANCELLED,
    State.INVITED: Reason.DECLINED,
    State.ALERTING: Reason.DECLINED,
    State.ALERTING_SECURED: Reason.DECLINED,
    State.ANSWERING: Reason.DECLINED,
    State.TALKING: Reason.HANGUP,
}
RINGING_STATES = frozenset(
    {State.RINGING, State.RINGING_SECURED, State.ALERTING, State.ALERTING_SECURED, State.INVITED}
)


class ImpossibleInput(Exception):
    """The driver told the machine something that cannot be true in this state: a fault of ours."""


class CallMachine:
    """The state of one call.

    ``receive`` takes a fact and returns what to do about it; ``timer`` does the same for the passing of
    time; ``deadline`` says when the machine next wants to be woken (seconds on the caller's clock).
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.reason: str | None = None
        self.answered_at: float | None = None
        self.deadline: float | None = None

    def receive(self, fact: Input, now: float, *, reason: str | None = None) -> tuple[Effect, ...]:
        """Take ``fact`` at ``now``; ``reason`` says why, for ``PEER_ENDED`` and ``FAILED``."""
        if self.state is State.ENDED:
            return NOTHING
        match fact:
            case Input.HUNG_UP if self.state in HANG_UP:
                named = HANG_UP[self.state]
                return (TellEnded(named), *self._end(reason or named))
            case Input.PEER_ENDED:
                return self._end(reason or Reason.REMOTE_HANGUP)
            case Input.FAILED:
                return (TellEnded(Reason.FAILED), *self._end(reason or Reason.FAILED))
        try:
            self.state, effects = TABLE[self.state, fact]
        except KeyError:
            raise ImpossibleInput(f"{fact.name} in state {self.state.value}") from None
        if self.state is State.TALKING:
            self.answered_at = now
        if self.state not in RINGING_STATES:
            self.deadline = None
        elif self.deadline is None:
            self.deadline = now + RING_LIMIT
        return effects

    def timer(self, now: float) -> tuple[Effect, ...]:
        """End a call that rang for too long."""
        if self.deadline is None or now < self.deadline:
            return NOTHING
        return (TellEnded(Reason.NO_ANSWER), *self._end(Reason.NO_ANSWER))

    def _end(self, reason: str) -> tuple[Effect, ...]:
        self.state = State.ENDED
        self.reason = str(reason)
        self.deadline = None
        return (Release(self.reason),)
