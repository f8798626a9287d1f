"""Quantum keys that are used again, swapped, another's, or talked away."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from qcall.agreement import effects as fx
from qcall.agreement.messages import Kind, Refuse, RefuseCode, encode, frame
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.schedule import Mixed
from qcall.agreement.states import State
from qcall.crypto.secret import Secret

from .tampering import assert_dead, forge_terms


def test_a_quantum_key_is_used_in_one_call_only(line) -> None:
    used = line().dial()
    named = used.alice.machine._attempt.terms.keys
    assert forge_terms(line(), keys=named).bob.failure.code == "replayed-key"


def test_a_quantum_key_is_not_named_twice(line) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    named = call.alice.machine._attempt.terms.keys
    assert forge_terms(line(), keys=named * 2).bob.failure.code == "malformed"


@pytest.mark.parametrize("field", ["slave_sae", "master_sae"])
@pytest.mark.parametrize("value", ["sae-mallory", "sae-bob", None])
def test_keys_of_another_sae_are_not_taken(line, field: str, value: str | None) -> None:
    if (field, value) == ("slave_sae", "sae-bob"):
        return
    call = line()
    forge_terms(call, **{field: value})
    assert call.bob.failure.code in ("sae", "malformed")
    assert call.nodes.asked == ["enc sae-bob"]


def test_swapped_key_ids_give_another_mac(line) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    attempt = call.alice.machine._attempt
    spare = call.nodes.enc("sae-bob", 1)[0]
    named = (msgspec.structs.replace(attempt.terms.keys[0], key_id=spare.key_id),)
    attempt.terms = msgspec.structs.replace(attempt.terms, keys=named)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.bob.failure.code == "mac"


@pytest.mark.parametrize("state", [State.AWAIT_M2, State.AWAIT_M4])
def test_nobody_but_the_callee_can_have_quantum_keys_left_out(line, state: State) -> None:
    stop = Kind.M2 if state is State.AWAIT_M2 else Kind.M4
    call = line(relay=lambda who, count, raw: [] if raw[1] == stop else [raw]).dial()
    assert call.alice.machine.state is state
    call.deliver("alice", frame(Kind.REFUSE, Refuse(RefuseCode.QKD_FRESH)))
    assert str(call.alice.failure).startswith("somebody on the way or bob's phone says")
    assert_dead(call)


def test_a_callee_cannot_talk_a_strict_caller_out_of_quantum_keys(line) -> None:
    call = line(alice={"policy": QkdPolicy.REQUIRE})
    call.hold = {fx.FetchDecKeys}
    call.dial()
    call.bob.machine._policy = QkdPolicy.OFF
    call.bob.machine._met.m1 = msgspec.structs.replace(call.bob.machine._met.m1, policy=QkdPolicy.OFF)
    call.run("bob", call.bob.machine.qkd_failed("no-key", call.now))
    assert call.alice.failure.code == "no-peer-key"


def test_quantum_keys_are_left_out_once_and_not_in_a_circle(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"
    call.hold = {fx.NeedAnswer}
    call.dial()
    assert call.bob.machine.state is State.AWAIT_ANSWER
    again = call.bob.machine._send_boxed(Kind.SEALED_REFUSE, encode(Refuse(RefuseCode.QKD_FRESH)))
    call.deliver("alice", again.frame)
    assert call.alice.failure.code == "no-peer-key"


def test_a_caller_that_names_keys_after_it_was_asked_not_to_is_refused(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"

    def forget(who: str, count: int, raw: bytes) -> list[bytes]:
        call.alice.machine._without_qkd = None
        return [raw]

    call.relay = forget
    call.dial()
    assert call.bob.failure.code == "policy"


def test_a_callee_that_lacks_the_quantum_key_has_the_wrong_mac(line) -> None:
    call = line()
    call.hold = {fx.NeedAnswer}
    call.dial()
    call.bob.machine._mixed = Mixed(Secret(bytes(48)))
    call.run("bob", call.bob.machine.answer("v=0", call.now))
    assert call.alice.failure.code == "mac"


def test_a_callee_that_acknowledges_other_keys_is_refused(line) -> None:
    call = line()
    call.hold = {fx.NeedAnswer}
    call.dial()
    known = call.bob.machine._known
    none = msgspec.structs.replace(known.body.qkd, keys=())
    known.body = msgspec.structs.replace(known.body, qkd=none)
    call.run("bob", call.bob.machine.answer("v=0", call.now))
    assert call.alice.failure.code == "key-ids"


@pytest.mark.parametrize("state", [QkdState.ABSENT, QkdState.OFF])
def test_a_caller_that_leaves_quantum_keys_out_against_the_policy_is_refused(line, state) -> None:
    call = line(bob={"policy": QkdPolicy.REQUIRE})
    forge_terms(call, state=state, keys=(), master_sae=None, slave_sae=None)
    assert call.bob.failure.code == "policy"


def test_a_callee_that_names_the_callers_sae_gets_no_key_drawn(line) -> None:
    call = line(bob={"sae_id": "sae-alice"}).dial()
    assert call.alice.failure.code == "sae"
    assert call.nodes.asked == []


@pytest.mark.parametrize("number", [0, 2])
def test_a_key_node_that_delivers_another_number_of_keys_counts_as_none(line, number: int) -> None:
    call = line()
    call.hold = {fx.FetchEncKeys}
    call.dial()
    call.run("alice", call.alice.machine.qkd_keys(call.nodes.enc("sae-bob", number), call.now))
    assert call.bob.machine.security.qkd.reason == "bad-key"


@pytest.mark.parametrize("changes", [{"keys": ()}, {"state": QkdState.ABSENT}], ids=["no-key", "key-unused"])
def test_what_is_said_of_quantum_keys_and_what_is_named_agree(line, changes) -> None:
    """A call that says it has quantum keys and names none would be shown as protected by them."""
    assert forge_terms(line(), **changes).bob.failure.code == "malformed"


def test_a_short_key_of_the_callees_key_node_counts_as_none(line) -> None:
    call = line()
    call.hold = {fx.FetchDecKeys}
    call.dial()
    wanted = call.bob.had(fx.FetchDecKeys)[-1].key_ids
    short = [replace(key, key=Secret(bytes(31))) for key in call.nodes.dec("sae-bob", wanted)]
    call.run("bob", call.bob.machine.qkd_keys(short, call.now))
    assert call.bob.machine.security.qkd.reason == "peer-key-node"
