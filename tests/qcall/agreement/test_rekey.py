"""Rekeying: both phones move together, a stolen root heals, and whatever goes wrong is noticed."""

from __future__ import annotations

import pytest

from qcall.agreement import effects as fx
from qcall.agreement import schedule
from qcall.agreement.control import Mute, Rekey1, Rekey2, Rekey2Body, Rekey3, SignaturePair
from qcall.agreement.messages import encode
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.rekey import EPOCH_GRACE, GRACE_INTERVALS, LONGEST_INTERVAL, OLD_EPOCH, SIGN_EVERY, STALE
from qcall.agreement.rekey_caller import ATTEMPT_LIMIT, FAILURES
from qcall.agreement.states import State
from qcall.agreement.suites import Q3
from qcall.crypto.kdf import mac
from qcall.crypto.secret import Secret
from qcall.records.store import Records

OFTEN = {"rekey_interval": 10.0}
REQUIRE, OFF = QkdPolicy.REQUIRE, QkdPolicy.OFF


def talking(line, **options):
    """A call with media whose caller rekeys every 10 s ± 10 %."""
    call = line(alice=OFTEN | options.pop("alice", {}), **options).dial().connect()
    call.media()
    return call


def assert_together(call, epoch: int) -> None:
    alice, bob = call.alice.machine.security, call.bob.machine.security
    assert alice.epoch == bob.epoch == call.alice.sending == call.bob.sending == epoch
    assert call.alice.epochs[epoch].send == call.bob.epochs[epoch].receive
    assert call.alice.epochs[epoch].receive == call.bob.epochs[epoch].send


@pytest.mark.parametrize("suites", [None, (Q3,)])
def test_both_phones_move_to_the_next_epoch(line, suites) -> None:
    call = talking(line, bob={"suites": suites} if suites else {})
    call.pass_time(8.9)
    assert_together(call, 0)
    call.pass_time(2.2)
    assert_together(call, 1)
    assert call.alice.failure is call.bob.failure is None


def test_every_epoch_has_other_keys_and_another_quantum_key(line) -> None:
    call = talking(line)
    call.pass_time(60)
    sends = {call.alice.srtp.send.reveal()}
    for effect in call.alice.had(fx.StageEpoch):
        sends.add(effect.keys.send.reveal())
        sends.add(effect.keys.receive.reveal())
    assert len(sends) == 1 + 2 * call.alice.machine.security.epoch > 8
    ids = [key for effect in call.bob.had(fx.Rekeyed) for key in effect.security.qkd.key_ids]
    assert len(ids) == len(set(ids)) == call.bob.machine.security.epoch


def test_the_interval_is_kept_within_ten_per_cent(line) -> None:
    call = line(alice={"rekey_interval": 60.0}).dial().connect()
    begun = call.now
    while not call.alice.machine.security.epoch:
        call.pass_time(0.5, step=0.5)
    assert 53.5 <= call.now - begun <= 66.5


def test_nothing_is_rekeyed_before_there_is_media(line) -> None:
    call = line(alice=OFTEN).dial().connect()
    for _ in range(10):
        call.wait(STALE / 2)
    assert call.alice.machine.security.epoch == 0
    assert call.alice.failure is call.bob.failure is None


def test_receiving_is_staged_before_the_peer_may_send(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    before = len(call.alice.effects), len(call.bob.effects)
    call.pass_time(11)
    (rk1,) = [effect.data for effect in call.alice.effects[before[0] :] if isinstance(effect, fx.SendControl)]
    call.run("bob", call.bob.machine.control_received(rk1, call.now))
    assert 1 in call.bob.epochs
    assert call.bob.sending == 0
    rk2 = call.bob.had(fx.SendControl)[-1].data
    call.run("alice", call.alice.machine.control_received(rk2, call.now))
    assert 1 in call.alice.epochs
    assert call.alice.sending == 1
    kinds = [type(effect) for effect in call.alice.effects[-4:]]
    assert kinds == [fx.StageEpoch, fx.SendControl, fx.SwitchEpoch, fx.Rekeyed]


def test_the_work_of_kems_is_left_to_others(line) -> None:
    """Key pairs, encapsulation, decapsulation: nothing is said before each of them is done."""
    call = talking(line)
    call.hold = {fx.Compute}
    call.pass_time(11)
    for side, other, epochs in (
        (call.alice, call.bob, 0),
        (call.bob, call.alice, 0),
        (call.alice, call.bob, 1),
    ):
        assert isinstance(side.effects[-1], fx.Compute)
        assert len(call.alice.had(fx.StageEpoch)) == 0
        assert len(call.bob.had(fx.StageEpoch)) == epochs
        said = len(side.control), len(other.control)
        call.pass_time(3)
        assert (len(side.control), len(other.control)) == said
        call.run(side.phone.name, side.machine.computed(side.effects[-1].job(), call.now))
        assert len(side.control) == said[0] + 1
    assert_together(call, 1)


def test_what_is_said_while_kems_are_at_work_is_heard(line) -> None:
    call = talking(line)
    call.hold = {fx.Compute}
    call.pass_time(11)
    call.run("alice", call.alice.machine.send(Mute(True)))
    assert call.bob.had(fx.Received) == [fx.Received(Mute(True))]
    call.hold = set()
    call.run("alice", call.alice.machine.computed(call.alice.had(fx.Compute)[-1].job(), call.now))
    assert_together(call, 1)


def test_the_old_epoch_is_kept_five_seconds_after_both_moved(line) -> None:
    call = talking(line)
    call.pass_time(12)
    assert set(call.alice.epochs) == {0, 1}
    call.pass_time(OLD_EPOCH)
    for side in call.sides.values():
        assert set(side.epochs) == {1}
        assert side.had(fx.RetireEpoch) == [fx.RetireEpoch(0)]


def test_the_old_root_is_wiped(line) -> None:
    call = talking(line)
    roots = [side.machine._root for side in call.sides.values()]
    call.pass_time(12)
    assert all(root._secret.wiped for root in roots)


def test_a_rekey_waits_for_media_that_is_near_its_wrap(line) -> None:
    call = talking(line)
    for _ in range(60):
        call.wait(1.0)
        call.alice.machine.epochs_in_use(call.alice.sending, 0, call.now)  # bob still sends epoch 0
    assert call.alice.machine.security.epoch == 1
    call.pass_time(30)
    assert call.alice.machine.security.epoch > 1


def test_control_messages_cross_in_every_moment_of_a_rekey(line) -> None:
    call = talking(line)
    for _ in range(40):
        call.pass_time(1)
        for name in ("alice", "bob"):
            call.run(name, call.sides[name].machine.send(Mute(on=True)))
    assert len(call.alice.had(fx.Received)) == len(call.bob.had(fx.Received)) == 40
    assert call.alice.machine.security.epoch >= 3


def crossing(line, delay_alice: int, delay_bob: int):
    """A control channel with delay in both directions, ordered as SCTP is."""
    call = talking(line)
    call.hold = {fx.SendControl}
    queues = {"alice": [], "bob": []}
    taken = {name: len(side.effects) for name, side in call.sides.items()}
    for tick in range(60):
        call.pass_time(1)
        for name, peer, delay in (("alice", "bob", delay_alice), ("bob", "alice", delay_bob)):
            side = call.sides[name]
            new = [e.data for e in side.effects[taken[name] :] if isinstance(e, fx.SendControl)]
            taken[name] = len(side.effects)
            call.run(name, ())
            queues[name] += [(tick + delay, data) for data in new]
            while queues[name] and queues[name][0][0] <= tick:
                data = queues[name].pop(0)[1]
                call.run(peer, call.sides[peer].machine.control_received(data, call.now))
            if tick % 3 == 0:
                call.run(name, side.machine.send(Mute(on=bool(tick % 2))))
    return call


@pytest.mark.parametrize("delays", [(0, 0), (3, 1), (1, 4), (7, 7)])
def test_rekeys_survive_delay(line, delays) -> None:
    call = crossing(line, *delays)
    assert call.alice.failure is call.bob.failure is None
    assert call.alice.machine.security.epoch >= 2


def test_the_first_epoch_and_every_tenth_after_it_are_signed_by_both(line, monkeypatch) -> None:
    call = talking(line)
    seen = []
    for side in call.sides.values():
        control = side.machine._control
        seal = control.seal
        monkeypatch.setattr(control, "seal", lambda m, seal=seal: seen.append(m) or seal(m))
    while call.alice.machine.security.epoch < 2 * SIGN_EVERY + 1:
        call.pass_time(5)
    first = {message.epoch: n for n, message in enumerate(seen) if isinstance(message, Rekey1)}
    for epoch, place in first.items():
        signed = [m.signature is not None for m in seen[place : place + 3] if isinstance(m, Rekey2 | Rekey3)]
        assert signed == [epoch % SIGN_EVERY == 1] * 2


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


# Quantum keys come and go


def test_losing_quantum_keys_shows_on_both_phones_within_an_interval_and_so_does_their_return(line) -> None:
    for failing in ("enc_failure", "dec_failure"):
        call = talking(line)
        call.pass_time(12)
        setattr(call.nodes, failing, "link-cut")
        call.pass_time(13)
        for side in call.sides.values():
            assert side.had(fx.Rekeyed)[-1].security.qkd.state is QkdState.ABSENT
            assert "link-cut" in side.had(fx.Rekeyed)[-1].security.qkd.reason
        setattr(call.nodes, failing, None)
        call.pass_time(13)
        for side in call.sides.values():
            assert side.had(fx.Rekeyed)[-1].security.qkd.state is QkdState.PRESENT
        assert_together(call, call.alice.sending)


def test_quantum_keys_may_join_a_call_that_began_without(line) -> None:
    call = line(alice=OFTEN)
    call.nodes.enc_failure = "pool-empty"
    call.dial().connect()
    call.nodes.enc_failure = None
    call.pass_time(12)
    assert call.bob.machine.security.qkd.state is QkdState.PRESENT
    assert call.bob.machine.security.qkd.hops == 4


def test_with_quantum_keys_off_rekeys_use_none(line) -> None:
    call = talking(line, alice={"policy": OFF}, bob={"policy": OFF})
    call.pass_time(25)
    assert call.nodes.asked == []
    assert_together(call, 2)


@pytest.mark.parametrize("strict", ["alice", "bob"])
@pytest.mark.parametrize("failing", ["enc_failure", "dec_failure"])
def test_under_require_a_call_without_new_quantum_keys_ends(line, strict: str, failing: str) -> None:
    call = line(alice=OFTEN | ({"policy": REQUIRE} if strict == "alice" else {}),
                bob={"policy": REQUIRE} if strict == "bob" else {}).dial().connect()  # fmt: skip
    setattr(call.nodes, failing, "link-cut")
    call.pass_time(30)
    for side in call.sides.values():
        warnings = side.had(fx.RekeyFailing)
        assert warnings
        assert "link-cut" in warnings[0].reason
        assert call.now - 20 < warnings[0].ends_at < call.now + EPOCH_GRACE
    assert not call.alice.had(fx.Rekeyed)
    call.pass_time(GRACE_INTERVALS * 10)
    assert call.alice.failure.code == "rekey"
    assert call.alice.machine.state is State.ENDED
    assert [effect.message.reason for effect in call.bob.had(fx.Received)] == ["failed"]


def test_an_epoch_is_kept_for_five_intervals_and_never_beyond_five_minutes(line) -> None:
    for interval, grace in ((5.0, 25.0), (60.0, 300.0), (LONGEST_INTERVAL, 300.0)):
        call = line(alice={"rekey_interval": interval, "policy": REQUIRE}).dial().connect()
        assert call.alice.machine._rekey._grace == grace


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_phone_that_cannot_open_what_comes_gets_new_keys_at_once(line, who: str) -> None:
    call = line(alice={"rekey_interval": LONGEST_INTERVAL}).dial().connect()
    call.media()
    call.pass_time(6)
    assert_together(call, 0)
    call.run(who, call.sides[who].machine.renew(call.now))
    call.pass_time(2)
    assert_together(call, 1)
    call.run(who, call.sides[who].machine.renew(call.now))
    call.pass_time(1)
    assert_together(call, 1)  # not more often than every 5 s
    call.pass_time(6)
    assert_together(call, 2)


def test_a_call_under_require_goes_on_when_keys_come_back_in_time(line) -> None:
    call = talking(line, alice={"policy": REQUIRE})
    call.nodes.enc_failure = "link-cut"
    call.pass_time(50)
    call.nodes.enc_failure = None
    call.pass_time(400)
    assert call.alice.failure is None
    assert call.alice.machine.security.epoch > 30


def test_the_longest_interval_keeps_a_call(line) -> None:
    longest = {"rekey_interval": LONGEST_INTERVAL}
    call = line(alice=longest, bob=longest).dial().connect()
    call.pass_time(4 * LONGEST_INTERVAL, step=10.0)
    assert call.alice.failure is call.bob.failure is None
    assert call.alice.machine.security.epoch >= 3


def test_a_caller_without_keys_has_all_its_grace(line) -> None:
    call = line(alice={"rekey_interval": LONGEST_INTERVAL, "policy": REQUIRE}).dial().connect()
    call.nodes.enc_failure = "link-cut"
    call.pass_time(STALE)
    assert call.alice.failure.code == "rekey"
    assert call.bob.failure is None
    assert [effect.message.reason for effect in call.bob.had(fx.Received)] == ["failed"]


def test_a_silent_callee_is_warned_about_and_then_hung_up_on(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.pass_time(11 + FAILURES * ATTEMPT_LIMIT + 1)
    assert call.alice.had(fx.RekeyFailing)
    call.pass_time(EPOCH_GRACE)
    assert call.alice.failure.code == "rekey"


def test_a_caller_that_never_renews_is_hung_up_on(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.wait(STALE - 1)
    assert call.bob.failure is None
    call.wait(2)
    assert call.bob.failure.code == "rekey"


# Attacks


def test_a_differing_quantum_key_in_a_rekey_ends_the_call(line) -> None:
    call = talking(line)
    call.nodes.spoil = True
    call.pass_time(12)
    assert call.alice.failure.code == "rekey-mac"
    assert call.alice.machine.state is call.bob.machine.state is State.ENDED or not call.bob.had(fx.Rekeyed)


@pytest.mark.parametrize("layer", ["x25519", "kem", "root"])
def test_any_differing_secret_in_a_rekey_ends_the_call(line, monkeypatch, layer: str) -> None:
    call = talking(line)
    rekey, roots = schedule.Root.rekey, []

    def differing(root, dh, shared, *rest):
        roots.append(root)
        other = Secret(bytes(32))
        if len(roots) > 1:
            return rekey(root, dh, shared, *rest)
        if layer == "root":
            root._secret = Secret(bytes(48))
        return rekey(root, other if layer == "x25519" else dh, [other] if layer == "kem" else shared, *rest)

    monkeypatch.setattr(schedule.Root, "rekey", differing)
    call.pass_time(12)
    assert len(roots) == 2
    assert call.alice.failure.code == "rekey-mac"
    assert not call.bob.had(fx.Rekeyed)


def test_a_stolen_root_heals_with_the_next_rekey(line, monkeypatch) -> None:
    """Whoever knows root_e and reads the whole rekey, but has none of its three layers, has nothing."""
    call = talking(line)
    inputs = []
    rekey = schedule.Root.rekey

    def watched(self, dh, shared, state, keys, th):
        inputs.append((Secret(self._secret.reveal()), self.epoch, state, tuple(keys), th))
        return rekey(self, dh, shared, state, keys, th)

    monkeypatch.setattr(schedule.Root, "rekey", watched)
    call.pass_time(12)
    stolen, epoch, state, keys, th = inputs[0]
    thief = schedule.Root(stolen, call.alice.machine._th4, call.alice.machine.call_id, epoch)
    zero = [type("K", (), {"key_id": key.key_id, "key": Secret(bytes(32))})() for key in keys]
    guessed = rekey(thief, Secret(bytes(32)), [Secret(bytes(32))], state, zero, th)
    assert guessed.srtp(call.alice.machine.direction).send != call.alice.epochs[1].send


def test_a_caller_that_drops_quantum_keys_against_the_policy_is_hung_up_on(line) -> None:
    call = talking(line, bob={"policy": REQUIRE})
    call.alice.machine._rekey.call.policy = QkdPolicy.PREFER
    call.nodes.enc_failure = "not-wanted"
    call.pass_time(12)
    assert call.bob.failure.code == "policy"


def test_keys_of_another_sae_are_not_taken_in_a_rekey(line) -> None:
    call = talking(line)
    call.alice.machine._rekey.call.own_sae = "sae-mallory"
    call.pass_time(12)
    assert call.bob.failure.code == "sae"


def test_a_key_node_that_repeats_a_key_is_noticed_in_a_rekey(line) -> None:
    call = talking(line)
    call.nodes._random.seed(1)
    call.pass_time(12)
    assert call.alice.failure.code == "replayed-key"


def test_a_caller_that_repeats_a_key_in_a_rekey_is_hung_up_on(line, tmp_path) -> None:
    call = talking(line)
    call.nodes._random.seed(1)
    forgetful = Records(tmp_path / "forgetful.db")
    call.alice.machine._rekey.call.memory = forgetful
    call.pass_time(12)
    forgetful.close()
    assert call.bob.failure.code == "replayed-key"


def test_an_own_share_is_not_taken_back(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.pass_time(12)
    share = call.alice.machine._rekey._share.public
    body = encode(Rekey2Body(share, (bytes(1568),), ()))
    sealed = call.bob.machine._control.seal(Rekey2(body, None, bytes(48)))
    call.run("alice", call.alice.machine.control_received(sealed, call.now))
    assert call.alice.failure.code == "reflection"


@pytest.mark.parametrize("kind", [Rekey1, Rekey2, Rekey3])
def test_a_rekey_message_from_the_wrong_side_ends_the_call(line, kind) -> None:
    call = talking(line)
    sealed: list = []
    for side in call.sides.values():
        control = side.machine._control
        seal = control.seal
        control.seal = lambda m, seal=seal: sealed.append(m) or seal(m)
    call.pass_time(12)
    message = next(m for m in sealed if isinstance(m, kind))
    sender, victim = ("bob", "alice") if kind is not Rekey2 else ("alice", "bob")
    data = call.sides[sender].machine._control.seal(message)
    call.run(victim, call.sides[victim].machine.control_received(data, call.now))
    assert call.sides[victim].failure.code == "out-of-turn"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_bit_in_any_rekey_message_ends_the_call(line, number: int) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.pass_time(11)
    sender, receiver = "alice", "bob"
    for turn in range(number + 1):
        data = call.sides[sender].had(fx.SendControl)[-1].data
        if turn == number:
            data = data[:200] + bytes([data[200] ^ 4]) + data[201:] if len(data) > 200 else data[:-1] + b"\0"
        call.run(receiver, call.sides[receiver].machine.control_received(data, call.now))
        sender, receiver = receiver, sender
    assert call.sides[sender].failure.code == "box"
