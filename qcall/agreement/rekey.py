"""New keys while people talk: RK1 → RK2 → RK3 on the control channel, begun by the caller.

    caller  idle ─ due → keys? ─ keys → KEM ─ RK1 → RK2? ─ RK2 → KEM ─ stage, switch, RK3 → idle
    callee  idle ─ RK1 → keys? ─ keys → KEM ─ stage, RK2 → RK3? ─ RK3: switch → idle

What the KEMs cost is paid beside the call: a second KEM may take longer than a packet lasts.

Whoever says RK2 or RK3 has already staged the new epoch for receiving, so that the peer may send it at once
and no packet is lost. A rekey waits until both directions of media are in the epoch before it: the first
one until there is media at all, later ones for a sender that takes its time near the wrap of its sequence
number. Five seconds after media has moved, the old epoch is forgotten. The old root is wiped as soon as the
new one is derived, and the new one needs X25519, ML-KEM and (where there is one) a quantum key again. So a
stolen root heals with the next rekey if the thief only listens; one who also stands in the middle is found
out at the next epoch that both identities sign: the first one, and every tenth after it.

When rekeys fail, the caller tells the callee so: under ``require`` it is the caller who hangs up in the end,
and both users are to know. A callee that wants new keys asks for them.

Stronger than PROTOCOL.md first had it: the inputs of the new root carry their type, and th_rk is chained
from th4 through every rekey, so that an epoch stands for the whole history of the call:

    th_rk(e) = H(lp("qcall/1 th rekey", th_rk(e−1), RK1, body of RK2)),   th_rk(0) = th4
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qcall.crypto.identity import Identity, PublicIdentity, Role, Signature
from qcall.crypto.kdf import mac, mac_matches
from qcall.crypto.kem import Kem
from qcall.errors import AgreementFailed, QcallError

from .control import Control, Message, SignaturePair, kind_of
from .effects import (
    Compute,
    Effects,
    RetireEpoch,
    SendControl,
    StageEpoch,
    SwitchEpoch,
)
from .kem_work import Worked
from .messages import encode
from .peer import Memory
from .policy import QkdPolicy, QkdState
from .quantum import WITHOUT, DeliveredKey, info
from .schedule import Direction, Root
from .security import QkdInfo
from .suites import Suite

INTERVAL = 60.0
"""Seconds between rekeys, ± 10 %."""
SHORTEST_INTERVAL = 5.0
LONGEST_INTERVAL = 300.0
EPOCH_GRACE = 300.0
"""Seconds from the first failure of a row to hanging up, at most; `GRACE_INTERVALS` if they are fewer."""
GRACE_INTERVALS = 5
"""Whoever wants new keys often does not want old ones for long."""
STALE = 1.1 * LONGEST_INTERVAL + EPOCH_GRACE
"""Seconds of one epoch after which a callee hangs up: nobody may keep it there by dropping RK1. The longest
that a caller who tries to rekey would keep it."""
OLD_EPOCH = 5.0
"""Seconds for which late packets of the old epoch are still received."""
SIGN_EVERY = 10
"""Epochs 1, 11, 21, … are signed by both identities: the first, because epoch 0 is the one to be stolen."""


class Stage(enum.Enum):
    """Where a rekey is."""

    IDLE = "idle"
    AWAIT_KEYS = "keys?"
    AWAIT_KEM = "KEM"
    AWAIT_ANSWER = "RK2?"
    AWAIT_RK3 = "RK3?"


@dataclass
class Ongoing:
    """What a confirmed call brings along."""

    direction: Direction
    suite: Suite
    policy: QkdPolicy
    identity: Identity
    peer: PublicIdentity
    own_sae: str | None
    peer_sae: str | None
    memory: Memory
    kems: Sequence[Kem]
    entropy: Callable[[int], bytes] = field(repr=False)
    root: Root = field(repr=False)
    control: Control = field(repr=False)
    transcript: bytes
    keys_missing: Callable[[str], QcallError]
    """What ends the call when no quantum key has come for too long; the argument is the last reason."""
    interval: float = INTERVAL


class Rekey(abc.ABC):
    """The half of it that caller and callee share. Failures of the peer raise AgreementFailed."""

    def __init__(self, call: Ongoing, now: float) -> None:
        self.call = call
        self.stage = Stage.IDLE
        self.qkd = QkdInfo(QkdState.OFF)
        self.begun_at: float | None = None
        self._in_use = False
        self._retire_at: float | None = None
        self._terms = WITHOUT
        self._then: Callable[[Worked, float], Effects] | None = None

    @property
    def epoch(self) -> int:
        return self.call.root.epoch

    @property
    def deadline(self) -> float | None:
        """When `timer` wants to be called, in seconds on the clock of ``now``."""
        return min((at for at in (self._retire_at, self._next_step()) if at is not None), default=None)

    def timer(self, now: float) -> Effects:
        """Time has passed."""
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            return (RetireEpoch(self.epoch - 1), *self._step(now))
        return self._step(now)

    def epochs_in_use(self, sending: int, receiving: int, now: float) -> Effects:
        """What media is at: the epoch that is sent, and the one that opened the last packet."""
        if self._in_use or self.stage is not Stage.IDLE or not sending == receiving == self.epoch:
            return ()
        self._in_use = True
        if self.begun_at is None:
            self.begun_at = now
        else:
            self._retire_at = now + OLD_EPOCH
        return ()

    @abc.abstractmethod
    def hasten(self, now: float) -> Effects:
        """What comes does not open: rekey as soon as that can be."""

    def wipe(self) -> None:
        """The call is over."""
        self.call.root.wipe()

    @abc.abstractmethod
    def receive(self, message: Message, now: float) -> Effects:
        """A rekey message of the peer."""

    @abc.abstractmethod
    def qkd_keys(self, keys: Sequence[DeliveredKey], now: float) -> Effects:
        """The keys that were to be fetched."""

    @abc.abstractmethod
    def qkd_failed(self, reason: str, now: float) -> Effects:
        """There are none."""

    def computed(self, worked: Worked, now: float) -> Effects:
        """What came of the work that the shell was given."""
        then, self._then = self._then, None
        assert then is not None
        return then(worked, now)

    def _beside(self, job: Callable[[], Worked], then: Callable[[Worked, float], Effects]) -> Effects:
        """Have ``job`` done, and go on with ``then``."""
        self.stage, self._then = Stage.AWAIT_KEM, then
        return (Compute(job),)

    @abc.abstractmethod
    def _next_step(self) -> float | None: ...

    @abc.abstractmethod
    def _step(self, now: float) -> Effects: ...

    def _seal(self, message: Message) -> SendControl:
        return SendControl(self.call.control.seal(message), kind_of(message))

    def _advance(self, root: Root, transcript: bytes) -> StageEpoch:
        """The new root is there: be ready to receive under it."""
        call = self.call
        call.root, call.transcript = root, transcript
        call.control.stage(root.control_box(call.direction.other))
        self._in_use = False
        return StageEpoch(root.srtp(call.direction))

    def _switch(self, now: float) -> SwitchEpoch:
        self.call.control.switch(self.call.root.control_box(self.call.direction))
        self.stage, self.begun_at = Stage.IDLE, now
        self.qkd = info(self._terms)
        return SwitchEpoch(self.epoch)

    def _prove(self, role: Role) -> tuple[SignaturePair | None, bytes]:
        """The signatures, when it is their turn, and the MAC over them."""
        call, pair = self.call, None
        if self.epoch % SIGN_EVERY == 1:
            signature = call.identity.sign(role, call.transcript, call.suite.scheme)
            pair = SignaturePair(signature.ed25519, signature.mldsa)
        with call.root.rekey_mac_key(call.direction, call.transcript) as key:
            return pair, mac(key, call.transcript, _signed(pair))

    def _check(self, role: Role, pair: SignaturePair | None, tag: bytes) -> None:
        call = self.call
        with call.root.rekey_mac_key(call.direction.other, call.transcript) as key:
            if not mac_matches(key, tag, call.transcript, _signed(pair)):
                raise AgreementFailed("the MAC of a rekey is wrong", code="rekey-mac")
        if (pair is not None) != (self.epoch % SIGN_EVERY == 1):
            raise AgreementFailed(
                "a rekey is signed when it should not be, or not when it should", code="rekey"
            )
        if pair is not None:
            signature = Signature(pair.ed25519, pair.mldsa)
            if not call.peer.verify(role, call.transcript, signature):
                raise AgreementFailed("the signatures of a rekey are wrong", code="signature")


def _signed(pair: SignaturePair | None) -> bytes:
    return b"" if pair is None else encode(pair)
