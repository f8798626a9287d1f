"""Somebody in the middle, and calls that are led elsewhere: words differ, signatures do not bear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.messages import Kind, Refuse, RefuseCode, frame
from qcall.crypto.identity import Identity

from .tampering import assert_dead


def test_the_words_differ_when_somebody_is_in_the_middle(line, phones) -> None:
    towards_alice = line(bob={"identity": phones("mallory").identity}).dial()
    towards_bob = line(alice={"identity": phones("mallory").identity}).dial()
    assert towards_alice.alice.machine.security.peer.status == "new"
    assert towards_bob.bob.machine.security.peer.status == "new"
    for each in (towards_alice, towards_bob):  # she holds the keys of both calls
        assert each.alice.machine.security.words == each.bob.machine.security.words
    assert towards_alice.alice.machine.security.words != towards_bob.bob.machine.security.words


def test_the_words_are_the_same_when_nobody_is_in_the_middle(line) -> None:
    for _ in range(5):
        call = line().dial()
        assert call.alice.machine.security.words == call.bob.machine.security.words


def test_words_cannot_be_chosen_after_the_callees_nonce_is_known(line) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    call.alice.machine._attempt.nonce = bytes(32)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.bob.failure.code == "commitment"
    assert_dead(call)


def test_an_identity_cannot_be_chosen_after_m1(line, phones) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    call.alice.machine.phone = replace(call.alice.phone, identity=phones("mallory").identity)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.bob.failure.code == "commitment"


class Impostor(Identity):
    """Shows somebody's public keys and signs with its own."""

    def __init__(self, shown: Identity, own: Identity) -> None:
        super().__init__(*own.seeds)
        self._public = shown._public
        self.fingerprint = shown.fingerprint


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_stolen_public_identity_is_worth_nothing(line, phones, who: str) -> None:
    impostor = Impostor(phones(who).identity, phones("mallory").identity)
    call = line(**{who: {"identity": impostor}}).dial()
    victim = call.bob if who == "alice" else call.alice
    assert victim.failure.code == "signature"
    assert_dead(call)


def test_a_call_redirected_to_another_phone_ends(line, phones) -> None:
    call = line(bob={"name": "mallory", "identity": phones("mallory").identity}).dial()
    assert call.alice.failure.code == "redirected"
    assert_dead(call)


def test_a_caller_announced_under_another_name_does_not_ring(line) -> None:
    call = line()
    call.announced = "mallory"
    call.dial()
    assert call.bob.failure.code == "redirected"
    assert_dead(call)


def test_a_signature_meant_for_another_callee_does_not_count(line, phones) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    machine = call.alice.machine
    machine.peer = replace(machine.peer, fingerprint=phones("mallory").identity.fingerprint)
    call.run("alice", machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.bob.failure.code == "redirected"


def test_a_refusal_without_a_seal_is_not_laid_to_the_peer(line) -> None:
    """The callee is known and authenticated, but anybody on the way may have said this."""
    call = line(relay=lambda who, count, raw: [] if raw[1] == Kind.M4 else [raw]).dial()
    assert call.alice.machine.peer is not None
    call.deliver("alice", frame(Kind.REFUSE, Refuse(RefuseCode.DECLINED)))
    assert call.alice.failure.code == "declined"
    assert call.alice.had(fx.Abort)[0].peer is None
