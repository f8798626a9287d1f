"""The half of a rekey that begins it: on the phone that dialled. See `qcall.agreement.rekey`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qcall.crypto import x25519
from qcall.crypto.identity import Role
from qcall.crypto.kdf import Label, digest
from qcall.crypto.kem import PrivateKey
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

from .control import Message, Rekey1, Rekey2, Rekey2Body, Rekey3, RekeyAgain, RekeyLate, RekeyWanted
from .effects import Effects, FetchEncKeys, RekeyFailing
from .kem_work import Worked, decapsulate, key_pairs
from .messages import QkdTerms, decode, encode_checked
from .policy import QkdPolicy, QkdState
from .quantum import WITHOUT, DeliveredKey, absent, drop, name_key
from .rekey import EPOCH_GRACE, GRACE_INTERVALS, SHORTEST_INTERVAL, Ongoing, Rekey, Stage
from .schedule import QKD_KEY_LENGTH, QuantumKey

ATTEMPT_LIMIT = 10.0
"""Seconds without an answer that count as one failure; the answer is still welcome."""
RETRY = 5.0
"""Seconds from a failed attempt to the next."""
FAILURES = 3
"""Failed attempts in a row after which the user is warned."""


class CallerRekey(Rekey):
    """Begins rekeys."""

    def __init__(self, call: Ongoing, now: float) -> None:
        super().__init__(call, now)
        self._due = now + self._interval()
        self._attempt_ends: float | None = None
        self._failures = 0
        self._failing_since = now
        self._lacking: str | None = None
        """Why the last attempt got no quantum key, under ``require``."""
        self._share: x25519.KeyPair | None = None
        self._kem_keys: list[PrivateKey] = []
        self._keys: tuple[QuantumKey, ...] = ()
        self._rk1 = b""

    def wipe(self) -> None:
        """The call is over."""
        super().wipe()
        self._forget()

    def receive(self, message: Message, now: float) -> Effects:
        if isinstance(message, RekeyWanted):
            return self.hasten(now)
        if self.stage is Stage.AWAIT_ANSWER:
            if isinstance(message, Rekey2):
                return self._on_rk2(message, now)
            if isinstance(message, RekeyAgain) and self._terms.state is QkdState.PRESENT:
                return self._without(f"peer-{message.reason}"[:64], now)
        raise AgreementFailed(
            f"{type(message).__name__} came in stage {self.stage.value} of a rekey", code="out-of-turn"
        )

    def hasten(self, now: float) -> Effects:
        earliest = now if self.begun_at is None else self.begun_at + SHORTEST_INTERVAL
        self._due = min(self._due, max(now, earliest))
        return ()

    def qkd_keys(self, keys: Sequence[DeliveredKey], now: float) -> Effects:
        if self.stage is not Stage.AWAIT_KEYS:
            drop(keys)
            return ()
        if len(keys) != 1 or len(keys[0].key) != QKD_KEY_LENGTH:
            drop(keys)
            return self.qkd_failed("bad-key", now)
        if not self.call.memory.consume_keys([each.key_id for each in keys]):
            drop(keys)
            raise AgreementFailed("the key node delivered a key that was used before", code="replayed-key")
        self._keys = tuple(keys)
        named = tuple(name_key(each) for each in keys)
        terms = QkdTerms(QkdState.PRESENT, None, self.call.own_sae, self.call.peer_sae, named)
        return self._send_rk1(terms)

    def qkd_failed(self, reason: str, now: float) -> Effects:
        return self._without(reason, now) if self.stage is Stage.AWAIT_KEYS else ()

    def _next_step(self) -> float | None:
        warned = self._failing_since + self._grace if self._failures else None
        step = self._due if self.stage is Stage.IDLE else self._attempt_ends
        if self.stage is Stage.IDLE and not self._in_use:
            step = None
        return min((at for at in (warned, step) if at is not None), default=None)

    def _step(self, now: float) -> Effects:
        if self._failures and now >= self._failing_since + self._grace:
            if self._lacking is not None:
                raise self.call.keys_missing(self._lacking)
            raise AgreementFailed("the keys could not be renewed for too long; hung up", code="rekey")
        if self.stage is Stage.IDLE and self._in_use and now >= self._due:
            return self._begin(now)
        if self._attempt_ends is not None and now >= self._attempt_ends:
            self._attempt_ends = now + ATTEMPT_LIMIT
            return self._failed("no-answer", now)
        return ()

    def _begin(self, now: float) -> Effects:
        self._attempt_ends = now + ATTEMPT_LIMIT
        if self.call.policy is QkdPolicy.OFF:
            return self._send_rk1(WITHOUT)
        if self.call.own_sae is None or self.call.peer_sae is None:
            return self._without("no-key-node", now)
        self.stage = Stage.AWAIT_KEYS
        return (FetchEncKeys(self.call.peer_sae, 1),)

    def _without(self, reason: str, now: float) -> Effects:
        """No quantum key for this epoch."""
        self._forget()
        if self.call.policy is QkdPolicy.REQUIRE:
            self.stage, self._attempt_ends, self._due = Stage.IDLE, None, now + RETRY
            self._lacking = reason
            return self._failed(reason, now)
        return self._send_rk1(absent(reason))

    def _failed(self, reason: str, now: float) -> Effects:
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if self._failures < FAILURES:
            return ()
        ends_at = self._failing_since + self._grace
        late = RekeyLate(reason[:64], max(0, round(ends_at - now)))
        return (RekeyFailing(reason, ends_at), self._seal(late))

    @property
    def _grace(self) -> float:
        """Seconds for which an epoch is kept though it should have been followed."""
        return min(EPOCH_GRACE, GRACE_INTERVALS * max(self.call.interval, SHORTEST_INTERVAL))

    def _send_rk1(self, terms: QkdTerms) -> Effects:
        call, self._terms = self.call, terms
        self._share = x25519.KeyPair(Secret(call.entropy(x25519.KEY_LENGTH)))
        return self._beside(partial(key_pairs, call.kems, call.entropy), self._with_key_pairs)

    def _with_key_pairs(self, worked: Worked, now: float) -> Effects:
        assert self._share is not None
        self._kem_keys = worked.keys
        public = tuple(key.public for key in self._kem_keys)
        rk1 = Rekey1(self.epoch + 1, self._share.public, public, self._terms)
        self._rk1 = encode_checked(rk1)
        self.stage, self._lacking = Stage.AWAIT_ANSWER, None
        return (self._seal(rk1),)

    def _on_rk2(self, rk2: Rekey2, now: float) -> Effects:
        body = decode(rk2.body, Rekey2Body)
        assert self._share is not None
        if body.share == self._share.public:
            raise AgreementFailed("the callee sent this phone's own share back", code="reflection")
        if body.key_ids != tuple(key.key_id for key in self._keys):
            raise AgreementFailed("the callee used other quantum keys", code="key-ids")
        if len(body.ciphertexts) != len(self._kem_keys):
            raise AgreementFailed("the callee sent another number of ciphertexts", code="malformed")
        job = partial(decapsulate, self._kem_keys, body.ciphertexts)
        return self._beside(job, partial(self._with_shared, rk2, body.share))

    def _with_shared(self, rk2: Rekey2, share: bytes, worked: Worked, now: float) -> Effects:
        call = self.call
        assert self._share is not None
        transcript = digest(Label.TRANSCRIPT_REKEY, call.transcript, self._rk1, rk2.body)
        dh = self._share.exchange(share)
        root = call.root.rekey(dh, worked.shared, self._terms.state, self._keys, transcript)
        staged = self._advance(root, transcript)
        self._check(Role.REKEY_CALLEE, rk2.signature, rk2.mac)
        third = self._seal(Rekey3(*self._prove(Role.REKEY_CALLER)))
        self._forget()
        self._failures, self._attempt_ends = 0, None
        self._due = now + self._interval()
        return (staged, third, self._switch(now))

    def _forget(self) -> None:
        self._share = None
        for each in self._keys:
            each.key.wipe()
        self._keys = ()
        self._kem_keys = []

    def _interval(self) -> float:
        spread = int.from_bytes(self.call.entropy(2)) / 0xFFFF
        return max(self.call.interval, SHORTEST_INTERVAL) * (0.9 + 0.2 * spread)
