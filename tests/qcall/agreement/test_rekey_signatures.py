"""Identities sign the first rekey and every tenth after it: a thief in the middle has no signatures."""

from __future__ import annotations

import pytest

from qcall.agreement.control import Rekey1, Rekey2, Rekey3, SignaturePair
from qcall.agreement.messages import encode
from qcall.agreement.states import State
from qcall.crypto.kdf import mac

from .rekeying import talking


def test_the_first_epoch_and_every_tenth_after_it_are_signed_by_both(line, monkeypatch) -> None:
    call = talking(line)
    seen = []
    for side in call.sides.values():
        control = side.machine._control
        seal = control.seal
        monkeypatch.setattr(control, "seal", lambda m, seal=seal: seen.append(m) or seal(m))
    while call.alice.machine.security.epoch < 21:
        call.pass_time(5)
    first = {message.epoch: n for n, message in enumerate(seen) if isinstance(message, Rekey1)}
    for epoch, place in first.items():
        signed = [m.signature is not None for m in seen[place : place + 3] if isinstance(m, Rekey2 | Rekey3)]
        assert signed == [epoch in (1, 11, 21)] * 2


@pytest.mark.parametrize("liar", ["alice", "bob"])
def test_a_root_without_the_identity_does_not_pass_the_first_rekey(line, phones, liar: str) -> None:
    call = talking(line)
    call.sides[liar].machine._rekey.call.identity = phones("mallory").identity
    call.pass_time(12)
    victim = call.bob if liar == "alice" else call.alice
    assert victim.failure.code == "signature"
    assert victim.machine.state is State.ENDED


@pytest.mark.parametrize("liar", ["alice", "bob"])
@pytest.mark.parametrize("epoch", [1, 2], ids=["left-out", "not-due"])
def test_identities_sign_when_it_is_due_and_only_then(line, liar: str, epoch: int) -> None:
    """Whoever stole a root and stands in the middle would leave the signatures out."""
    call = talking(line)
    rekey = call.sides[liar].machine._rekey
    honest = rekey._prove

    def prove(role):
        if rekey.epoch != epoch:
            return honest(role)
        own, signature = rekey.call, None
        if epoch != 1:
            made = own.identity.sign(role, own.transcript, own.suite.scheme)
            signature = SignaturePair(made.ed25519, made.mldsa)
        signed = b"" if signature is None else encode(signature)
        with own.root.rekey_mac_key(own.direction, own.transcript) as key:
            return signature, mac(key, own.transcript, signed)

    rekey._prove = prove
    call.pass_time(12.0 * epoch)
    victim = call.bob if liar == "alice" else call.alice
    assert victim.failure.code == "rekey"
    assert victim.machine.state is State.ENDED
