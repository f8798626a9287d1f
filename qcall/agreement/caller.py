"""The caller's half of M1 to M4.

Stronger than PROTOCOL.md first had it: M1 carries one KEM key per KEM of the suites offered, so that the
callee can choose the suite without another round trip, and one commitment, because the fingerprint does
not depend on the suite. When the callee's key node fails under ``prefer``, both machines begin again on
the same dialogue with everything fresh (call_id, shares, nonces); the offer that was gathered is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from qcall.crypto import x25519
from qcall.crypto.identity import Fingerprint, PublicIdentity, Role
from qcall.crypto.kdf import Label, digest, mac, mac_matches
from qcall.crypto.kem import PrivateKey
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed, CallRefused

from .effects import Agreed, Effects, FetchEncKeys, NeedOffer, RemoteAnswer, Send
from .insistence import Insistence, suite_floor
from .kem_work import Worked, decapsulate, key_pairs
from .machine import Agreement, Phone, guarded
from .messages import (
    CALL_ID_LENGTH,
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
    QkdTerms,
    RefuseCode,
    Signed,
    SignedAndMaced,
    decode,
    encode,
    encode_checked,
    frame,
    read,
    read_identity,
    read_signature,
    show_identity,
)
from .peer import ContactStatus, Peer, judge
from .policy import QkdPolicy, QkdState, stricter
from .quantum import WITHOUT, DeliveredKey, absent, check_key_ids, info, name_key
from .rekey import Ongoing, Rekey
from .rekey_caller import CallerRekey
from .sas import words
from .schedule import QKD_KEY_LENGTH, Direction, Early, Handshake, QuantumKey
from .security import SecurityInfo
from .states import HANDSHAKE_LIMIT, MEDIA_LIMIT, OutOfTurn, State
from .suites import Suite


@dataclass
class Attempt:
    """What is fresh in every attempt."""

    share: x25519.KeyPair | None = field(default=None, repr=False)
    kem_keys: dict[str, PrivateKey] = field(default_factory=dict, repr=False)
    nonce: bytes = field(default=b"", repr=False)
    m1: bytes = b""
    offered: tuple[Suite, ...] = ()
    suite: Suite | None = None
    peer_policy: QkdPolicy = QkdPolicy.OFF
    handshake: Handshake | None = None
    body2: M2Body | None = None
    th2_signed: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    terms: QkdTerms | None = None
    keys: tuple[QuantumKey, ...] = ()
    words: tuple[str, ...] = ()
    th3: bytes = b""
    proof3: tuple[bytes, bytes, bytes] = (b"", b"", b"")


class Caller(Agreement):
    """The agreement on the phone that dialled ``peer_name``. ``start`` begins it."""

    direction = Direction.I

    def __init__(self, phone: Phone, *, peer_name: str, now: float, unix: float) -> None:
        super().__init__(phone, peer_name=peer_name, now=now, unix=unix)
        self._offer: str | None = None
        self._without_qkd: str | None = None
        self._attempt = Attempt()

    @guarded
    def start(self, now: float) -> Effects:
        """Send M1, and have the offer gathered meanwhile."""
        if self._limit is not None:
            raise OutOfTurn("a caller starts once")
        self._limit = now + HANDSHAKE_LIMIT
        return (*self._begin(), NeedOffer())

    @guarded
    def offer(self, sdp: str, now: float) -> Effects:
        """The SDP that `NeedOffer` asked for."""
        if self._offer is not None:
            raise OutOfTurn("an offer is given once")
        self._offer = sdp
        return self._m3_when_ready()

    @guarded
    def qkd_keys(self, keys: Sequence[DeliveredKey], now: float) -> Effects:
        """The keys that `FetchEncKeys` asked for; they belong to the machine from now on."""
        if self._rekey is not None:
            return self._told(self._rekey.qkd_keys(keys, now))
        for each in keys:
            self._keep(each.key)
        if self.state is not State.PREPARING or self._attempt.terms is not None:
            return ()
        if len(keys) != 1 or any(len(each.key) != QKD_KEY_LENGTH for each in keys):
            return self.qkd_failed("bad-key", now)
        if not self.phone.memory.consume_keys([each.key_id for each in keys]):
            raise AgreementFailed("the key node delivered a key that was used before", code="replayed-key")
        self._attempt.keys = tuple(keys)
        named = tuple(name_key(each) for each in keys)
        assert self._attempt.body2 is not None
        self._attempt.terms = QkdTerms(
            QkdState.PRESENT, None, self.phone.sae_id, self._attempt.body2.sae_id, named
        )
        return self._m3_when_ready()

    @guarded
    def qkd_failed(self, reason: str, now: float) -> Effects:
        """There are no keys. ``reason`` is a short word of lower-case letters, digits and hyphens."""
        if self._rekey is not None:
            return self._told(self._rekey.qkd_failed(reason, now))
        if self.state is not State.PREPARING or self._attempt.terms is not None:
            return ()
        if stricter(self._policy, self._attempt.peer_policy) is QkdPolicy.REQUIRE:
            raise self._insistence.keys_missing_here(reason)
        self._attempt.terms = absent(reason)
        return self._m3_when_ready()

    def _rekeying(self, call: Ongoing, now: float) -> Rekey:
        return CallerRekey(call, now)

    def _begin(self) -> Effects:
        """Have the KEM keys made that M1 is to carry."""
        phone, floor = self.phone, suite_floor(self.phone, self._pin)
        suites = [suite for suite in phone.suites if suite.rank >= floor]
        if not suites:
            raise self._insistence.suite_not_offered()
        self.call_id = phone.entropy(CALL_ID_LENGTH)
        self._attempt.offered = tuple(suites)
        self._attempt.share = x25519.KeyPair(Secret(phone.entropy(x25519.KEY_LENGTH)))
        names = list(dict.fromkeys(kem.name for suite in suites for kem in suite.kems))
        job = partial(key_pairs, [phone.kems[name] for name in names], phone.entropy)
        return self._beside(job, partial(self._m1, names))

    def _m1(self, names: Sequence[str], worked: Worked, now: float) -> Effects:
        phone = self.phone
        assert self._attempt.share is not None
        self._attempt.kem_keys = dict(zip(names, worked.keys, strict=True))
        self._attempt.nonce = phone.entropy(NONCE_LENGTH)
        self._attempt.m1 = frame(
            Kind.M1,
            M1(
                suites=tuple(suite.name for suite in self._attempt.offered),
                call_id=self.call_id,
                time=int(self._unix + now),
                policy=self._policy,
                share=self._attempt.share.public,
                kem_keys={name: key.public for name, key in self._attempt.kem_keys.items()},
                commitment=digest(Label.COMMITMENT, self._attempt.nonce, phone.identity.fingerprint),
            ),
        )
        self.state = State.AWAIT_M2
        return (Send(self._attempt.m1),)

    def _on_m2(self, message: Frame, now: float) -> Effects:
        m2 = read(message, M2)
        clear = decode(m2.clear, M2Clear)
        suite = self._check_suite(clear)
        share, self._attempt.share = self._attempt.share, None
        assert share is not None
        if clear.share == share.public:
            raise AgreementFailed("the callee sent this phone's own share back", code="reflection")
        dh = self._keep(share.exchange(clear.share))
        keys = [self._attempt.kem_keys[kem.name] for kem in suite.kems]
        self._attempt.kem_keys.clear()
        job = partial(decapsulate, keys, clear.ciphertexts)
        return self._beside(job, partial(self._with_m2, message, m2, clear, suite, dh))

    def _with_m2(
        self, message: Frame, m2: M2, clear: M2Clear, suite: Suite, dh: Secret, worked: Worked, now: float
    ) -> Effects:
        tc2 = digest(Label.TRANSCRIPT_CLEAR_2, self._attempt.m1, m2.clear)
        self._attempt.handshake = Early(suite.name, dh).mix_kem(worked.shared, tc2)
        self._open_boxes(self._attempt.handshake)
        signed = decode(self._boxes[Direction.R].open(m2.box, message.header), Signed)
        body = decode(signed.body, M2Body)
        th2 = digest(Label.TRANSCRIPT_2, tc2, signed.body)
        identity = read_identity(body.identity, suite)
        if not identity.verify(Role.CALLEE, th2, read_signature(signed)):
            raise AgreementFailed("the callee's signatures are wrong", code="signature")
        self._attempt.th2_signed = (th2, signed.ed25519, signed.mldsa)
        self._attempt.suite, self._attempt.body2, self._attempt.peer_policy = suite, body, clear.policy
        self._suite, self._peer_identity, self._peer_sae = suite, identity, body.sae_id
        self._check_peer(identity, body)
        own = self.phone.identity.fingerprint
        self._attempt.words = words(
            self._attempt.handshake.words_value(self._attempt.m1, message.raw, self._attempt.nonce, own)
        )
        self.state = State.PREPARING
        return self._choose_qkd(now)

    def _check_suite(self, clear: M2Clear) -> Suite:
        suite = {suite.name: suite for suite in self._attempt.offered}.get(clear.suite)
        if suite is None:
            raise AgreementFailed("the callee chose a suite that was not offered", code="suite-not-offered")
        if len(clear.ciphertexts) != len(suite.kems):
            raise AgreementFailed("the callee sent another number of ciphertexts", code="malformed")
        return suite

    def _check_peer(self, identity: PublicIdentity, body: M2Body) -> None:
        fingerprint = identity.fingerprint
        pinned = Fingerprint(self._pin.fingerprint) if self._pin is not None else None
        self.peer = Peer(body.name, fingerprint, judge(self._pin, fingerprint), body.kme_id, pinned)
        if fingerprint == self.phone.identity.fingerprint:
            raise AgreementFailed("the callee showed this phone's own identity", code="reflection")
        if body.name != self.peer_name:
            raise AgreementFailed(f"{self.peer_name} was called and {body.name} answered", code="redirected")
        if self.peer.status is ContactStatus.CHANGED:
            raise identity_changed(self.peer)
        if body.sae_id is not None and body.sae_id == self.phone.sae_id:
            raise AgreementFailed("the callee named this phone's own SAE", code="sae")

    def _choose_qkd(self, now: float) -> Effects:
        assert self._attempt.body2 is not None
        if stricter(self._policy, self._attempt.peer_policy) is QkdPolicy.OFF:
            self._attempt.terms = WITHOUT
            return self._m3_when_ready()
        if self._without_qkd is not None:
            return self.qkd_failed(self._without_qkd, now)
        if self.phone.sae_id is None:
            return self.qkd_failed("no-key-node", now)
        if self._attempt.body2.sae_id is None:
            return self.qkd_failed("peer-no-key-node", now)
        return (FetchEncKeys(self._attempt.body2.sae_id, 1),)

    def _m3_when_ready(self) -> Effects:
        if self.state is not State.PREPARING or self._attempt.terms is None or self._offer is None:
            return ()
        assert self._attempt.handshake is not None
        assert self._attempt.suite is not None
        assert self.peer is not None
        phone, scheme = self.phone, self._attempt.suite.scheme
        body = encode_checked(
            M3Body(
                identity=show_identity(phone.identity.public(scheme)),
                name=phone.name,
                sae_id=phone.sae_id,
                kme_id=phone.kme_id,
                callee=bytes(self.peer.fingerprint),
                nonce=self._attempt.nonce,
                qkd=self._attempt.terms,
                offer=self._offer,
            )
        )
        th3 = digest(Label.TRANSCRIPT_3, *self._attempt.th2_signed, body)
        signature = phone.identity.sign(Role.CALLER, th3, scheme)
        self._mixed = self._attempt.handshake.mix_qkd(self._attempt.terms.state, self._attempt.keys, th3)
        self._secrets.append(self._mixed)
        with self._mixed.mac_key(Direction.I, th3) as key:
            tag = mac(key, th3, signature.ed25519, signature.mldsa)
        self._attempt.th3 = th3
        self._attempt.proof3 = (signature.ed25519, signature.mldsa, tag)
        sealed = SignedAndMaced(body, *self._attempt.proof3)
        self.state = State.AWAIT_M4
        return (self._send_boxed(Kind.M3, encode(sealed)),)

    def _on_m4(self, message: Frame, now: float) -> Effects:
        assert self._mixed is not None
        assert self._attempt.suite is not None
        assert self._attempt.terms is not None
        assert self.peer is not None
        maced: Maced = self._open(message, Maced)
        body = decode(maced.body, M4Body)
        self._th4 = digest(Label.TRANSCRIPT_4, self._attempt.th3, *self._attempt.proof3, maced.body)
        with self._mixed.mac_key(Direction.R, self._attempt.th3) as key:
            if not mac_matches(key, maced.mac, self._th4):
                raise AgreementFailed("the callee's MAC is wrong: the quantum keys differ", code="mac")
        check_key_ids(self._attempt.keys, body.key_ids)
        self.security = SecurityInfo(
            call_id=self.call_id,
            suite=self._attempt.suite.name,
            kems=tuple(kem.name for kem in self._attempt.suite.kems),
            scheme=self._attempt.suite.scheme,
            policy=stricter(self._policy, self._attempt.peer_policy),
            qkd=info(self._attempt.terms),
            peer=self.peer,
            words=self._attempt.words,
            transcript=self._th4,
        )
        self.state, self._limit = State.AGREED, now + MEDIA_LIMIT
        return (RemoteAnswer(body.answer), Agreed(self.security))

    @property
    def _insistence(self) -> Insistence:
        theirs = self._attempt.peer_policy
        return Insistence.of(self.phone, self.peer_name, self._pin, theirs, outgoing=True)

    def _refused(self, code: RefuseCode, *, sealed: bool, now: float) -> Effects:
        if code is not RefuseCode.QKD_FRESH or not sealed:
            return super()._refused(code, sealed=sealed, now=now)
        again = self.state is State.AWAIT_M4 and self._without_qkd is None
        if not again or stricter(self._policy, self._attempt.peer_policy) is QkdPolicy.REQUIRE:
            raise CallRefused(
                "the other phone got no quantum key, and this call requires one", code="no-peer-key"
            )
        self._wipe()
        self._attempt = Attempt()
        self._without_qkd = "peer-key-node"
        return self._begin()

    table: ClassVar[Mapping[tuple[State, Kind], Callable[[Any, Frame, float], Effects]]] = {
        (State.AWAIT_M2, Kind.M2): _on_m2,
        (State.AWAIT_M4, Kind.M4): _on_m4,
    }


def identity_changed(peer: Peer) -> AgreementFailed:
    """Another identity than the pinned one: the call is blocked."""
    return AgreementFailed(
        f"the identity of {peer.name} has changed from {peer.pinned} to {peer.fingerprint}; the call is"
        f" blocked; ask them, and if it is theirs: qcall contacts accept-new-key {peer.name}",
        code="identity-changed",
    )
