"""One call: feeds the agreement and the call table, runs what they ask for, keeps their timers.

Decisions live in the two machines; this file only carries. Everything that a call opens (connection, devices,
tasks, keys) is given back in ``_release``, which runs exactly once, however the call ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from qcall.agreement import effects as agree
from qcall.agreement.caller import Caller
from qcall.agreement.control import Answered, Hangup
from qcall.agreement.machine import Agreement
from qcall.agreement.machine import State as Stage
from qcall.agreement.messages import RefuseCode
from qcall.call import events as call
from qcall.call.events import Input, Reason
from qcall.call.machine import CallMachine, State
from qcall.crypto.secret import Secret
from qcall.errors import CallRefused, QcallError, Unavailable
from qcall.media.devices import Sink, Source
from qcall.media.peer import Peer, Relay
from qcall.media.srtp import SrtpKeyPair
from qcall.net.kme import QkdSource
from qcall.records.store import CallRecord, Records

from .report import Event, Timing, quality, security

EPOCH_INTERVAL = 0.5
"""Seconds between two looks at the epochs that media uses."""
FLUSH_LIMIT = 0.5
"""Seconds that a goodbye may take to reach the far phone before the connection is closed under it."""


@dataclass(frozen=True)
class Line:
    """What a call needs of its phone. ``sound`` opens the devices; it raises ``DeviceError``."""

    send: Callable[[bytes], Awaitable[None]]
    relay: Callable[[], Relay]
    qkd: QkdSource
    records: Records
    sound: Callable[[], tuple[Source, Sink]]
    tell: Callable[[Event], None]
    frame_ms: int
    bitrate: int
    kme_id: str | None


class Conversation:
    """A call in progress. ``ended`` is done when everything has been given back.

    ``failure`` is the error to show when the call did not end normally.
    """

    def __init__(self, line: Line, agreement: Agreement, dialogue: bytes) -> None:
        self.dialogue = dialogue
        """What signalling routes the call's messages by; both phones' agreement names the call itself."""
        self.contact = agreement.peer_name
        self.outgoing = isinstance(agreement, Caller)
        self.failure: QcallError | None = None
        self.on_ring: Callable[[], None] = lambda: None
        self.on_talking: Callable[[], None] = lambda: None
        self.machine = CallMachine()
        self.timing = Timing(time.monotonic())
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._line = line
        self._agreement = agreement
        self._peer: Peer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = time.time()
        self._closed = asyncio.Event()
        self._receipt: str | None = None
        self._start(self._post())

    @property
    def state(self) -> State:
        """Where the call is."""
        return self.machine.state

    def dial(self) -> None:
        """Begin an outgoing call."""
        assert isinstance(self._agreement, Caller)
        self._told(Input.DIALLED)
        self._tell("dialling")
        self._agreed(self._agreement.start(time.monotonic()))

    def invited(self) -> None:
        """Begin an incoming call; its first message follows by ``receive``."""
        self._told(Input.INVITED)

    def receive(self, payload: bytes) -> None:
        """A message of the far phone came through signalling."""
        self._agreed(self._agreement.receive(payload, time.monotonic()))

    def undeliverable(self, failure: QcallError) -> None:
        """The relay could not deliver what was sent; once the keys are confirmed it does not matter."""
        if self._agreement.state is not Stage.CONFIRMED:
            self._fail(failure)

    def answer(self) -> None:
        """The user answers."""
        if self.state in (State.ALERTING, State.ALERTING_SECURED):
            self.timing.answered_at = time.monotonic()
            self._tell("answered")
            self._told(Input.ANSWERED)

    def hang_up(self) -> None:
        """The user hangs up, cancels or declines."""
        self._told(Input.HUNG_UP)

    def stats(self) -> dict[str, Any]:
        """The numbers of the call, as in webrtc-stats; empty before there is a connection."""
        return quality(self._peer.stats(), self._line.frame_ms) if self._peer is not None else {}

    # The agreement

    def _agreed(self, effects: agree.Effects) -> None:
        for effect in effects:
            self._run_agreement(effect)
        self._arm()

    def _run_agreement(self, effect: agree.Effect) -> None:
        match effect:
            case agree.Send(frame):
                self._outbox.put_nowait(frame)
            case agree.NeedOffer():
                self._start(self._offer())
            case agree.FetchEncKeys() | agree.FetchDecKeys():
                self._start(self._fetch(effect))
            case agree.NeedAnswer(offer):
                self._start(self._give_answer(offer))
            case agree.RemoteAnswer(answer):
                self._start(self._accept(answer))
            case agree.SendControl(data):
                self._send_control(data)
            case agree.Agreed():
                self._told(Input.AGREED)
            case agree.Confirmed():
                self._confirmed()
            case agree.Received(message):
                self._on_control(message)
            case agree.StageEpoch() | agree.SwitchEpoch() | agree.RetireEpoch():
                self._change_epoch(effect)
            case agree.Rekeyed():
                self._tell("rekeyed", **self._security())
            case agree.RekeyFailing(reason, ends_at):
                self._tell("rekey-failing", reason=reason, seconds=round(ends_at - time.monotonic()))
            case agree.ReceiptReady(receipt):
                self._receipt = receipt.as_json().decode()
            case agree.Closed():
                self._closed.set()
            case agree.Abort(failure, peer):
                self._closed.set()
                if peer is not None and failure.code == "identity-changed":
                    self._line.records.offer(self.contact, peer.fingerprint)
                self._fail(failure)

    async def _offer(self) -> None:
        assert isinstance(self._agreement, Caller)
        offer = await self._open_peer().offer()
        self._agreed(self._agreement.offer(offer, time.monotonic()))

    async def _give_answer(self, offer: str) -> None:
        answer = await self._open_peer().answer(offer)
        self._agreed(self._agreement.answer(answer, time.monotonic()))  # type: ignore[attr-defined]

    async def _accept(self, answer: str) -> None:
        assert self._peer is not None
        await self._peer.accept_answer(answer)

    async def _fetch(self, wanted: agree.FetchEncKeys | agree.FetchDecKeys) -> None:
        qkd = self._line.qkd
        began = time.monotonic()
        try:
            if isinstance(wanted, agree.FetchEncKeys):
                keys = await qkd.enc_keys(wanted.slave_sae, number=wanted.number)
            else:
                keys = await qkd.dec_keys(wanted.master_sae, wanted.key_ids)
        except QcallError as error:
            self._tell("qkd-failed", code=error.code, message=str(error))
            self._agreed(self._agreement.qkd_failed(error.code, time.monotonic()))  # type: ignore[attr-defined]
            return
        self.timing.qkd_ms = 1000 * (time.monotonic() - began)
        self._agreed(self._agreement.qkd_keys(tuple(keys), time.monotonic()))  # type: ignore[attr-defined]

    def _exporter(self, exported: bytes) -> SrtpKeyPair:
        keys = self._agreement.exporter(Secret(exported), time.monotonic())
        self._arm()
        return SrtpKeyPair(keys.send, keys.receive)

    def _confirmed(self) -> None:
        """Both phones hold the same keys: what was seen of this contact may be remembered."""
        info = self._agreement.security
        assert info is not None
        records = self._line.records
        records.pin(self.contact, info.peer.fingerprint)
        records.saw(self.contact, suite=info.suite, qkd=info.qkd.state == "present")
        self.timing.secured_at = time.monotonic()
        self._told(Input.CONFIRMED)
        self._tell("secured", **self._security())

    def _change_epoch(self, effect: agree.StageEpoch | agree.SwitchEpoch | agree.RetireEpoch) -> None:
        """Move media to the keys of a rekey; the agreement decides when."""
        assert self._peer is not None
        assert self._peer.srtp is not None
        match effect:
            case agree.StageEpoch(keys):
                self._peer.srtp.stage(SrtpKeyPair(keys.send, keys.receive))
            case agree.SwitchEpoch():
                self._peer.srtp.switch()
            case agree.RetireEpoch():
                self._peer.srtp.retire()

    async def _watch_epochs(self) -> None:
        """Tell the agreement now and then what media is at: it rekeys only what is in use."""
        while True:
            await asyncio.sleep(EPOCH_INTERVAL)
            if self._peer is not None and self._peer.srtp is not None:
                srtp = self._peer.srtp
                self._agreed(self._agreement.epochs_in_use(srtp.sending, srtp.receiving, time.monotonic()))

    def _on_control(self, message: object) -> None:
        match message:
            case Answered() if self.state is State.RINGING_SECURED:
                self.timing.answered_at = time.monotonic()
                self._tell("answered")
                self._told(Input.PEER_ANSWERED)
            case Hangup(reason):
                self._goodbye(reason)

    def _goodbye(self, reason: str) -> None:
        """The far phone ended the call, authenticated."""
        if reason == RefuseCode.DECLINED:
            self.failure = CallRefused(f"{self.contact} declined the call", code=Reason.DECLINED)
        elif self.outgoing and self.state is not State.TALKING:
            self.failure = CallRefused(f"{self.contact} did not answer; try again later", code=reason)
        unanswered = self.state is not State.TALKING
        self._told(Input.PEER_ENDED, reason=reason if unanswered else Reason.REMOTE_HANGUP)

    # The media connection

    def _open_peer(self) -> Peer:
        source, sink = self._line.sound()
        self.timing.source, self.timing.sink = source, sink
        peer = Peer(
            turn=self._line.relay(),
            exporter=self._exporter,
            exporter_context=lambda: self._agreement.exporter_context,
            source=source,
            sink=sink,
            frame_ms=self._line.frame_ms,
            bitrate=self._line.bitrate,
        )
        peer.on_control_open = lambda: self._agreed(self._agreement.channel_open(time.monotonic()))
        peer.on_control = lambda data: self._agreed(self._agreement.control_received(data, time.monotonic()))
        peer.on_first_audio = self._on_first_audio
        peer.on_failed = self._on_media_failed
        self._peer = peer
        return peer

    def _on_first_audio(self) -> None:
        self.timing.first_audio_at = time.monotonic()
        self._tell("media")

    def _on_media_failed(self, error: QcallError) -> None:
        if error.code == "media-closed" and self.state is State.TALKING:
            # The far phone's goodbye was lost; its DTLS close_notify came through.
            self._told(Input.PEER_ENDED, reason=Reason.REMOTE_HANGUP)
        else:
            self._agreed(self._agreement.abort(error))

    def _send_control(self, data: bytes) -> None:
        if self._peer is not None:
            # While the call is ending the channel may be gone; the far phone then notices by itself.
            with contextlib.suppress(Unavailable):
                self._peer.send_control(data)

    # The call

    def _told(self, fact: Input, *, reason: str | None = None) -> None:
        for effect in self.machine.receive(fact, time.monotonic(), reason=reason):
            self._run_call(effect)
        self._arm()

    def _run_call(self, effect: call.Effect) -> None:
        match effect:
            case call.Ring():
                self.timing.ringing_at = time.monotonic()
                self._tell("incoming", **self._security())
                self.on_ring()
            case call.RingBack():
                self.timing.ringing_at = time.monotonic()
                self._tell("ringing", **self._security())
            case call.TellAnswered():
                self._agreed(self._agreement.send(Answered()))
            case call.StartMedia():
                assert self._peer is not None
                self._peer.start_playing()
                self._peer.start_sending()
                self._start(self._watch_epochs())
                self.on_talking()
            case call.TellEnded(declined):
                self._tell_ended(declined)
            case call.Release(reason):
                task = self._loop.create_task(self._release(reason))
                task.add_done_callback(self._released)

    def _tell_ended(self, declined: bool) -> None:
        if self._agreement.state is Stage.CONFIRMED:
            word = RefuseCode.DECLINED.value if declined else Reason.HANGUP.value
            self._agreed(self._agreement.hang_up(word, time.monotonic()))
        elif self._agreement.state is not Stage.ENDED:
            code = RefuseCode.DECLINED if declined else RefuseCode.CANCELLED
            # The agreement answers with an Abort; that this phone wanted it is no failure.
            for effect in self._agreement.refuse(code):
                if not isinstance(effect, agree.Abort):
                    self._run_agreement(effect)

    def _fail(self, failure: QcallError) -> None:
        if self.state is State.ENDED:
            return
        self.failure = failure
        refused = isinstance(failure, CallRefused)
        self._told(Input.PEER_ENDED if refused else Input.FAILED, reason=failure.code)

    async def _release(self, reason: str) -> None:
        if self._agreement.state is Stage.CLOSING:
            await (
                self._closed.wait()
            )  # The far phone's half of the receipt, or the agreement's patience ends.
        self._timer_off()
        if self._peer is not None:
            await self._peer.flush_control(FLUSH_LIMIT)
        await self._drain()
        statistics = self.stats()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()
        self._agreement.close()
        self._keep(reason)
        fields = {"security": self._security(), "quality": statistics, "timing": self.timing.as_json()}
        self._tell("ended", reason=reason, **fields)

    def _released(self, task: asyncio.Task[None]) -> None:
        if (error := task.exception()) is not None and isinstance(error, QcallError):
            self.failure = self.failure or error
        elif error is not None:
            self.ended.set_exception(error)
            return
        self.ended.set_result(self.machine.reason or Reason.FAILED)

    def _keep(self, reason: str) -> None:
        """Write the call into the history."""
        record = CallRecord(
            call_id=self._agreement.call_id or self.dialogue,
            contact=self.contact,
            outgoing=self.outgoing,
            began_at=self._began_at,
            ended_at=time.time(),
            reason=reason,
            security={**self._security(), "receipt": self._receipt},
        )
        self._line.records.add_call(record)

    # Time, tasks, telling

    def _arm(self) -> None:
        """Be woken at the earlier of both machines' deadlines."""
        self._timer_off()
        times = [at for at in (self._agreement.deadline, self.machine.deadline) if at is not None]
        if times:
            self._timer = self._loop.call_later(max(0.0, min(times) - time.monotonic()), self._on_timer)

    def _timer_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now = time.monotonic()
        self._agreed(self._agreement.timer(now))
        for effect in self.machine.timer(now):
            self._run_call(effect)
        if self.machine.reason == Reason.NO_ANSWER and self.outgoing:
            self.failure = CallRefused(f"{self.contact} does not answer; try again later", code="no-answer")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except QcallError as failure:
            self._agreed(self._agreement.abort(failure))
            self._fail(failure)

    async def _post(self) -> None:
        """Send what the agreement says, in its order."""
        while True:
            frame = await self._outbox.get()
            try:
                await self._line.send(frame)
            finally:
                self._outbox.task_done()

    async def _drain(self) -> None:
        """Let what has been said so far reach the relay, if it can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_LIMIT):
                await self._outbox.join()

    def _security(self) -> dict[str, Any]:
        info = self._agreement.security
        return {} if info is None else security(info, self._line.kme_id, outgoing=self.outgoing)

    def _tell(self, kind: str, **fields: Any) -> None:
        self._line.tell(Event(kind, time.monotonic(), {"contact": self.contact, **fields}))
