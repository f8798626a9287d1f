"""Every row of PROTOCOL's failure table before media, on both roles, and every honest way to say no."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.messages import HEADER_LENGTH, Kind, Refuse, RefuseCode, decode
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.states import CLOCK_SKEW, CONFIRM_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT, OutOfTurn, State
from qcall.agreement.suites import Q3
from qcall.crypto import x25519
from qcall.crypto.kem import CRYPTOGRAPHY
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed, CallRefused, Unavailable

PREFER, REQUIRE, OFF = QkdPolicy.PREFER, QkdPolicy.REQUIRE, QkdPolicy.OFF


def refused_with(frame: bytes) -> RefuseCode:
    """The code of a refusal in clear."""
    assert frame[1] == Kind.REFUSE
    return decode(frame[HEADER_LENGTH:], Refuse).code


# Without quantum keys


def test_prefer_goes_on_without_the_callers_key_node_and_says_why(line) -> None:
    call = line()
    call.nodes.enc_failure = "key-node-unreachable"
    call.dial().connect()
    for side in call.sides.values():
        assert side.confirmed
        assert side.machine.security.qkd.state is QkdState.ABSENT
        assert side.machine.security.qkd.reason == "key-node-unreachable"


def test_prefer_begins_again_without_the_callees_key_node(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"
    call.dial().connect()
    for side in call.sides.values():
        assert side.confirmed
        assert side.machine.security.qkd.state is QkdState.ABSENT
        assert side.machine.security.qkd.reason == "peer-key-node"
    assert [frame[1] for frame in call.alice.frames] == [Kind.M1, Kind.M3, Kind.M1, Kind.M3]
    assert call.alice.machine.security.words == call.bob.machine.security.words


def test_the_second_attempt_shares_nothing_with_the_first(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"
    call.dial()
    first, second = call.alice.frames[0], call.alice.frames[2]
    windows = {first[i : i + 16] for i in range(len(first) - 16)}
    ours = {second[i : i + 16] for i in range(len(second) - 16)}
    # What is left is the encoding between the fields: nothing of 16 random bytes.
    assert all(len(set(each)) < 16 or each.isascii() or b"share" in each for each in windows & ours)
    assert call.bob.frames[0][:200] != call.bob.frames[2][:200]


@pytest.mark.parametrize("strict", ["alice", "bob"])
def test_require_refuses_without_the_callers_key_node(line, strict: str) -> None:
    call = line(**{strict: {"policy": REQUIRE}})
    call.nodes.enc_failure = "key-node-unreachable"
    call.dial()
    assert isinstance(call.alice.failure, Unavailable)
    assert "key-node-unreachable" in str(call.alice.failure)
    assert call.bob.failure.code == "qkd-required"
    assert not call.bob.agreed


@pytest.mark.parametrize("strict", ["alice", "bob"])
def test_require_refuses_without_the_callees_key_node(line, strict: str) -> None:
    call = line(**{strict: {"policy": REQUIRE}})
    call.nodes.dec_failure = "pool-empty"
    call.dial()
    assert isinstance(call.bob.failure, Unavailable)
    assert call.alice.failure.code == "qkd-required"


@pytest.mark.parametrize("without", ["alice", "bob"])
def test_a_phone_without_a_key_node_calls_without_quantum_keys(line, without: str) -> None:
    call = line(**{without: {"sae_id": None}}).dial().connect()
    assert call.bob.confirmed
    assert call.bob.machine.security.qkd.state is QkdState.ABSENT
    assert call.nodes.asked == []


def test_differing_quantum_keys_never_ring(line) -> None:
    call = line()
    call.nodes.spoil = True
    call.dial()
    assert call.bob.failure.code == "mac"
    assert call.alice.failure.code == "failed"
    assert not call.bob.agreed
    assert not call.alice.agreed


def test_a_short_quantum_key_counts_as_none(line) -> None:
    call = line()
    call.hold = {fx.FetchEncKeys}
    call.dial()
    short = [replace(key, key=Secret(bytes(31))) for key in call.nodes.enc("sae-bob", 1)]
    call.run("alice", call.alice.machine.qkd_keys(short, call.now))
    assert call.connect().bob.machine.security.qkd.reason == "bad-key"


def test_a_key_node_that_repeats_a_key_is_noticed_by_the_caller(line) -> None:
    line().dial()
    call = line(nodes=type(line().nodes)())  # the same seed: the same key IDs
    call.dial()
    assert call.alice.failure.code == "replayed-key"
    assert call.bob.failure.code == "failed"


def test_other_keys_than_asked_for_are_refused_by_the_callee(line) -> None:
    call = line()
    call.hold = {fx.FetchDecKeys}
    call.dial()
    call.run("bob", call.bob.machine.qkd_keys(call.nodes.enc("sae-bob", 1), call.now))
    assert call.bob.failure.code == "key-ids"


# Contacts


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_changed_identity_blocks_and_shows_old_and_new(line, phones, victim: str) -> None:
    stranger = "bob" if victim == "alice" else "alice"
    phones(victim).memory.pin(stranger, phones("mallory").identity.fingerprint)
    call = line().dial()
    side = call.sides[victim]
    assert side.failure.code == "identity-changed"
    assert str(phones("mallory").identity.fingerprint) in str(side.failure)
    assert str(phones(stranger).identity.fingerprint) in str(side.failure)
    peer = side.had(fx.Abort)[0].peer
    assert (peer.pinned, peer.fingerprint) == (
        phones("mallory").identity.fingerprint,
        phones(stranger).identity.fingerprint,
    )
    assert call.sides[stranger].failure.code == "failed"
    assert not call.bob.agreed


def test_the_caller_blocks_before_it_shows_itself(line, phones) -> None:
    phones("alice").memory.pin("bob", phones("mallory").identity.fingerprint)
    call = line().dial()
    assert Kind.M3 not in [frame[1] for frame in call.alice.frames]


def test_no_quantum_key_is_spent_on_a_changed_identity(line, phones) -> None:
    phones("bob").memory.pin("alice", phones("mallory").identity.fingerprint)
    call = line().dial()
    assert call.nodes.asked == ["enc sae-bob"]


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_contacts_are_pinned_or_verified(line, phones, victim: str) -> None:
    stranger = "bob" if victim == "alice" else "alice"
    memory = phones(victim).memory
    memory.pin(stranger, phones(stranger).identity.fingerprint)
    assert line().dial().sides[victim].machine.security.peer.status == "pinned"
    memory.set_verified(stranger, True)
    assert line().dial().sides[victim].machine.security.peer.status == "verified"


# What was there before stays


@pytest.mark.parametrize("victim", ["alice", "bob"])
@pytest.mark.parametrize("policy", [PREFER, OFF])
def test_quantum_keys_once_seen_are_required_from_then_on(line, phones, victim: str, policy) -> None:
    stranger = "bob" if victim == "alice" else "alice"
    memory = phones(victim).memory
    memory.pin(stranger, phones(stranger).identity.fingerprint)
    memory.saw(stranger, suite="Q3", qkd=True)
    call = line(**{victim: {"policy": policy}})
    call.nodes.enc_failure = "key-node-unreachable"
    call.dial()
    assert not call.bob.agreed
    allowed = line(**{victim: {"policy": policy, "allow_less": True}})
    allowed.nodes.enc_failure = "key-node-unreachable"
    allowed.dial()
    assert allowed.bob.agreed


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_stronger_suite_once_seen_is_required_from_then_on(line, phones, victim: str) -> None:
    stranger = "bob" if victim == "alice" else "alice"
    memory = phones(victim).memory
    memory.pin(stranger, phones(stranger).identity.fingerprint)
    memory.saw(stranger, suite="Q5", qkd=False)
    call = line(**{stranger: {"suites": (Q3,)}}).dial()
    assert {call.alice.failure.code, call.bob.failure.code} == {"suite"}
    allowed = line(**{stranger: {"suites": (Q3,)}, victim: {"allow_less": True}}).dial()
    assert allowed.bob.agreed


def test_a_phone_that_can_only_do_less_says_so_before_sending(line, phones) -> None:
    memory = phones("alice").memory
    memory.pin("bob", phones("bob").identity.fingerprint)
    memory.saw("bob", suite="Q5", qkd=False)
    call = line(alice={"suites": (Q3,)}).dial()
    assert call.alice.failure.code == "downgrade"
    assert call.alice.frames == []


# Saying no


@pytest.mark.parametrize("code", [RefuseCode.BUSY, RefuseCode.OFFLINE, RefuseCode.TRY_LATER])
def test_a_refusal_in_clear_ends_the_attempt(line, code: RefuseCode) -> None:
    call = line(relay=lambda sender, number, frame: [])
    call.dial()
    call.deliver("bob", b"\1\0" + b"\x81\xa4code" + bytes([0xA0 + len(code)]) + code.encode())
    call.deliver("alice", b"\1\0" + b"\x81\xa4code" + bytes([0xA0 + len(code)]) + code.encode())
    assert isinstance(call.alice.failure, CallRefused)
    assert call.alice.failure.code == code
    assert call.alice.had(fx.Abort)[0].peer is None


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_declining_while_it_rings_is_told_under_seal(line, who: str) -> None:
    call = line().dial()
    code = RefuseCode.DECLINED if who == "bob" else RefuseCode.CANCELLED
    call.run(who, call.sides[who].machine.refuse(code))
    peer = call.bob if who == "alice" else call.alice
    assert peer.failure.code == code
    assert peer.had(fx.Abort)[0].peer is not None
    assert call.sides[who].frames[-1][1] == Kind.SEALED_REFUSE


def test_a_malformed_m1_is_refused_in_clear(line) -> None:
    call = line()
    call.deliver("bob", b"\1\1\xc1")
    assert refused_with(call.bob.frames[-1]) is RefuseCode.FAILED


@pytest.mark.parametrize(("version", "who"), [(2, "this phone"), (0, "the other phone")])
def test_another_version_says_which_side_to_update(line, version: int, who: str) -> None:
    call = line(relay=lambda sender, number, frame: [bytes([version]) + frame[1:]] if frame[1] else [frame])
    call.dial()
    assert call.bob.failure.code == call.alice.failure.code == "version"
    assert f"update {who}" in str(call.bob.failure)
    assert refused_with(call.bob.frames[0]) is RefuseCode.VERSION


@pytest.mark.parametrize("skew", [-CLOCK_SKEW - 1, CLOCK_SKEW + 1])
def test_clocks_that_differ_are_named(line, skew: int) -> None:
    call = line()
    call.callee_unix += skew
    call.dial()
    assert call.bob.failure.code == call.alice.failure.code == "clock"
    assert "clock" in str(call.alice.failure)


def test_clocks_may_differ_a_little(line) -> None:
    call = line()
    call.callee_unix += CLOCK_SKEW - 1
    assert call.dial().alice.agreed


# Silence


def test_a_silent_callee_times_out(line) -> None:
    call = line(relay=lambda sender, number, frame: [])
    call.dial().wait(HANDSHAKE_LIMIT - 1)
    assert call.alice.failure is None
    call.wait(1)
    assert call.alice.failure.code == "timeout"


def test_a_silent_caller_times_out(line) -> None:
    call = line(relay=lambda sender, number, frame: [frame] if frame[1] == Kind.M1 else [])
    call.dial().wait(HANDSHAKE_LIMIT)
    assert call.bob.failure.code == "timeout"


def test_a_lost_second_attempt_does_not_get_a_second_limit(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"
    call.relay = lambda sender, number, frame: [] if (sender, number) == ("alice", 2) else [frame]
    call.dial().wait(HANDSHAKE_LIMIT)
    assert call.alice.failure.code == call.bob.failure.code == "timeout"


def test_dtls_that_never_comes_up_times_out(line) -> None:
    call = line().dial()
    call.wait(MEDIA_LIMIT)
    assert call.alice.failure.code == "timeout"


@pytest.mark.parametrize("mute", ["alice", "bob"])
def test_no_confirmation_within_five_seconds_of_dtls_hangs_up(line, mute: str) -> None:
    call = line().dial()
    call.hold = {fx.SendControl}
    call.connect()
    call.wait(CONFIRM_LIMIT - 0.01)
    assert call.alice.failure is None
    call.wait(0.01)
    assert call.alice.failure.code == call.bob.failure.code == "no-confirmation"
    assert not call.alice.confirmed
    assert not call.bob.confirmed


# A wrong secret in any one layer


@pytest.mark.parametrize("wrong", ["alice", "bob"])
def test_a_wrong_dtls_secret_never_confirms(line, wrong: str) -> None:
    call = line()
    call.exporter_bits[wrong] = 1
    call.dial().connect()
    assert not call.alice.confirmed
    assert not call.bob.confirmed
    assert {call.alice.failure.code, call.bob.failure.code} & {"box", "confirmation"}


class WrongKem:
    """ML-KEM with one bit of the shared secret wrong, on one side."""

    def __init__(self) -> None:
        self.parameters = CRYPTOGRAPHY["ML-KEM-1024"].parameters

    def private(self, seed: Secret):
        key = CRYPTOGRAPHY["ML-KEM-1024"].private(seed)
        return type(
            "Wrong", (), {"public": key.public, "decapsulate": lambda _, c: flip(key.decapsulate(c))}
        )()

    def encapsulate(self, public: bytes):
        ciphertext, shared = CRYPTOGRAPHY["ML-KEM-1024"].encapsulate(public)
        return ciphertext, flip(shared)


def flip(secret: Secret) -> Secret:
    raw = bytearray(secret.reveal())
    raw[-1] ^= 1
    return Secret(raw)


@pytest.mark.parametrize("wrong", ["alice", "bob"])
def test_a_wrong_kem_secret_never_confirms(line, wrong: str) -> None:
    call = line(**{wrong: {"kems": {**CRYPTOGRAPHY, "ML-KEM-1024": WrongKem()}}}).dial().connect()
    assert call.alice.failure.code == "box"
    assert not call.bob.agreed


def test_a_wrong_x25519_secret_never_confirms(line, monkeypatch) -> None:
    real = x25519.KeyPair.exchange
    call = line()
    call.hold = {fx.NeedOffer}
    call.relay = lambda sender, number, frame: [frame] if sender == "alice" else []
    call.dial()
    monkeypatch.setattr(x25519.KeyPair, "exchange", lambda pair, peer: flip(real(pair, peer)))
    call.deliver("alice", call.bob.frames[0])
    assert call.alice.failure.code == "box"
    assert not call.bob.agreed


# The driver's own faults


def test_the_driver_is_told_when_it_is_out_of_turn(line) -> None:
    call = line().dial()
    for fault in (
        lambda: call.alice.machine.start(call.now),
        lambda: call.alice.machine.offer("again", call.now),
        lambda: call.bob.machine.answer("again", call.now),
        lambda: call.alice.machine.channel_open(call.now),
        lambda: call.alice.machine.send(None),
    ):
        with pytest.raises(OutOfTurn):
            fault()
    call.connect()
    with pytest.raises(OutOfTurn):
        _ = call.alice.machine.exporter_context
    with pytest.raises(OutOfTurn):
        call.alice.machine.exporter(Secret(bytes(48)), call.now)


def test_late_answers_of_a_key_node_change_nothing(line) -> None:
    call = line().dial()
    assert call.alice.machine.qkd_failed("late", call.now) == ()
    assert call.bob.machine.qkd_keys(call.nodes.enc("sae-bob", 1), call.now) == ()
    assert call.bob.machine.state is State.AGREED


def test_an_offer_too_large_to_be_accepted_fails_here_and_not_there(line) -> None:
    call = line()
    call.hold = {fx.NeedOffer}
    call.dial()
    call.run("alice", call.alice.machine.offer("v" * 20_000, call.now))
    assert isinstance(call.alice.failure, AgreementFailed)
    assert call.alice.failure.code == "malformed"
    assert not call.alice.frames[1:] or call.alice.frames[1][1] == Kind.SEALED_REFUSE
