"""Two honest phones agree: on everything, under every suite and policy, and on nothing else."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.control import Answered, Hangup, Mute
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.states import State
from qcall.agreement.suites import Q3, Q5, available, rank
from qcall.crypto.kem import (
    CRYPTOGRAPHY,
    EFRODO_KEM_1344,
    HQC_5,
    HQC_256,
    ML_KEM_768,
    Parameters,
)
from qcall.crypto.secret import Secret

from .conftest import TWO_KEMS


def test_both_phones_confirm(line) -> None:
    call = line().dial()
    assert call.alice.agreed
    assert call.bob.agreed
    call.connect()
    assert call.alice.confirmed
    assert call.bob.confirmed
    assert call.alice.failure is call.bob.failure is None


def test_each_sends_under_the_key_the_other_receives_under(line) -> None:
    call = line().dial().connect()
    alice, bob = call.alice.srtp, call.bob.srtp
    assert alice.send == bob.receive
    assert alice.receive == bob.send
    assert alice.send != alice.receive
    assert len(alice.send) == 44


def test_no_two_calls_have_the_same_keys(line) -> None:
    one, two = line().dial().connect(), line().dial().connect()
    assert one.alice.srtp.send != two.alice.srtp.send
    assert one.alice.machine.security.transcript != two.alice.machine.security.transcript


def test_both_show_the_same_words_and_transcript(line) -> None:
    call = line().dial()
    alice, bob = (side.machine.security for side in call.sides.values())
    assert alice.words == bob.words
    assert len(alice.words) == 4
    assert alice.transcript == bob.transcript
    assert (alice.peer.name, bob.peer.name) == ("bob", "alice")
    assert alice.peer.fingerprint == call.bob.phone.identity.fingerprint
    assert bob.peer.kme_id == "kme-beijing"


def test_security_is_told_as_json_without_keys(line) -> None:
    call = line().dial().connect()
    told = json.dumps(call.bob.machine.security.as_json())
    assert json.loads(told)["qkd"]["hops"] == 4
    assert json.loads(told)["trust"] == "new"
    assert call.bob.srtp.send.reveal().hex() not in told


def test_the_offer_and_the_answer_arrive(line) -> None:
    call = line().dial()
    assert [effect.offer for effect in call.bob.had(fx.NeedAnswer)] == ["v=0\r\ns=offer\r\n"]
    assert [effect.answer for effect in call.alice.had(fx.RemoteAnswer)] == ["v=0\r\ns=answer\r\n"]


def test_the_callee_rings_only_after_sending_m4(line) -> None:
    call = line().dial()
    kinds = [type(effect) for effect in call.bob.effects]
    assert kinds == [fx.Compute, fx.Send, fx.FetchDecKeys, fx.NeedAnswer, fx.Send, fx.Agreed]


@pytest.mark.parametrize(
    ("alice", "bob", "expected"),
    [
        ((Q5, Q3), (Q5, Q3), "Q5"),
        ((Q3, Q5), (Q5, Q3), "Q5"),
        ((Q5, Q3), (Q3,), "Q3"),
        ((Q3,), (Q5, Q3), "Q3"),
    ],
)
def test_the_strongest_common_suite_is_chosen(line, alice, bob, expected: str) -> None:
    call = line(alice={"suites": alice}, bob={"suites": bob}).dial().connect()
    assert call.alice.confirmed
    assert {side.machine.security.suite for side in call.sides.values()} == {expected}


def test_the_fingerprint_is_the_same_under_both_suites(line) -> None:
    calls = [line(bob={"suites": (suite,)}).dial() for suite in (Q5, Q3)]
    assert len({call.alice.machine.security.peer.fingerprint for call in calls}) == 1


def test_phones_without_a_common_suite_say_so(line) -> None:
    call = line(alice={"suites": (Q5,)}, bob={"suites": (Q3,)}).dial()
    assert call.alice.failure.code == call.bob.failure.code == "suite"


OFF, PREFER, REQUIRE = QkdPolicy.OFF, QkdPolicy.PREFER, QkdPolicy.REQUIRE


@pytest.mark.parametrize("alice", list(QkdPolicy))
@pytest.mark.parametrize("bob", list(QkdPolicy))
def test_the_stricter_policy_holds(line, alice: QkdPolicy, bob: QkdPolicy) -> None:
    call = line(alice={"policy": alice}, bob={"policy": bob}).dial().connect()
    expected = REQUIRE if REQUIRE in (alice, bob) else PREFER if PREFER in (alice, bob) else OFF
    for side in call.sides.values():
        assert side.machine.security.policy is expected
        assert side.machine.security.qkd.state is (QkdState.OFF if expected is OFF else QkdState.PRESENT)
        assert side.confirmed
    assert call.nodes.asked == ([] if expected is OFF else ["enc sae-bob", "dec sae-bob"])


def test_a_call_on_q5_stays_under_25_kilobytes(line) -> None:
    call = line().dial()
    sdp = 2 * 2_000  # bytes of two real session descriptions with relay candidates and a data channel
    assert sum(len(frame) for side in call.sides.values() for frame in side.frames) + sdp < 25_000


def test_offer_and_keys_may_come_in_any_order(line) -> None:
    call = line()
    call.hold = {fx.NeedOffer, fx.FetchEncKeys}
    call.dial()
    assert call.alice.machine.state is State.PREPARING
    call.run("alice", call.alice.machine.qkd_keys(call.nodes.enc("sae-bob", 1), call.now))
    assert not call.bob.agreed
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.connect().alice.confirmed


def test_control_messages_arrive_after_confirmation(line) -> None:
    call = line().dial().connect()
    call.run("bob", call.bob.machine.send(Answered()))
    call.run("alice", call.alice.machine.send(Mute(on=True)))
    call.run("alice", call.alice.machine.send(Hangup("hangup")))
    assert [effect.message for effect in call.alice.had(fx.Received)] == [Answered()]
    assert [effect.message for effect in call.bob.had(fx.Received)] == [Mute(on=True), Hangup("hangup")]


def test_after_confirmation_signalling_is_ignored(line) -> None:
    call = line().dial().connect()
    for frame in (*call.alice.frames, b"\1\0\x81\xa4code\xa6failed", b"", b"x" * 70_000):
        call.deliver("bob", frame)
    assert call.bob.machine.state is State.CONFIRMED
    assert call.bob.failure is None


def test_closing_wipes_every_secret(line) -> None:
    call = line().dial().connect()
    kept = [*call.alice.machine._secrets]
    call.alice.machine.close()
    assert kept
    for secret in kept:
        assert getattr(secret, "_secret", secret).wiped
    assert call.alice.machine.receive(call.bob.frames[0], call.now) == ()


# A suite with a second KEM


def test_a_second_kem_is_cascaded_and_rekeyed(line) -> None:
    plus = {"suites": (TWO_KEMS, Q5)}
    call = line(alice=plus | {"rekey_interval": 10.0}, bob=plus).dial().connect()
    call.media()
    call.pass_time(25)
    for side in call.sides.values():
        assert side.machine.security.suite == "Q5+HQC-256"
        assert side.machine.security.as_json()["mlkem"] == "ML-KEM-1024 + ML-KEM-768"
        assert side.machine.security.epoch == 2
    assert call.alice.epochs[2].send == call.bob.epochs[2].receive


def test_a_phone_without_the_second_kem_never_negotiates_it(line) -> None:
    for alice, bob in (((TWO_KEMS, Q5), (Q5,)), ((Q5,), (TWO_KEMS, Q5))):
        call = line(alice={"suites": alice}, bob={"suites": bob}).dial().connect()
        assert call.bob.machine.security.suite == "Q5"


def test_each_kem_of_a_suite_counts(line) -> None:
    class Wrong:
        parameters = ML_KEM_768
        private = CRYPTOGRAPHY["ML-KEM-768"].private

        def encapsulate(self, public: bytes):
            ciphertext, _ = CRYPTOGRAPHY["ML-KEM-768"].encapsulate(public)
            return ciphertext, Secret(bytes(32))

    plus = {"suites": (TWO_KEMS,)}
    call = line(alice=plus, bob=plus | {"kems": {**CRYPTOGRAPHY, "ML-KEM-768": Wrong()}}).dial()
    assert call.alice.failure.code == "box"


class AsLarge:
    """Stands in for a KEM that only liboqs has: its name and its lengths, and ML-KEM-768 inside."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._kem = CRYPTOGRAPHY["ML-KEM-768"]

    def private(self, seed: Secret):
        key = self._kem.private(Secret(bytes(64)))
        public = key.public.ljust(self.parameters.public)
        short = self._kem.parameters.ciphertext
        return SimpleNamespace(public=public, decapsulate=lambda whole: key.decapsulate(whole[:short]))

    def encapsulate(self, public: bytes):
        ciphertext, shared = self._kem.encapsulate(public[: self._kem.parameters.public])
        return ciphertext.ljust(self.parameters.ciphertext), shared


@pytest.mark.parametrize("second", [HQC_5, HQC_256, EFRODO_KEM_1344])
def test_every_second_kem_fits_into_every_message(line, second: Parameters) -> None:
    kems = {**CRYPTOGRAPHY, second.name: AsLarge(second)}
    plus = {"suites": available(kems), "kems": kems, "rekey_interval": 10.0}
    call = line(alice=plus, bob=plus).dial().connect()
    call.media()
    call.pass_time(25)
    for side in call.sides.values():
        assert side.machine.security.kems == ("ML-KEM-1024", second.name)
        assert side.machine.security.epoch == 2


@pytest.mark.parametrize("second", [HQC_5, HQC_256, EFRODO_KEM_1344])
def test_a_phone_without_it_takes_a_call_that_offers_it(line, second: Parameters) -> None:
    kems = {**CRYPTOGRAPHY, second.name: AsLarge(second)}
    call = line(alice={"suites": available(kems), "kems": kems}).dial().connect()
    assert call.bob.machine.security.suite == "Q5"


def test_q5_plus_is_there_with_its_kem_and_hqc_comes_first() -> None:
    assert available(CRYPTOGRAPHY) == (Q5, Q3)
    kem, kems = CRYPTOGRAPHY["ML-KEM-768"], dict(CRYPTOGRAPHY)
    for name, suite in (
        ("eFrodoKEM-1344", "Q5+Frodo-1344"), ("HQC-256", "Q5+HQC-256"), ("HQC-5", "Q5+HQC-5")
    ):  # fmt: skip
        kems[name] = kem
        assert [each.name for each in available(kems)] == [suite, "Q5", "Q3"]
        assert rank(suite) > rank("Q5")
