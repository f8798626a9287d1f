"""Peers that hold every key of the call and say what they should not in a rekey, and key nodes that err."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from qcall.agreement import effects as fx
from qcall.agreement.control import Message, Rekey1, Rekey2, Rekey2Body, RekeyAgain
from qcall.agreement.messages import encode
from qcall.agreement.policy import QkdState
from qcall.agreement.states import State
from qcall.crypto.secret import Secret
from qcall.crypto.x25519 import KeyPair

from .rekeying import assert_together, talking


def lie(call: Any, kind: type, change: Callable[[Any], Message]) -> Any:
    """Let the sender of the first ``kind`` say something else; who hears it."""
    liar, victim = (call.alice, call.bob) if kind is Rekey1 else (call.bob, call.alice)
    control = liar.machine._control
    honest = control.seal
    control.seal = lambda message: honest(change(message) if isinstance(message, kind) else message)
    call.pass_time(12)
    assert victim.machine.state is State.ENDED
    assert not victim.had(fx.Rekeyed)
    return victim


def altered(**changes: Any) -> Callable[[Any], Any]:
    return lambda message: msgspec.structs.replace(message, **changes)


def altered_terms(**changes: Any) -> Callable[[Rekey1], Rekey1]:
    return lambda rk1: msgspec.structs.replace(rk1, qkd=msgspec.structs.replace(rk1.qkd, **changes))


def altered_body(**changes: Any) -> Callable[[Rekey2], Rekey2]:
    def change(rk2: Rekey2) -> Rekey2:
        body = msgspec.msgpack.decode(rk2.body, type=Rekey2Body)
        return msgspec.structs.replace(rk2, body=encode(msgspec.structs.replace(body, **changes)))

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (altered(epoch=2), "malformed"),
        (altered(kem_keys=(bytes(1568), bytes(1568))), "malformed"),
        (altered(kem_keys=(b"\xff" * 1568,)), "kem-key"),
        (altered(share=bytes(32)), "x25519-low-order"),
        (altered_terms(keys=()), "policy"),
        (altered_terms(state=QkdState.ABSENT), "policy"),
        (altered_terms(state=QkdState.OFF, keys=()), "policy"),
        (altered_terms(master_sae="sae-bob"), "sae"),
        (altered_terms(slave_sae="sae-mallory"), "sae"),
    ],
)
def test_a_caller_that_lies_in_rk1_is_hung_up_on(line, change, code: str) -> None:
    assert lie(talking(line), Rekey1, change).failure.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (altered_body(key_ids=()), "key-ids"),
        (altered_body(ciphertexts=(bytes(1568), bytes(1568))), "malformed"),
        (altered_body(ciphertexts=(bytes(1567),)), "kem-length"),
        (altered_body(ciphertexts=(bytes(1568),)), "rekey-mac"),
        (altered_body(share=bytes(32)), "x25519-low-order"),
        (altered(mac=bytes(48)), "rekey-mac"),
    ],
)
def test_a_callee_that_lies_in_rk2_is_hung_up_on(line, change, code: str) -> None:
    assert lie(talking(line), Rekey2, change).failure.code == code


def test_quantum_keys_are_left_out_of_a_rekey_once_and_not_in_a_circle(line) -> None:
    call = talking(line)
    call.nodes.enc_failure = "link-cut"
    assert lie(call, Rekey2, lambda _: RekeyAgain("link-cut")).failure.code == "out-of-turn"


def test_the_callees_own_share_is_not_taken_in_a_rekey(line) -> None:
    call = talking(line)
    private = bytes(range(32))
    call.bob.machine._rekey.call.entropy = lambda n: private if n == 32 else os.urandom(n)
    share = KeyPair(Secret(private)).public
    assert lie(call, Rekey1, altered(share=share)).failure.code == "reflection"


def test_other_quantum_keys_than_asked_for_end_the_call(line) -> None:
    call = talking(line)
    call.hold = {fx.FetchDecKeys}
    call.pass_time(12)
    call.run("bob", call.bob.machine.qkd_keys(call.nodes.enc("sae-bob", 1), call.now))
    assert call.bob.failure.code == "key-ids"


def test_a_short_quantum_key_in_a_rekey_counts_as_none(line) -> None:
    call = talking(line)
    call.hold = {fx.FetchDecKeys}
    call.pass_time(12)
    wanted = call.bob.had(fx.FetchDecKeys)[-1].key_ids
    short = [replace(key, key=Secret(bytes(31))) for key in call.nodes.dec("sae-bob", wanted)]
    call.run("bob", call.bob.machine.qkd_keys(short, call.now))
    assert_together(call, 1)
    assert call.bob.machine.security.qkd.reason == "peer-bad-key"


@pytest.mark.parametrize("number", [0, 2])
def test_another_number_of_quantum_keys_in_a_rekey_counts_as_none(line, number: int) -> None:
    call = talking(line)
    call.hold = {fx.FetchEncKeys}
    call.pass_time(12)
    call.run("alice", call.alice.machine.qkd_keys(call.nodes.enc("sae-bob", number), call.now))
    assert_together(call, 1)
    assert call.bob.machine.security.qkd.reason == "bad-key"
