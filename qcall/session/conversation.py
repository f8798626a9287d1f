"""One call, from its first message to the release of its last device.

Three parts do the work: ``Keying`` drives the agreement, ``Voice`` the media connection, and this file the
call itself: who rings, who answers, how it ends. Everything that a call opens is given back in ``_release``,
which runs exactly once, however the call ends and whatever fails on the way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from qcall.agreement.caller import Caller
from qcall.agreement.control import Answered, Hangup, Message
from qcall.agreement.machine import Agreement
from qcall.call import events as call
from qcall.call.events import Input, Reason
from qcall.call.liveness import Change, Liveness
from qcall.call.machine import CallMachine, State
from qcall.errors import CallRefused, LocalFault, QcallError, Unavailable
from qcall.media.tones import BUSY, CONGESTION, RING_BACK, RINGING, Tone
from qcall.records.store import CallRecord

from .event import Event
from .in_call import InCall
from .keying import Keying
from .line import Line
from .report import Timing
from .voice import Voice
from .work import Alarm, Work

FLUSH_LIMIT = 1.0
"""Seconds that a goodbye may take to reach the far phone before the connection is closed under it."""
LIVENESS_INTERVAL = 0.5
"""Seconds between two looks at whether the far phone is still heard."""

log = logging.getLogger(__name__)


class Conversation(InCall):
    """A call in progress. ``ended`` is done when everything has been given back.

    ``failure`` is the error to show when the call did not end normally.
    """

    def __init__(self, line: Line, agreement: Agreement, dialogue: bytes) -> None:
        self.dialogue = dialogue
        """What signalling routes the call's messages by; both phones' agreement names the call itself."""
        self.outgoing = isinstance(agreement, Caller)
        self.failure: QcallError | None = None
        self.on_ring: Callable[[], None] = lambda: None
        self.on_talking: Callable[[], None] = lambda: None
        self.machine = CallMachine()
        self.timing = Timing(time.monotonic())
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._line = line
        self._began_at = time.time()
        self._statistics: dict[str, Any] = {}
        self._releasing: asyncio.Task[None] | None = None
        self._liveness: Liveness | None = None
        self._work = Work(self._on_fault)
        self._alarm = Alarm(self._work.guarded(self._on_timer))
        self._voice = Voice(line, self.timing, self._work)
        super().__init__(
            line.name,
            agreement.peer_name,
            self._voice,
            self._work,
            say=lambda message: self._keying.send(message),
            tell=self._tell,
        )
        self._voice.on_first_audio = lambda: self._tell("media")
        self._voice.on_failed = self._on_media_failed
        self._keying = Keying(agreement, line, self._voice, self._work, self.timing, self._tell)
        self._keying.on_agreed = lambda: self._told(Input.AGREED)
        self._keying.on_confirmed = self._on_confirmed
        self._keying.on_message = self._on_control
        self._keying.on_failed = self._fail

    @property
    def state(self) -> State:
        """Where the call is."""
        return self.machine.state

    def dial(self) -> None:
        """Begin an outgoing call."""
        self._told(Input.DIALLED)
        self._tell("dialling")
        self._warn()
        self._keying.dial()

    def invited(self) -> None:
        """Begin an incoming call; its first message follows by ``receive``."""
        self._told(Input.INVITED)

    def receive(self, payload: bytes) -> None:
        """A message of the far phone came through signalling."""
        self._work.guarded(self._keying.receive)(payload)

    def undeliverable(self, failure: QcallError) -> None:
        """The relay could not deliver what was sent; once the keys are confirmed it does not matter."""
        if not self._keying.confirmed:
            self._work.guarded(self._fail)(failure)

    def answer(self) -> None:
        """The user answers."""
        if self.state in (State.ALERTING, State.ALERTING_SECURED):
            self.timing.answered_at = time.monotonic()
            self._tell("answered")
            self._work.guarded(self._told)(Input.ANSWERED)

    def hang_up(self) -> None:
        """The user hangs up, cancels or declines."""
        self._work.guarded(self._told)(Input.HUNG_UP)

    @property
    def talked(self) -> bool:
        """Whether the call was set up: answered, over confirmed keys."""
        return self.machine.answered_at is not None

    @property
    def doubted(self) -> bool:
        """Whether the words of this or an earlier call differed, and were not the same since."""
        contact = self._line.records.contact(self.contact)
        return contact is not None and contact.doubted

    @property
    def talking(self) -> bool:
        """Whether both users are on the line."""
        return self.state is State.TALKING

    @property
    def secured(self) -> bool:
        """Whether both phones have proved that they hold the same keys, and neither has hung up."""
        return self._keying.confirmed

    @property
    def peer_sae(self) -> str | None:
        """The far phone's name at the key nodes; ``None`` before a key node was asked."""
        return self._keying.peer_sae

    # What comes from the parts

    def _on_control(self, message: Message) -> None:
        match message:
            case Answered() if self.state is State.RINGING_SECURED:
                self.timing.answered_at = time.monotonic()
                self._tell("answered")
                self._told(Input.PEER_ANSWERED)
            case Hangup(reason):
                self._goodbye(reason)
            case _:
                self._on_in_call(message)

    def _goodbye(self, word: str) -> None:
        """The far phone ended the call, authenticated; ``word`` is its reason."""
        if word == Reason.HANGUP and self.state is State.TALKING:
            self._told(Input.PEER_ENDED, reason=Reason.REMOTE_HANGUP)
        elif word == Reason.DECLINED:
            self._fail(CallRefused(f"{self.contact} declined the call", code=word))
        elif word in (Reason.HANGUP, Reason.CANCELLED, Reason.NO_ANSWER):
            self._not_answered(word)
        else:
            self._fail(self._keying.agreement.broken_off(word))

    def _not_answered(self, word: str) -> None:
        if self.outgoing:
            self._fail(CallRefused(f"{self.contact} did not answer; try again later", code=Reason.NO_ANSWER))
        else:
            # A missed call: nobody's failure, and no call that succeeded.
            self._told(Input.PEER_ENDED, reason=Reason.CANCELLED if word == Reason.HANGUP else word)

    def _on_confirmed(self) -> None:
        self._liveness = Liveness(time.monotonic())
        self._work.start(self._watch_liveness(self._liveness))
        self._told(Input.CONFIRMED)

    def _on_media_failed(self, error: QcallError) -> None:
        if error.code == "media-closed" and self.state is State.TALKING:
            # The far phone's goodbye was lost; its DTLS close_notify came through.
            self._told(Input.PEER_ENDED, reason=Reason.REMOTE_HANGUP)
        else:
            self._keying.abort(error)

    async def _watch_liveness(self, liveness: Liveness) -> None:
        """Say when nothing is heard of the far phone, and give the call up when that lasts."""
        while True:
            await asyncio.sleep(LIVENESS_INTERVAL)
            match liveness.look(self._voice.checked_at, self._voice.heard_at, time.monotonic()):
                case Change.LOST:
                    self._tell("silent", connected=False)
                case Change.BACK:
                    self._tell("silent", connected=True)
                case Change.DEAD:
                    text = f"nothing comes from {self.contact} any more: relay or path are gone; dial again"
                    raise Unavailable(text, code="media-lost")

    def _on_fault(self, error: Exception) -> None:
        """Something of this call failed: end it, and say why."""
        if not isinstance(error, QcallError):
            log.error("a fault of qcall itself ended the call", exc_info=error)
            error = LocalFault("a fault of qcall itself ended the call; please report it", code="fault")
        try:
            self._keying.abort(error)
        except Exception as another:
            log.error("a fault of qcall itself while a call was aborted", exc_info=another)
        self._fail(error)

    # The call

    def _told(self, fact: Input, *, reason: str | None = None) -> None:
        self._run(self.machine.receive(fact, time.monotonic(), reason=reason))

    def _run(self, effects: tuple[call.Effect, ...]) -> None:
        for effect in effects:
            if self._releasing is not None:
                break  # The effect before this one failed, and so the call has ended.
            try:
                self._do(effect)
            except Exception as error:
                self._on_fault(error)
        self._alarm.set(self.machine.deadline)

    def _do(self, effect: call.Effect) -> None:
        match effect:
            case call.Ring():
                self.timing.ringing_at = time.monotonic()
                self._voice.play(RINGING)
                self._tell("incoming", **self._keying.security())
                self._warn()
                self.on_ring()
            case call.RingBack():
                self.timing.ringing_at = time.monotonic()
                self._voice.play(RING_BACK)
                self._tell("ringing", **self._keying.security())
            case call.TellAnswered():
                self._keying.send(Answered())
            case call.StartMedia():
                self._voice.start()
                self._talk_begins()
                self._work.start(self._keying.watch_epochs())
                assert self._liveness is not None
                self._liveness.talk(time.monotonic())
                self.on_talking()
            case call.TellEnded(reason):
                self._keying.tell_ended(reason)
            case call.Release(reason):
                self._releasing = asyncio.get_running_loop().create_task(self._release(reason))
                self._releasing.add_done_callback(self._released)

    def _on_timer(self) -> None:
        self._run(self.machine.timer(time.monotonic()))
        if self.machine.reason == Reason.NO_ANSWER and self.outgoing:
            self.failure = CallRefused(f"{self.contact} does not answer; try again later", code="no-answer")

    def _fail(self, failure: QcallError) -> None:
        if self.state is State.ENDED:
            return
        self.failure = failure
        refusal = isinstance(failure, CallRefused)
        self._told(Input.PEER_ENDED if refusal else Input.FAILED, reason=failure.code)

    def _warn(self) -> None:
        if self.doubted:
            self._tell("doubted")

    # The end

    async def _release(self, reason: str) -> None:
        try:
            deadline = time.monotonic() + FLUSH_LIMIT
            await self._attempt(self._keying.settle)
            await self._attempt(lambda: self._voice.flush(deadline - time.monotonic()))
            await self._attempt(lambda: self._keying.flush(deadline - time.monotonic()))
            await self._attempt(self._count)
            await self._attempt(self._work.stop)
            await self._attempt(self._keep_recording)
            await self._attempt(lambda: self._voice.close(self._last_tone(reason)))
        finally:
            self._keying.close()
        await self._attempt(lambda: self._keep(reason))
        await self._attempt(lambda: self._account(reason))

    async def _count(self) -> None:
        """The last look at the numbers of the call, while there is a connection."""
        self._statistics = self.stats()

    async def _keep_recording(self) -> None:
        """The recording is whole, if there is one."""
        self._end_recording()

    async def _account(self, reason: str) -> None:
        """Tell how it was."""
        fields: dict[str, Any] = {"quality": self._statistics, "timing": self.timing.as_json()}
        if self.failure is not None:
            fields["failure"] = str(self.failure)
        self._tell("ended", reason=reason, security=self._keying.security(), **fields)

    def _last_tone(self, reason: str) -> Tone | None:
        """What tells this user's ear that it is over; nothing when the user has ended it."""
        if reason in (Reason.HANGUP, Reason.CANCELLED) or (reason == Reason.DECLINED and not self.outgoing):
            return None
        ended_by_peer = reason == Reason.REMOTE_HANGUP or isinstance(self.failure, CallRefused)
        return BUSY if ended_by_peer else CONGESTION

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """One step of the release: what it raises is shown and stops no other step."""
        try:
            await step()
        except QcallError as error:
            self.failure = self.failure or error
        except Exception as error:
            log.error("a fault of qcall itself at the end of a call", exc_info=error)

    def _released(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.ended.cancel()
        else:
            self.ended.set_result(self.machine.reason or Reason.FAILED)

    async def _keep(self, reason: str) -> None:
        """Write the call into the history."""
        record = CallRecord(
            call_id=self._keying.agreement.call_id,
            contact=self.contact,
            outgoing=self.outgoing,
            began_at=self._began_at,
            ended_at=time.time(),
            reason=reason,
            security={**self._keying.security(), "receipt": self._keying.receipt, **self._outcome()},
        )
        self._line.records.add_call(record)

    def _outcome(self) -> dict[str, Any]:
        """How long the talk was, in seconds, and how it sounded."""
        answered = self.machine.answered_at
        talked = 0.0 if answered is None else time.monotonic() - answered
        return {"talked": round(talked, 1), "quality": self._statistics}

    def _tell(self, kind: str, **fields: Any) -> None:
        which = {"call": self.dialogue.hex(), "outgoing": self.outgoing, "contact": self.contact}
        self._line.tell(Event(kind, time.monotonic(), {**which, **fields}))
