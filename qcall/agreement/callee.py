"""The callee's half of M1 to M4. It is created when an M1 comes; nothing rings before M4 is sent.

A call_id is looked up when M1 comes and used up when M3 has proved who calls: before that, nobody can make
this phone write to its disk, and a replayed M1 that this phone has answered once is worth nothing, because
the rest of its call does not open under fresh shares.

No quantum key is asked for before the caller has proved its identity, and no identity is believed that
the relay did not route by that name, the caller did not commit to in M1, and both signatures do not bear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from qcall.crypto import x25519
from qcall.crypto.identity import Fingerprint, Role
from qcall.crypto.kdf import Label, digest, mac, mac_matches
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed, CallRefused

from .caller import identity_changed
from .effects import Agreed, Effects, FetchDecKeys, NeedAnswer, Send
from .insistence import Insistence, suite_floor
from .kem_work import Worked, encapsulate
from .machine import Agreement, Phone, guarded
from .messages import (
    M1,
    M2,
    NONCE_LENGTH,
    Frame,
    Kind,
    M2Body,
    M2Clear,
    M3Body,
    M4Body,
    Maced,
    Refuse,
    RefuseCode,
    Signed,
    SignedAndMaced,
    decode,
    encode,
    encode_checked,
    frame,
    header,
    read,
    read_identity,
    read_signature,
    show_identity,
)
from .peer import ContactStatus, Peer, judge
from .policy import QkdPolicy, QkdState, allows, stricter
from .quantum import DeliveredKey, check_key_ids, info
from .rekey import Ongoing, Rekey
from .rekey_callee import CalleeRekey
from .sas import words
from .schedule import QKD_KEY_LENGTH, Direction, Early, Handshake, QuantumKey
from .security import SecurityInfo
from .states import CLOCK_SKEW, HANDSHAKE_LIMIT, MEDIA_LIMIT, OutOfTurn, State
from .suites import Suite, choose


@dataclass
class Met:
    """What holds between M2 and M3."""

    m1: M1
    m1_raw: bytes
    m2_raw: bytes
    suite: Suite
    handshake: Handshake
    th2_signed: tuple[bytes, bytes, bytes]


@dataclass
class Known:
    """What holds from M3 on: the caller is authenticated."""

    body: M3Body
    th3: bytes
    proof3: tuple[bytes, bytes, bytes]
    words: tuple[str, ...]


class Callee(Agreement):
    """The agreement on the phone that ``peer_name`` calls, as the relay says. Give it the M1 first."""

    direction = Direction.R

    def __init__(self, phone: Phone, *, peer_name: str, now: float, unix: float) -> None:
        super().__init__(phone, peer_name=peer_name, now=now, unix=unix)
        self.state, self._limit = State.AWAIT_M1, now + HANDSHAKE_LIMIT
        self._second = False
        self._met: Met | None = None
        self._known: Known | None = None

    @guarded
    def qkd_keys(self, keys: Sequence[DeliveredKey], now: float) -> Effects:
        """The keys that `FetchDecKeys` asked for; they belong to the machine from now on."""
        if self._rekey is not None:
            return self._told(self._rekey.qkd_keys(keys, now))
        for each in keys:
            self._keep(each.key)
        if self.state is not State.AWAIT_KEYS or self._known is None:
            return ()
        check_key_ids(keys, [each.key_id for each in self._known.body.qkd.keys])
        if any(len(each.key) != QKD_KEY_LENGTH for each in keys):
            return self.qkd_failed("bad-key", now)
        return self._mix(keys)

    @guarded
    def qkd_failed(self, reason: str, now: float) -> Effects:
        """The own key node gave no keys: refuse, or have the caller begin again without."""
        if self._rekey is not None:
            return self._told(self._rekey.qkd_failed(reason, now))
        if self.state is not State.AWAIT_KEYS or self._met is None:
            return ()
        if self._second or stricter(self._policy, self._met.m1.policy) is QkdPolicy.REQUIRE:
            raise self._insistence.keys_missing_here(reason)
        again = self._send_boxed(Kind.SEALED_REFUSE, encode(Refuse(RefuseCode.QKD_FRESH)))
        self._wipe()
        self._met = self._known = self.peer = None
        self._second, self.state = True, State.AWAIT_M1
        return (again,)

    @guarded
    def answer(self, sdp: str, now: float) -> Effects:
        """The SDP that `NeedAnswer` asked for: M4, and the phone may ring."""
        if self.state is not State.AWAIT_ANSWER:
            raise OutOfTurn(f"no answer is wanted in state {self.state.value}")
        assert self._mixed is not None
        assert self._met is not None
        assert self._known is not None
        assert self.peer is not None
        qkd = self._known.body.qkd
        body = encode_checked(M4Body(tuple(key.key_id for key in qkd.keys), sdp))
        self._th4 = digest(Label.TRANSCRIPT_4, self._known.th3, *self._known.proof3, body)
        with self._mixed.mac_key(Direction.R, self._known.th3) as key:
            maced = Maced(body, mac(key, self._th4))
        self.security = SecurityInfo(
            call_id=self.call_id,
            suite=self._met.suite.name,
            kems=tuple(kem.name for kem in self._met.suite.kems),
            scheme=self._met.suite.scheme,
            policy=stricter(self._policy, self._met.m1.policy),
            qkd=info(qkd),
            peer=self.peer,
            words=self._known.words,
            transcript=self._th4,
        )
        self.state, self._limit = State.AGREED, now + MEDIA_LIMIT
        return (self._send_boxed(Kind.M4, encode(maced)), Agreed(self.security))

    def _rekeying(self, call: Ongoing, now: float) -> Rekey:
        return CalleeRekey(call, now)

    def _on_m1(self, message: Frame, now: float) -> Effects:
        m1 = read(message, M1)
        suite = self._check_m1(m1, now)
        self.call_id = m1.call_id
        share = x25519.KeyPair(Secret(self.phone.entropy(x25519.KEY_LENGTH)))
        if share.public == m1.share:
            raise AgreementFailed("the caller sent this phone's own share", code="reflection")
        dh = self._keep(share.exchange(m1.share))
        kems = [self.phone.kems[kem.name] for kem in suite.kems]
        job = partial(encapsulate, kems, [m1.kem_keys[kem.name] for kem in suite.kems])
        return self._beside(job, partial(self._with_m1, message, m1, suite, share.public, dh))

    def _with_m1(
        self, message: Frame, m1: M1, suite: Suite, share: bytes, dh: Secret, worked: Worked, now: float
    ) -> Effects:
        clear = encode(
            M2Clear(
                suite=suite.name,
                policy=self._policy,
                share=share,
                ciphertexts=tuple(worked.ciphertexts),
                nonce=self.phone.entropy(NONCE_LENGTH),
            )
        )
        tc2 = digest(Label.TRANSCRIPT_CLEAR_2, message.raw, clear)
        handshake = Early(suite.name, dh).mix_kem(worked.shared, tc2)
        self._open_boxes(handshake)
        m2, th2_signed = self._m2(suite, tc2, clear)
        self._met = Met(m1, message.raw, m2, suite, handshake, th2_signed)
        self.state = State.AWAIT_M3
        return (Send(m2),)

    @property
    def _insistence(self) -> Insistence:
        theirs = QkdPolicy.OFF if self._met is None else self._met.m1.policy
        return Insistence.of(self.phone, self.peer_name, self._pin, theirs, outgoing=False)

    def _check_m1(self, m1: M1, now: float) -> Suite:
        if abs(m1.time - (self._unix + now)) > CLOCK_SKEW:
            raise CallRefused(
                f"a call came that was begun more than {CLOCK_SKEW // 60} minutes ago or in the future; set"
                " the clocks of both phones",
                code=RefuseCode.CLOCK,
            )
        if self.phone.memory.met_call(m1.call_id):
            raise replayed_call()
        floor = suite_floor(self.phone, self._pin)
        taken = [suite for suite in self.phone.suites if suite.rank >= floor]
        suite = choose(m1.suites, taken)
        if suite is None:
            raise self._insistence.suite_missing(m1.suites, (each.name for each in taken))
        if any(kem.name not in m1.kem_keys for kem in suite.kems):
            raise AgreementFailed("the caller left out the key of a suite it offers", code="malformed")
        return suite

    def _m2(self, suite: Suite, tc2: bytes, clear: bytes) -> tuple[bytes, tuple[bytes, bytes, bytes]]:
        phone = self.phone
        identity = show_identity(phone.identity.public(suite.scheme))
        body = encode_checked(M2Body(identity, phone.name, phone.sae_id, phone.kme_id))
        th2 = digest(Label.TRANSCRIPT_2, tc2, body)
        signature = phone.identity.sign(Role.CALLEE, th2, suite.scheme)
        signed = encode(Signed(body, signature.ed25519, signature.mldsa))
        box = self._boxes[Direction.R].seal(signed, header(Kind.M2))
        return frame(Kind.M2, M2(clear, box)), (th2, signature.ed25519, signature.mldsa)

    def _on_m3(self, message: Frame, now: float) -> Effects:
        assert self._met is not None
        met = self._met
        signed: SignedAndMaced = self._open(message, SignedAndMaced)
        body = decode(signed.body, M3Body)
        identity = read_identity(body.identity, met.suite)
        th3 = digest(Label.TRANSCRIPT_3, *met.th2_signed, signed.body)
        fingerprint = identity.fingerprint
        commitment = digest(Label.COMMITMENT, body.nonce, fingerprint)
        if commitment != met.m1.commitment:
            raise AgreementFailed("the caller is not the one that M1 committed to", code="commitment")
        if not identity.verify(Role.CALLER, th3, read_signature(signed)):
            raise AgreementFailed("the caller's signatures are wrong", code="signature")
        self._check_peer(fingerprint, body)
        self._suite, self._peer_identity, self._peer_sae = met.suite, identity, body.sae_id
        value = met.handshake.words_value(met.m1_raw, met.m2_raw, body.nonce, fingerprint)
        self._known = Known(body, th3, (signed.ed25519, signed.mldsa, signed.mac), words(value))
        if not self._check_terms(body):
            if not self.phone.memory.consume_call(self.call_id, ()):
                raise replayed_call()
            return self._mix(())
        assert body.qkd.master_sae is not None
        self.state = State.AWAIT_KEYS
        return (FetchDecKeys(body.qkd.master_sae, tuple(key.key_id for key in body.qkd.keys)),)

    def _check_peer(self, fingerprint: Fingerprint, body: M3Body) -> None:
        own = self.phone.identity.fingerprint
        pinned = Fingerprint(self._pin.fingerprint) if self._pin is not None else None
        self.peer = Peer(body.name, fingerprint, judge(self._pin, fingerprint), body.kme_id, pinned)
        if body.callee != own:
            raise AgreementFailed("the caller meant to call somebody else", code="redirected")
        if fingerprint == own:
            raise AgreementFailed("the caller showed this phone's own identity", code="reflection")
        if body.name != self.peer_name:
            raise AgreementFailed(
                f"the relay announced {self.peer_name} and {body.name} called", code="redirected"
            )
        if self.peer.status is ContactStatus.CHANGED:
            raise identity_changed(self.peer)

    def _check_terms(self, body: M3Body) -> bool:
        """Whether there are quantum keys to fetch. AgreementFailed for terms that may not be."""
        assert self._met is not None
        qkd, own_sae = body.qkd, self.phone.sae_id
        policy = stricter(self._policy, self._met.m1.policy)
        if not allows(policy, qkd.state):
            if self._pin is not None and self._pin.qkd_seen:
                raise AgreementFailed(
                    f"calls with {self.peer_name} have had quantum keys, and their phone left them out now"
                    " though this one insists on them; ask them, and dial again",
                    code="downgrade",
                )
            raise AgreementFailed(f"the caller set QKD {qkd.state} under {policy}", code="policy")
        named = [each.key_id for each in qkd.keys]
        if qkd.state is not QkdState.PRESENT:
            if named or qkd.master_sae is not None or qkd.slave_sae is not None:
                raise AgreementFailed("the caller names quantum keys that it does not use", code="malformed")
            return False
        if not named or len(set(named)) != len(named) or None in (qkd.master_sae, qkd.slave_sae):
            raise AgreementFailed("the caller names no quantum key, or one twice", code="malformed")
        if self._second:
            raise AgreementFailed("the caller was asked to leave quantum keys out", code="policy")
        if qkd.master_sae == own_sae or (qkd.master_sae, qkd.slave_sae) != (body.sae_id, own_sae):
            raise AgreementFailed("the caller's quantum keys are for another SAE", code="sae")
        if not self.phone.memory.consume_call(self.call_id, named):
            if self.phone.memory.met_call(self.call_id):
                raise replayed_call()
            raise AgreementFailed("the caller names a quantum key that was used before", code="replayed-key")
        return True

    def _mix(self, keys: Sequence[QuantumKey]) -> Effects:
        assert self._met is not None
        assert self._known is not None
        known = self._known
        self._mixed = self._met.handshake.mix_qkd(known.body.qkd.state, keys, known.th3)
        self._secrets.append(self._mixed)
        ed25519, mldsa, tag = known.proof3
        with self._mixed.mac_key(Direction.I, known.th3) as key:
            if not mac_matches(key, tag, known.th3, ed25519, mldsa):
                raise AgreementFailed("the caller's MAC is wrong: the quantum keys differ", code="mac")
        self.state = State.AWAIT_ANSWER
        return (NeedAnswer(known.body.offer),)

    table: ClassVar[Mapping[tuple[State, Kind], Callable[[Any, Frame, float], Effects]]] = {
        (State.AWAIT_M1, Kind.M1): _on_m1,
        (State.AWAIT_M3, Kind.M3): _on_m3,
    }


def replayed_call() -> AgreementFailed:
    """A call_id that was used up before."""
    return AgreementFailed("a call came that had come before: it was replayed", code="replayed-call")
