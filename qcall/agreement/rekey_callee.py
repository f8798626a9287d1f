"""The half of a rekey that answers it: on the phone that was called. See `qcall.agreement.rekey`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qcall.crypto import x25519
from qcall.crypto.identity import Role
from qcall.crypto.kdf import Label, digest
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

from .control import Message, Rekey1, Rekey2, Rekey2Body, Rekey3, RekeyAgain, RekeyLate, RekeyWanted
from .effects import Effects, FetchDecKeys, RekeyFailing
from .kem_work import Worked, encapsulate
from .messages import encode
from .policy import QkdState, allows
from .quantum import DeliveredKey, drop
from .rekey import STALE, Ongoing, Rekey, Stage
from .schedule import QKD_KEY_LENGTH, QuantumKey


class CalleeRekey(Rekey):
    """Answers rekeys."""

    def __init__(self, call: Ongoing, now: float) -> None:
        super().__init__(call, now)
        self._rk1: Rekey1 | None = None
        self._keys: tuple[QuantumKey, ...] = ()

    def wipe(self) -> None:
        """The call is over."""
        super().wipe()
        self._forget()

    def receive(self, message: Message, now: float) -> Effects:
        if isinstance(message, Rekey1) and self.stage is Stage.IDLE:
            return self._on_rk1(message, now)
        if isinstance(message, Rekey3) and self.stage is Stage.AWAIT_RK3:
            self._check(Role.REKEY_CALLER, message.signature, message.mac)
            return (self._switch(now),)
        if isinstance(message, RekeyLate):
            return (RekeyFailing(message.reason, now + message.seconds),)
        raise AgreementFailed(
            f"{type(message).__name__} came in stage {self.stage.value} of a rekey", code="out-of-turn"
        )

    def hasten(self, now: float) -> Effects:
        return (self._seal(RekeyWanted()),)

    def qkd_keys(self, keys: Sequence[DeliveredKey], now: float) -> Effects:
        if self.stage is not Stage.AWAIT_KEYS or self._rk1 is None:
            drop(keys)
            return ()
        if [key.key_id for key in keys] != [key.key_id for key in self._rk1.qkd.keys]:
            drop(keys)
            raise AgreementFailed("the key node delivered other keys than those asked for", code="key-ids")
        if any(len(key.key) != QKD_KEY_LENGTH for key in keys):
            drop(keys)
            return self.qkd_failed("bad-key", now)
        return self._send_rk2(self._rk1, keys)

    def qkd_failed(self, reason: str, now: float) -> Effects:
        if self.stage is not Stage.AWAIT_KEYS:
            return ()
        self.stage = Stage.IDLE
        return (self._seal(RekeyAgain(reason)),)

    def _next_step(self) -> float | None:
        return None if self.begun_at is None else self.begun_at + STALE

    def _step(self, now: float) -> Effects:
        if self.begun_at is not None and now >= self.begun_at + STALE:
            raise AgreementFailed("the caller has not renewed the keys for too long; hung up", code="rekey")
        return ()

    def _on_rk1(self, rk1: Rekey1, now: float) -> Effects:
        call = self.call
        if rk1.epoch != self.epoch + 1 or len(rk1.kem_keys) != len(call.kems):
            raise AgreementFailed("a rekey is not the next one", code="malformed")
        named = [key.key_id for key in rk1.qkd.keys]
        if not allows(call.policy, rk1.qkd.state) or bool(named) != (rk1.qkd.state is QkdState.PRESENT):
            raise AgreementFailed(
                f"the caller set QKD {rk1.qkd.state} under {call.policy} in a rekey", code="policy"
            )
        self._rk1, self._terms = rk1, rk1.qkd
        if not named:
            return self._send_rk2(rk1, ())
        if (rk1.qkd.master_sae, rk1.qkd.slave_sae) != (call.peer_sae, call.own_sae):
            raise AgreementFailed("the caller's quantum keys are for another SAE", code="sae")
        if len(set(named)) != len(named) or not call.memory.consume_keys(named):
            raise AgreementFailed("the caller names a quantum key that was used before", code="replayed-key")
        self.stage = Stage.AWAIT_KEYS
        assert call.peer_sae is not None
        return (FetchDecKeys(call.peer_sae, tuple(named)),)

    def _send_rk2(self, rk1: Rekey1, keys: Sequence[QuantumKey]) -> Effects:
        self._keys = tuple(keys)
        return self._beside(
            partial(encapsulate, self.call.kems, rk1.kem_keys), partial(self._with_shared, rk1)
        )

    def _with_shared(self, rk1: Rekey1, worked: Worked, now: float) -> Effects:
        call = self.call
        share = x25519.KeyPair(Secret(call.entropy(x25519.KEY_LENGTH)))
        if share.public == rk1.share:
            raise AgreementFailed("the caller sent this phone's own share", code="reflection")
        dh = share.exchange(rk1.share)
        ids = tuple(key.key_id for key in self._keys)
        body = encode(Rekey2Body(share.public, tuple(worked.ciphertexts), ids))
        transcript = digest(Label.TRANSCRIPT_REKEY, call.transcript, encode(rk1), body)
        root = call.root.rekey(dh, worked.shared, rk1.qkd.state, self._keys, transcript)
        self._forget()
        staged = self._advance(root, transcript)
        self.stage = Stage.AWAIT_RK3
        return (staged, self._seal(Rekey2(body, *self._prove(Role.REKEY_CALLEE))))

    def _forget(self) -> None:
        for each in self._keys:
            each.key.wipe()
        self._keys = ()
