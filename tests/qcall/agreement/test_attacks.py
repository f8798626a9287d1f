"""A relay that does as it likes, and peers that lie: nobody ever confirms a call that was touched."""

from __future__ import annotations

import logging
import os
import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcall.agreement import callee
from qcall.agreement import effects as fx
from qcall.agreement.control import Answered, Confirm, Mute
from qcall.agreement.messages import HEADER_LENGTH, M1, M2, Kind, M2Clear, Refuse, RefuseCode, encode, frame
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.schedule import Mixed
from qcall.agreement.states import CONFIRM_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT, State
from qcall.agreement.suites import Q3, Q5, Suite
from qcall.crypto.identity import Identity
from qcall.crypto.secret import Secret

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
FLIPS = 25
"""Bytes tried of every message in the ordinary profile; ``QCALL_TEST_PROFILE=nightly`` tries them all."""
UPWARDS = [("alice", 0), ("bob", 0), ("alice", 1), ("bob", 1)]
LOW_ORDER = bytes(32), b"\1" + bytes(31)


def touch(sender: str, number: int, change):
    """A relay that does ``change`` to one message."""
    return lambda who, count, raw: change(raw) if (who, count) == (sender, number) else [raw]


def edit(model, **changes):
    """Re-encode a clear message with other fields."""

    def change(raw: bytes) -> list[bytes]:
        message = msgspec.msgpack.decode(raw[HEADER_LENGTH:], type=model)
        return [frame(Kind(raw[1]), msgspec.structs.replace(message, **changes))]

    return change


def edit_m2_clear(**changes):
    def change(raw: bytes) -> list[bytes]:
        m2 = msgspec.msgpack.decode(raw[HEADER_LENGTH:], type=M2)
        clear = msgspec.structs.replace(msgspec.msgpack.decode(m2.clear, type=M2Clear), **changes)
        return [frame(Kind.M2, M2(encode(clear), m2.box))]

    return change


def assert_dead(call) -> None:
    """Both phones aborted, neither confirmed, whatever it takes to find out."""
    call.connect()
    for limit in (HANDSHAKE_LIMIT, MEDIA_LIMIT, CONFIRM_LIMIT):
        call.wait(limit)
    for side in call.sides.values():
        assert not side.confirmed
        assert side.machine is None or side.machine.state is State.ENDED


# In the middle


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


# Sent elsewhere


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


def test_a_call_reflected_to_its_caller_ends(line) -> None:
    call = line(bob={"identity": line().alice.phone.identity}).dial()
    assert call.alice.failure.code == "reflection"
    assert_dead(call)


def test_the_callers_own_share_is_not_taken_back(line) -> None:
    call = line()
    call.relay = lambda who, count, raw: (
        edit_m2_clear(share=msgspec.msgpack.decode(call.alice.frames[0][2:], type=M1).share)(raw)
        if raw[1] == Kind.M2
        else [raw]
    )
    call.dial()
    assert call.alice.failure.code == "reflection"


@pytest.mark.parametrize(("sender", "number"), UPWARDS)
def test_a_message_reflected_to_its_sender_ends_the_call(line, sender: str, number: int) -> None:
    call = line()

    def mirror(who: str, count: int, raw: bytes) -> list[bytes]:
        if (who, count) == (sender, number):
            call.deliver(sender, raw)
            return []
        return [raw]

    call.relay = mirror
    call.dial()
    assert call.sides[sender].failure.code == "out-of-turn"
    assert_dead(call)


# Again


def test_a_replayed_m1_is_known_after_a_restart(line) -> None:
    first = line().dial().connect()
    after = line(bob={"restart": True})
    after.deliver("bob", first.alice.frames[0])
    assert after.bob.failure.code == "replayed-call"


def test_a_recorded_call_cannot_be_played_to_a_phone_that_forgot(line, tmp_path) -> None:
    recorded = line().dial()
    for file in tmp_path.glob("bob.db*"):
        file.unlink()
    after = line(bob={"restart": True})
    for raw in recorded.alice.frames:
        after.deliver("bob", raw)
    assert after.bob.failure.code == "box"


@pytest.mark.parametrize(("sender", "number"), UPWARDS)
def test_a_duplicated_message_ends_the_call(line, sender: str, number: int) -> None:
    call = line(relay=touch(sender, number, lambda raw: [raw, raw])).dial()
    assert_dead(call)


def forge_terms(call, **changes):
    """A caller that signs other terms than it should."""
    call.hold = {fx.NeedOffer}
    call.dial()
    attempt = call.alice.machine._attempt
    attempt.terms = msgspec.structs.replace(attempt.terms, **changes)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    return call


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


# Less


@pytest.mark.parametrize(
    "changes",
    [
        {"suites": ("Q3",)},
        {"suites": ("Q5",)},
        {"suites": ("Q3", "Q5")},
        {"policy": QkdPolicy.OFF},
        {"policy": QkdPolicy.REQUIRE},
        {"time": 1_790_000_001},
        {"call_id": bytes(16)},
        {"commitment": bytes(48)},
        {"share": b"\x09" + bytes(31)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_in_m1_can_be_changed(line, changes) -> None:
    call = line(relay=touch("alice", 0, edit(M1, **changes))).dial()
    assert not call.alice.agreed
    assert not call.bob.agreed
    assert_dead(call)


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": "Q3"},
        {"suite": "Q1"},
        {"policy": QkdPolicy.OFF},
        {"policy": QkdPolicy.REQUIRE},
        {"nonce": bytes(32)},
        {"share": b"\x09" + bytes(31)},
        {"ciphertexts": (bytes(1568),)},
        {"ciphertexts": (bytes(1567),)},
        {"ciphertexts": (bytes(1568), bytes(1568))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_in_the_clear_part_of_m2_can_be_changed(line, changes) -> None:
    call = line(relay=touch("bob", 0, edit_m2_clear(**changes))).dial()
    assert not call.alice.agreed
    assert_dead(call)


@pytest.mark.parametrize("point", LOW_ORDER, ids=["zero", "one"])
def test_points_of_low_order_are_refused(line, point: bytes) -> None:
    call = line(relay=touch("alice", 0, edit(M1, share=point))).dial()
    assert call.bob.failure.code == "x25519-low-order"
    call = line(relay=touch("bob", 0, edit_m2_clear(share=point))).dial()
    assert call.alice.failure.code == "x25519-low-order"


def test_a_kem_ciphertext_that_was_touched_surfaces_as_an_abort(line) -> None:
    def flip(raw: bytes) -> list[bytes]:
        clear = msgspec.msgpack.decode(msgspec.msgpack.decode(raw[2:], type=M2).clear, type=M2Clear)
        (ciphertext,) = clear.ciphertexts
        return edit_m2_clear(ciphertexts=(bytes([ciphertext[0] ^ 1]) + ciphertext[1:],))(raw)

    call = line(relay=touch("bob", 0, flip)).dial()
    assert call.alice.failure.code == "box"
    assert_dead(call)


@pytest.mark.parametrize("state", [State.AWAIT_M2, State.AWAIT_M4])
def test_nobody_but_the_callee_can_have_quantum_keys_left_out(line, state: State) -> None:
    stop = Kind.M2 if state is State.AWAIT_M2 else Kind.M4
    call = line(relay=lambda who, count, raw: [] if raw[1] == stop else [raw]).dial()
    assert call.alice.machine.state is state
    call.deliver("alice", frame(Kind.REFUSE, Refuse(RefuseCode.QKD_FRESH)))
    assert call.alice.failure.code == "no-peer-key"
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


# Peers that lie in what they sign


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


def test_a_suite_that_was_not_offered_is_not_taken_though_its_kem_was(line, monkeypatch) -> None:
    between = Suite("Q4", 4, Q5.kems, Q5.scheme)
    monkeypatch.setattr(callee, "choose", lambda *_: between)
    call = line().dial()
    assert call.alice.failure.code == "suite-not-offered"


# Any bit, any order, any length


def flipped(raw: bytes, place: int, chance: random.Random) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 1 << chance.randrange(8)]) + raw[place + 1 :]


@pytest.mark.parametrize(("sender", "number"), UPWARDS)
def test_one_flipped_bit_anywhere_ends_the_call_on_both_phones(line, sender: str, number: int) -> None:
    length = len(line().dial().sides[sender].frames[number])
    chance = random.Random(f"{sender} {number}")
    edges = {0, 1, 2, 3, length - 1}
    places = range(length) if NIGHTLY else sorted(edges | set(chance.sample(range(length), FLIPS)))
    for place in places:
        call = line(relay=touch(sender, number, lambda raw, at=place: [flipped(raw, at, chance)]))
        call.dial()
        assert not (call.alice.agreed and call.bob.agreed), place
        assert_dead(call)


@pytest.mark.parametrize("sender", ["alice", "bob"])
def test_one_flipped_bit_in_a_confirmation_ends_the_call(line, sender: str) -> None:
    chance = random.Random(sender)
    length = len(line().dial().connect().sides[sender].had(fx.SendControl)[0].data)
    for place in range(length) if NIGHTLY else chance.sample(range(length), 12):
        call = line().dial()
        call.hold = {fx.SendControl}
        call.connect()
        receiver = call.bob if sender == "alice" else call.alice
        touched = flipped(call.sides[sender].had(fx.SendControl)[0].data, place, chance)
        call.run(receiver.phone.name, receiver.machine.control_received(touched, call.now))
        assert receiver.failure.code in ("box", "control")
        assert not receiver.confirmed


@pytest.mark.parametrize(("sender", "number"), UPWARDS)
@pytest.mark.parametrize("cut", [0, 1, 2, 3, 40, -40, -1])
def test_a_truncated_message_ends_the_call(line, sender: str, number: int, cut: int) -> None:
    assert_dead(line(relay=touch(sender, number, lambda raw: [raw[:cut]])).dial())


@pytest.mark.parametrize(("sender", "number"), UPWARDS)
@pytest.mark.parametrize("more", [1, 70_000])
def test_a_message_with_more_behind_it_ends_the_call(line, sender: str, number: int, more: int) -> None:
    assert_dead(line(relay=touch(sender, number, lambda raw: [raw + bytes(more)])).dial())


@settings(
    max_examples=400 if NIGHTLY else 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_order_of_messages_ends_or_succeeds_and_never_hangs(line, data: st.DataObject) -> None:
    held: list[tuple[str, bytes]] = []

    def hoard(who: str, count: int, raw: bytes) -> list[bytes]:
        held.append((who, raw))
        return []

    call = line(relay=hoard).dial()
    for _ in range(10):
        if not held:
            break
        who, raw = held[data.draw(st.integers(0, len(held) - 1))]
        if data.draw(st.booleans()):
            held.remove((who, raw))
        to = ("bob" if who == "alice" else "alice") if data.draw(st.integers(0, 4)) else who
        call.deliver(to, raw)
    call.connect()
    for limit in (HANDSHAKE_LIMIT, MEDIA_LIMIT, CONFIRM_LIMIT):
        call.wait(limit)
    ends = [side.machine.state for side in call.sides.values() if side.machine is not None]
    assert set(ends) <= {State.ENDED, State.CONFIRMED}
    if State.CONFIRMED in ends:
        assert call.alice.srtp.send == call.bob.srtp.receive


@given(raw=st.binary(max_size=200), kind=st.sampled_from(list(Kind)), known=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_ends_a_call_and_raises_nothing(line, raw: bytes, kind: Kind, known: bool) -> None:
    call = line()
    call.deliver("bob", (bytes([1, kind]) if known else b"") + raw)
    assert call.bob.failure is not None


# The control channel


def test_control_messages_cannot_be_replayed_reflected_or_left_out(line) -> None:
    def fresh():
        call = line().dial().connect()
        call.hold = {fx.SendControl}
        return call

    call = fresh()
    call.run("bob", call.alice.machine.control_received(call.bob.control[0], call.now))
    assert call.alice.machine.state is State.ENDED

    call = fresh()
    (sent,) = call.alice.machine.send(Mute(on=True))
    (back,) = call.bob.machine.send(Answered())
    assert call.alice.machine.control_received(sent.data, call.now)[-1].failure.code == "box"
    assert back.data != sent.data

    call = fresh()
    call.bob.machine.send(Answered())
    (second,) = call.bob.machine.send(Answered())
    assert call.alice.machine.control_received(second.data, call.now)[-1].failure.code == "control"


def test_nothing_is_listened_to_before_the_confirmation(line) -> None:
    call = line().dial()
    call.hold = {fx.SendControl}
    call.connect()
    call.bob.machine._root = None  # a bob who skips his confirmation
    skipped = call.bob.machine._control.seal(Answered())
    effects = call.alice.machine.control_received(skipped, call.now)
    assert isinstance(effects[-1], fx.Abort)
    assert not call.alice.confirmed


def test_a_wrong_confirmation_under_right_keys_ends_the_call(line) -> None:
    call = line().dial()
    call.hold = {fx.SendControl}
    call.connect()
    wrong = call.bob.machine
    wrong._control._send.number = 0  # takes back what it sent
    call.run("alice", call.alice.machine.control_received(wrong._control.seal(Confirm(bytes(48))), call.now))
    assert call.alice.failure.code == "confirmation"


def test_a_second_confirmation_ends_the_call(line) -> None:
    call = line().dial().connect()
    again = call.bob.machine._control.seal(Confirm(bytes(48)))
    call.run("alice", call.alice.machine.control_received(again, call.now))
    assert call.alice.failure.code == "out-of-turn"


def test_control_bytes_before_dtls_end_the_call(line) -> None:
    call = line().dial()
    effects = call.alice.machine.control_received(bytes(60), call.now)
    assert effects[-1].failure.code == "out-of-turn"


# Nothing is told


def test_the_peer_learns_one_code_whatever_was_wrong(line) -> None:
    told = set()
    for relay in (
        touch("alice", 1, lambda raw: [raw[:-1]]),
        touch("alice", 1, lambda raw: [flipped(raw, 500, random.Random(1))]),
        touch("alice", 1, lambda raw: [raw[:1] + b"\4" + raw[2:]]),
    ):
        call = line(relay=relay).dial()
        assert call.bob.failure.code != "failed"
        told.add((call.alice.failure.code, str(call.alice.failure)))
    assert len(told) == 1


def test_no_secret_shows_in_reprs_effects_errors_or_logs(line, monkeypatch, caplog) -> None:
    seen: list[bytes] = []
    init = Secret.__init__

    def watched(self: Secret, value: bytes) -> None:
        seen.append(bytes(value))
        init(self, value)

    monkeypatch.setattr(Secret, "__init__", watched)
    with caplog.at_level(logging.DEBUG):
        good = line().dial().connect()
        bad = line(relay=touch("alice", 1, lambda raw: [flipped(raw, 500, random.Random(1))])).dial()
    shown = caplog.text
    for call in (good, bad):
        for side in call.sides.values():
            shown += repr(side.effects) + repr(vars(side.machine)) + repr(side.phone) + str(side.failure)
    secrets = {secret for secret in seen if len(secret) >= 12}
    assert len(secrets) > 30
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_downgrade_to_q3_needs_q3_on_both_phones(line) -> None:
    call = line(alice={"suites": (Q5,)}, bob={"suites": (Q5, Q3)})
    call.relay = touch("alice", 0, edit(M1, suites=("Q3",)))
    call.dial()
    assert call.bob.failure.code == "malformed"
    assert_dead(call)
