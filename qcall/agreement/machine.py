"""What caller and callee have in common: the frame of the agreement and everything after M4.

A machine takes bytes, facts and the time (seconds on one monotonic clock) and returns effects. What a peer
may send in which state is a table; what is not in the table aborts. Abort wipes the keys, tells the peer
one code (authenticated as soon as there are keys to do it with), and tells this phone precisely why.
Once confirmed, the machine is deaf to signalling: nobody but the peer can end a call by words.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from qcall.crypto.aead import Box
from qcall.crypto.identity import PublicIdentity
from qcall.crypto.kdf import mac, mac_matches
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed, CallRefused, QcallError

from .at_work import AtWork, overdue
from .closing import Closing, open_ledger
from .control import Confirm, Control, Farewell, Hangup, Message, RekeyMessage, kind_of
from .effects import (
    Abort,
    Closed,
    Compute,
    Confirmed,
    Effect,
    Effects,
    ReceiptReady,
    Received,
    Rekeyed,
    Send,
    SendControl,
    SwitchEpoch,
)
from .insistence import Insistence, had_keys
from .kem_work import Worked
from .messages import VERSION, Boxed, Frame, Kind, Refuse, RefuseCode, encode, frame, header, parse, read
from .messages import decode as decode_message
from .peer import Peer
from .phone import Phone as Phone
from .policy import QkdPolicy
from .receipt import SignedReceipt
from .refusal import broken_off, hearsay, refused, told, version_failure
from .rekey import Ongoing, Rekey
from .schedule import Direction, Handshake, Mixed, Root, SrtpKeys
from .security import SecurityInfo
from .states import CONFIRM_LIMIT, RECEIPT_LIMIT, OutOfTurn, State
from .suites import Suite

P = ParamSpec("P")
M = TypeVar("M", bound="Agreement")


def guarded(
    method: Callable[Concatenate[M, P], Effects],
) -> Callable[Concatenate[M, P], Effects]:
    """An input of a machine: nothing after the end, and every failure becomes an abort."""

    @functools.wraps(method)
    def run(machine: M, /, *args: P.args, **kwargs: P.kwargs) -> Effects:
        if machine.state is State.ENDED:
            return ()
        try:
            return method(machine, *args, **kwargs)
        except QcallError as failure:
            return machine.abort(failure)

    return run


class Agreement(abc.ABC):
    """One agreement on one phone. See `Caller` and `Callee`."""

    direction: ClassVar[Direction]
    table: ClassVar[Mapping[tuple[State, Kind], Callable[[Any, Frame, float], Effects]]]

    def __init__(self, phone: Phone, *, peer_name: str, now: float, unix: float) -> None:
        self.state = State.IDLE
        self._limit: float | None = None
        self.call_id = b""
        self.security: SecurityInfo | None = None
        self.peer: Peer | None = None
        self.phone = phone
        self.peer_name = peer_name
        self._unix = unix - now
        self._boxes: dict[Direction, Box] = {}
        self._secrets: list[Secret | Handshake | Mixed | Root] = []
        self._th4 = b""
        self._mixed: Mixed | None = None
        self._root: Root | None = None
        self._control: Control | None = None
        self._rekey: Rekey | None = None
        self._closing: Closing | None = None
        self._at_work: AtWork | None = None
        self._suite: Suite | None = None
        self._peer_identity: PublicIdentity | None = None
        self._peer_sae: str | None = None
        self._sent_confirm = False
        self._peer_confirmed = False
        self._pin = phone.memory.contact(peer_name)
        self._policy = QkdPolicy.REQUIRE if had_keys(phone, self._pin) else phone.policy

    @property
    def deadline(self) -> float | None:
        """When `timer` wants to be called, in seconds on the clock of ``now``."""
        return self._rekey.deadline if self._rekey is not None and self._limit is None else self._limit

    @guarded
    def receive(self, raw: bytes, now: float) -> Effects:
        """A message of the other phone, from signalling."""
        if self.state in (State.CONFIRMED, State.CLOSING):
            return ()
        if self._at_work is not None:
            self._at_work.hold(raw)
            return ()
        message = parse(raw)
        if message.kind == Kind.REFUSE:
            return self._refused(read(message, Refuse).code, sealed=False, now=now)
        if message.version != VERSION:
            raise version_failure(message.version)
        if message.kind == Kind.SEALED_REFUSE and self._boxes:
            return self._refused(self._open(message, Refuse).code, sealed=True, now=now)
        try:
            handler = self.table[self.state, Kind(message.kind)]
        except (KeyError, ValueError):
            raise AgreementFailed(
                f"message {message.kind} came in state {self.state.value}", code="out-of-turn"
            ) from None
        return handler(self, message, now)

    @guarded
    def timer(self, now: float) -> Effects:
        """Abort what has taken too long; rekey what is due."""
        if self._rekey is not None and self._limit is None:
            return self._told(self._rekey.timer(now))
        if self._limit is None or now < self._limit:
            return ()
        if self.state is State.CLOSING and self._closing is not None:
            return self._close_with(self._closing.alone())
        raise overdue(self.state, self._at_work)

    @guarded
    def refuse(self, code: RefuseCode) -> Effects:
        """The user or the phone does not want this call (any more): busy, declined, cancelled, …"""
        return self.abort(CallRefused("the call was ended on this phone", code=code))

    @property
    def exporter_context(self) -> bytes:
        """th4: the context for the TLS exporter, once agreed."""
        if self.state is not State.AGREED:
            raise OutOfTurn(f"there is no th4 in state {self.state.value}")
        return self._th4

    def exporter(self, exporter: Secret, now: float) -> SrtpKeys:
        """DTLS is up: the SRTP keys of epoch 0. Called in the very step that installs them."""
        if self.state is not State.AGREED or self._mixed is None:
            raise OutOfTurn(f"no exporter is expected in state {self.state.value}")
        with exporter:
            self._root = self._mixed.mix_dtls(exporter, self._th4, self.call_id)
        self._secrets.append(self._root)
        boxes = (self._root.control_box(d) for d in (self.direction, self.direction.other))
        self._control = Control(*boxes)
        self.state, self._limit = State.CONFIRMING, now + CONFIRM_LIMIT
        return self._root.srtp(self.direction)

    @guarded
    def channel_open(self, now: float) -> Effects:
        """The data channel is open: prove that the keys are there."""
        if self.state is not State.CONFIRMING or self._sent_confirm:
            raise OutOfTurn(f"the channel cannot open in state {self.state.value}")
        assert self._root is not None
        self._sent_confirm = True
        with self._root.confirm_key(self.direction) as key:
            return (self._seal(Confirm(mac(key, self._th4))), *self._confirm_when_both(now))

    @property
    def heard(self) -> str:
        """What the far phone's latest control message was, for a trace."""
        return self._control.heard if self._control is not None else ""

    @guarded
    def control_received(self, data: bytes, now: float) -> Effects:
        """Something came on the data channel."""
        if self._control is None or self._root is None:
            raise AgreementFailed("a control message came before DTLS", code="out-of-turn")
        message = self._control.open(data)
        if isinstance(message, Confirm) is self._peer_confirmed:
            raise AgreementFailed("a control message came out of turn", code="out-of-turn")
        if not isinstance(message, Confirm):
            return self._on_message(message, now)
        with self._root.confirm_key(self.direction.other) as key:
            if not mac_matches(key, message.mac, self._th4):
                raise AgreementFailed("the key confirmation is wrong", code="confirmation")
        self._peer_confirmed = True
        return self._confirm_when_both(now)

    @guarded
    def epochs_in_use(self, sending: int, receiving: int, now: float) -> Effects:
        """What media is at, told now and then: the epoch it sends and the one of the last packet opened.

        The next rekey waits until both are the newest epoch, and the old one is retired 5 s after that.
        """
        return () if self._rekey is None else self._rekey.epochs_in_use(sending, receiving, now)

    def computed(self, worked: Worked, now: float) -> Effects:
        """What came of a `Compute`; it belongs to the machine from now on."""
        try:
            return self._with(worked, now)
        finally:
            worked.wipe()

    @guarded
    def _with(self, worked: Worked, now: float) -> Effects:
        if self._rekey is not None:
            return self._told(self._rekey.computed(worked, now)) if self.state is State.CONFIRMED else ()
        done, self._at_work = self._at_work, None
        assert done is not None
        effects = done.then(worked, now)
        for raw in done.held:
            effects += self.receive(raw, now)
        return effects

    @guarded
    def renew(self, now: float) -> Effects:
        """What comes on the media path does not open: have new keys as soon as that can be."""
        return () if self._rekey is None else self._told(self._rekey.hasten(now))

    def send(self, message: Message) -> Effects:
        """Tell the peer something on the control channel, once confirmed; nothing after the end."""
        if self.state is State.ENDED:
            return ()
        if self.state is not State.CONFIRMED:
            raise OutOfTurn(f"nothing can be told in state {self.state.value}")
        return (self._seal(message),)

    @guarded
    def hang_up(self, reason: str, now: float) -> Effects:
        """This user ends a confirmed call: tell the peer, sign the receipt, and wait a moment for theirs.

        `Closed` follows, within `RECEIPT_LIMIT`. ``reason`` is a short word as in `Hangup`.
        """
        if self.state is not State.CONFIRMED or self._closing is None:
            raise OutOfTurn(f"there is nothing to hang up in state {self.state.value}")
        self.state, self._limit = State.CLOSING, now + RECEIPT_LIMIT
        return (self._seal(self._closing.hang_up(reason)),)

    def close(self) -> None:
        """The call is over: wipe the keys. Silent, and allowed at any time."""
        self._wipe()
        self.state, self._limit = State.ENDED, None

    def abort(self, failure: QcallError) -> Effects:
        """End it: tell the peer a code, wipe, and say here what happened.

        The code goes over the control channel once that is open, and through signalling, sealed, before.
        """
        code = told(failure.code)
        effects: list[Effect] = []
        if self._sent_confirm and self._control is not None:
            effects.append(self._seal(Hangup(code)))
        elif self._boxes:
            effects.append(self._send_boxed(Kind.SEALED_REFUSE, encode(Refuse(code))))
        elif self.state is not State.IDLE:
            effects.append(Send(frame(Kind.REFUSE, Refuse(code))))
        self.close()
        return (*effects, Abort(failure, self.peer))

    def _on_message(self, message: Message, now: float) -> Effects:
        assert self._closing is not None
        if self.state is State.CLOSING:
            reply, receipt = self._closing.last_words(message)
            effects = (self._seal(reply),) if reply is not None else ()
            return (*effects, *self._close_with(receipt)) if receipt is not None else effects
        if self.state is not State.CONFIRMED:
            raise AgreementFailed("a control message came before the confirmation", code="out-of-turn")
        if isinstance(message, RekeyMessage):
            assert self._rekey is not None
            return self._told(self._rekey.receive(message, now))
        if isinstance(message, Farewell):
            raise AgreementFailed("a farewell came though nobody hung up", code="out-of-turn")
        if isinstance(message, Hangup) and (answer := self._closing.countersign(message)):
            reply, receipt = answer
            return (self._seal(reply), ReceiptReady(receipt), Received(message))
        return (Received(message),)

    def _close_with(self, receipt: SignedReceipt) -> Effects:
        self.close()
        return (ReceiptReady(receipt), Closed())

    def _confirm_when_both(self, now: float) -> Effects:
        if not (self._sent_confirm and self._peer_confirmed):
            return ()
        self.state, self._limit = State.CONFIRMED, None
        call = self._ongoing()
        self._rekey = self._rekeying(call, now)
        assert self.security is not None
        self._closing = Closing(
            open_ledger(call.identity, self.phone.name, call.peer, self.direction, call.suite, self.security)
        )
        return (Confirmed(),)

    @abc.abstractmethod
    def _rekeying(self, call: Ongoing, now: float) -> Rekey:
        """This role's half of rekeying."""

    def _ongoing(self) -> Ongoing:
        phone = self.phone
        assert self._suite is not None
        assert self._peer_identity is not None
        assert self._root is not None
        assert self._control is not None
        assert self.security is not None
        return Ongoing(
            direction=self.direction,
            suite=self._suite,
            policy=self.security.policy,
            identity=phone.identity,
            peer=self._peer_identity,
            own_sae=phone.sae_id,
            peer_sae=self._peer_sae,
            memory=phone.memory,
            kems=[phone.kems[kem.name] for kem in self._suite.kems],
            entropy=phone.entropy,
            root=self._root,
            control=self._control,
            transcript=self._th4,
            interval=phone.rekey_interval,
            keys_missing=self._insistence.keys_not_renewed_here,
        )

    def _told(self, effects: Effects) -> Effects:
        """What a rekey wants done; with a new epoch, what now protects the call."""
        assert self._rekey is not None
        if self.security is None or not any(isinstance(effect, SwitchEpoch) for effect in effects):
            return effects
        assert self._closing is not None
        self.security = replace(self.security, epoch=self._rekey.epoch, qkd=self._rekey.qkd)
        self._closing.ledger.add(self._rekey.qkd, self._rekey.call.transcript)
        return (*effects, Rekeyed(self.security))

    def _refused(self, code: RefuseCode, *, sealed: bool, now: float) -> Effects:
        """The peer ended it. Without a seal, anyone on the way may have said so; with one, whoever sent M1
        or M2, which nobody has answered for before the peer is authenticated."""
        peer = self.peer if sealed else None
        self.close()
        if peer is not None and code is RefuseCode.QKD_REQUIRED:
            return (Abort(self._insistence.keys_missing_there(), peer),)
        return (Abort(refused(code) if peer is not None else hearsay(code, self.peer_name), peer),)

    def broken_off(self, word: str) -> CallRefused:
        """The peer ended a call that was up, with a `Hangup` whose reason is no ordinary one."""
        if word == RefuseCode.QKD_REQUIRED:
            return self._insistence.keys_not_renewed_there()
        return broken_off(word)

    @property
    @abc.abstractmethod
    def _insistence(self) -> Insistence:
        """What both phones insist on, as far as the other one has stated it."""

    def _beside(self, job: Callable[[], Worked], then: Callable[[Worked, float], Effects]) -> Effects:
        """Have ``job`` done, and go on with ``then``; the peer's messages wait for that."""
        self._at_work = AtWork(then)
        return (Compute(job),)

    def _open_boxes(self, handshake: Handshake) -> None:
        self._secrets.append(handshake)
        self._boxes = {d: handshake.box(d) for d in Direction}

    def _send_boxed(self, kind: Kind, plaintext: bytes) -> Send:
        box = self._boxes[self.direction].seal(plaintext, header(kind))
        return Send(frame(kind, Boxed(box)))

    def _open(self, message: Frame, model: type[Any]) -> Any:
        box = read(message, Boxed).box
        return decode_message(self._boxes[self.direction.other].open(box, message.header), model)

    def _seal(self, message: Message) -> SendControl:
        assert self._control is not None
        return SendControl(self._control.seal(message), kind_of(message))

    def _keep(self, secret: Secret) -> Secret:
        self._secrets.append(secret)
        return secret

    def _wipe(self) -> None:
        for secret in self._secrets:
            secret.wipe()
        if self._rekey is not None:
            self._rekey.wipe()
        self._secrets.clear()
        self._boxes.clear()
        self._control = self._root = self._mixed = self._rekey = self._at_work = None
