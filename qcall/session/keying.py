"""Drives the agreement of one call: feeds it what happens, runs what it asks for, keeps its timer.

Decisions are the agreement's. This file fetches the quantum keys, carries the messages and hands the SRTP
keys to the voice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from qcall.agreement import effects as agree
from qcall.agreement.callee import Callee
from qcall.agreement.caller import Caller
from qcall.agreement.control import Message
from qcall.agreement.kem_work import Worked
from qcall.agreement.machine import Agreement
from qcall.agreement.messages import Kind, RefuseCode
from qcall.agreement.peer import judge
from qcall.agreement.states import State
from qcall.call.authenticity import Authenticity, Verdict
from qcall.call.events import Reason
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed, QcallError
from qcall.media.srtp import SrtpKeyPair

from .line import Line
from .outlook import KeyWatch
from .report import Timing, security
from .voice import Voice
from .work import Alarm, Work

REFUSALS: dict[str, RefuseCode] = {
    Reason.DECLINED: RefuseCode.DECLINED,
    Reason.CANCELLED: RefuseCode.CANCELLED,
    Reason.NO_ANSWER: RefuseCode.NO_ANSWER,
}
"""What the far phone is told of a call that ends before its keys are confirmed."""
EPOCH_INTERVAL = 0.5
"""Seconds between two looks at the epochs that media uses."""


class Keying:
    """The agreement of one call at work.

    ``on_agreed``, ``on_confirmed``, ``on_message(message)`` and ``on_failed(failure)`` are assigned before
    the first input; ``tell(kind, **fields)`` gets what users see of it.
    """

    on_agreed: Callable[[], None]
    on_confirmed: Callable[[], None]
    on_message: Callable[[Message], None]
    on_failed: Callable[[QcallError], None]

    def __init__(
        self,
        agreement: Agreement,
        line: Line,
        voice: Voice,
        work: Work,
        timing: Timing,
        tell: Callable[..., None],
    ) -> None:
        self.agreement = agreement
        self.receipt: str | None = None
        """Signed by both phones as far as the far one could still be heard; JSON."""
        self.peer_sae: str | None = None
        """The far phone's name at the key nodes, once one was asked."""
        self._line = line
        self._voice = voice
        self._work = work
        self._timing = timing
        self._tell = tell
        self._alarm = Alarm(work.guarded(lambda: self._run(agreement.timer(time.monotonic()))))
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._closed = asyncio.Event()
        voice.exporter = self._exporter
        voice.exporter_context = lambda: agreement.exporter_context
        voice.on_control_open = lambda: self._run(agreement.channel_open(time.monotonic()))
        voice.on_control = self._on_control
        work.start(self._post())

    @property
    def confirmed(self) -> bool:
        """Whether both phones have proved that they hold the same keys, and neither has hung up."""
        return self.agreement.state is State.CONFIRMED

    @property
    def over(self) -> bool:
        """Whether the agreement has ended."""
        return self.agreement.state is State.ENDED

    def dial(self) -> None:
        """Begin as the caller."""
        assert isinstance(self.agreement, Caller)
        self._run(self.agreement.start(time.monotonic()))

    def receive(self, payload: bytes) -> None:
        """A message of the far phone came through signalling."""
        self._trace(False, frame_name(payload), len(payload))
        self._run(self.agreement.receive(payload, time.monotonic()))

    def send(self, message: Message) -> None:
        """Tell the far phone something on the control channel."""
        self._run(self.agreement.send(message))

    def abort(self, failure: QcallError) -> None:
        """Something failed outside the agreement; ``on_failed`` follows unless it was over already."""
        if not self.over:
            self._run(self.agreement.abort(failure))

    def tell_ended(self, reason: str) -> None:
        """Tell the far phone, by the best channel there is, why this user ends the call."""
        if self.confirmed:
            self._run(self.agreement.hang_up(reason, time.monotonic()))
        elif not self.over:
            # The agreement answers with an Abort; that this phone wanted it is no failure.
            for effect in self.agreement.refuse(REFUSALS.get(reason, RefuseCode.FAILED)):
                if not isinstance(effect, agree.Abort):
                    self._do(effect)

    async def watch_epochs(self) -> None:
        """Tell the agreement now and then what media is at: it rekeys only what is in use."""
        authenticity = Authenticity()
        while True:
            await asyncio.sleep(EPOCH_INTERVAL)
            self._judge(authenticity.look(self._voice.failures_in_a_row, time.monotonic()))
            if (epochs := self._voice.epochs) is not None:
                self._run(self.agreement.epochs_in_use(*epochs, time.monotonic()))

    def _judge(self, verdict: Verdict | None) -> None:
        """Do about packets that no key opens what the failure table says: warn, rekey, hang up."""
        match verdict:
            case Verdict.FAILING:
                self._tell("unopened", failing=True)
                self._run(self.agreement.renew(time.monotonic()))
            case Verdict.WELL:
                self._tell("unopened", failing=False)
            case Verdict.LOST:
                text = "what comes is not the other phone's: no key opens it, not even a new one; hung up"
                raise AgreementFailed(text, code="srtp")

    async def settle(self) -> None:
        """Wait for the far phone's half of the receipt; the agreement's patience limits it."""
        if self.agreement.state is State.CLOSING:
            await self._closed.wait()

    async def flush(self, limit: float) -> None:
        """Let what has been said so far reach the relay, if it can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._outbox.join()

    def close(self) -> None:
        """The call is over: wipe the keys."""
        self._alarm.set(None)
        self.agreement.close()

    def security(self) -> dict[str, Any]:
        """What protects the call; empty before it is agreed."""
        info, outgoing = self.agreement.security, isinstance(self.agreement, Caller)
        if info is None:
            return {}
        # The users may have compared their words since the call was agreed, and found that they differ.
        contact = self._line.records.contact(self.agreement.peer_name)
        said = judge(contact, info.peer.fingerprint)
        return security(info, self._line.kme_id, outgoing=outgoing, said=said)

    def _run(self, effects: agree.Effects) -> None:
        for effect in effects:
            self._do(effect)
        self._alarm.set(self.agreement.deadline)

    def _do(self, effect: agree.Effect) -> None:
        match effect:
            case agree.Send(frame):
                self._trace(True, frame_name(frame), len(frame))
                self._outbox.put_nowait(frame)
            case agree.NeedOffer():
                self._work.start(self._offer())
            case agree.FetchEncKeys() | agree.FetchDecKeys():
                self._work.start(self._fetch(effect))
            case agree.Compute(job):
                self._work.start(self._compute(job))
            case agree.NeedAnswer(offer):
                self._work.start(self._answer(offer))
            case agree.RemoteAnswer(answer):
                self._work.start(self._voice.accept(answer))
            case agree.SendControl(data, kind):
                self._trace(True, kind, len(data))
                self._voice.send_control(data)
            case agree.Agreed():
                self.on_agreed()
            case agree.Confirmed():
                self._confirmed()
            case agree.Received(message):
                self.on_message(message)
            case agree.StageEpoch() | agree.SwitchEpoch() | agree.RetireEpoch():
                self._voice.change_epoch(effect)
            case agree.Rekeyed():
                self._remember()
                self._tell("rekeyed", **self.security())
            case agree.RekeyFailing(reason, ends_at):
                self._tell("rekey-failing", reason=reason, seconds=round(ends_at - time.monotonic()))
            case agree.ReceiptReady(receipt):
                self.receipt = receipt.as_json().decode()
            case agree.Closed():
                self._closed.set()
            case agree.Abort(failure, peer):
                self._closed.set()
                if peer is not None and failure.code == "identity-changed":
                    self._line.records.offer(self.agreement.peer_name, peer.fingerprint)
                    self._tell("blocked", pinned=str(peer.pinned), offered=str(peer.fingerprint))
                self.on_failed(failure)

    def _on_control(self, data: bytes) -> None:
        effects = self.agreement.control_received(data, time.monotonic())
        self._trace(False, self.agreement.heard, len(data))
        self._run(effects)

    def _trace(self, sent: bool | None, what: str, size: int, **more: Any) -> None:
        """Tell of one message between the two phones, or with the key node."""
        self._tell(
            "trace", **{"sent": sent, "peer": self.agreement.peer_name, "what": what, "bytes": size, **more}
        )

    async def _offer(self) -> None:
        assert isinstance(self.agreement, Caller)
        self._run(self.agreement.offer(await self._voice.offer(), time.monotonic()))

    async def _answer(self, offer: str) -> None:
        assert isinstance(self.agreement, Callee)
        self._run(self.agreement.answer(await self._voice.answer(offer), time.monotonic()))

    async def _fetch(self, wanted: agree.FetchEncKeys | agree.FetchDecKeys) -> None:
        assert isinstance(self.agreement, Caller | Callee)
        qkd = self._line.qkd
        began = time.monotonic()
        try:
            if isinstance(wanted, agree.FetchEncKeys):
                self.peer_sae = wanted.slave_sae
                keys = await qkd.enc_keys(wanted.slave_sae, number=wanted.number)
            else:
                self.peer_sae = wanted.master_sae
                keys = await qkd.dec_keys(wanted.master_sae, wanted.key_ids)
        except QcallError as error:
            self._trace(None, "no quantum key", 0, peer="key node", note=error.code)
            self._tell("qkd-failed", code=error.code, message=str(error))
            self._run(self.agreement.qkd_failed(error.code, time.monotonic()))
            return
        if self.over:
            for key in keys:
                key.key.wipe()
            return
        self._timing.qkd_ms = 1000 * (time.monotonic() - began)
        asked = "enc_keys" if isinstance(wanted, agree.FetchEncKeys) else "dec_keys"
        note = f"{len(keys)} key in {self._timing.qkd_ms:.1f} ms"
        self._trace(None, asked, 0, peer="key node", note=note)
        self._run(self.agreement.qkd_keys(tuple(keys), time.monotonic()))

    async def _compute(self, job: Callable[[], Worked]) -> None:
        """Sound goes on meanwhile: liboqs lets go of the interpreter while it computes."""
        working = asyncio.get_running_loop().run_in_executor(None, job)
        try:
            worked = await asyncio.shield(working)
        except asyncio.CancelledError:
            working.add_done_callback(forget)  # The call has ended; a thread cannot be stopped.
            raise
        except QcallError as failure:
            self.abort(failure)
        else:
            self._run(self.agreement.computed(worked, time.monotonic()))

    def _exporter(self, exported: bytes) -> SrtpKeyPair:
        keys = self.agreement.exporter(Secret(exported), time.monotonic())
        self._alarm.set(self.agreement.deadline)
        return SrtpKeyPair(keys.send, keys.receive)

    def _confirmed(self) -> None:
        """Both phones hold the same keys: what was seen of this contact may be remembered."""
        info = self.agreement.security
        assert info is not None
        self._line.records.pin(self.agreement.peer_name, info.peer.fingerprint)
        self._remember()
        self._timing.secured_at = time.monotonic()
        self.on_confirmed()
        self._tell("secured", **self.security())
        watch = KeyWatch(self._line.qkd, self._line.rekey, self._tell)
        self._work.start(watch.watch(lambda: self.peer_sae))

    def _remember(self) -> None:
        """The protection that this epoch has is what later calls with this contact have to have."""
        info = self.agreement.security
        assert info is not None
        qkd = info.qkd.state == "present"
        self._line.records.saw(self.agreement.peer_name, suite=info.suite, qkd=qkd)

    async def _post(self) -> None:
        """Send what the agreement says, in its order."""
        while True:
            frame = await self._outbox.get()
            try:
                await self._line.send(frame)
            finally:
                self._outbox.task_done()


def forget(working: asyncio.Future[Worked]) -> None:
    """Wipe what came of work that nobody waits for any more."""
    if not working.cancelled() and working.exception() is None:
        working.result().wipe()


def frame_name(frame: bytes) -> str:
    """What the specification calls a message of the agreement."""
    try:
        return Kind(frame[1]).name.lower().replace("_", "-")
    except (IndexError, ValueError):
        return "unknown"
