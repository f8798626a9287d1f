"""Rekeys that somebody disturbs, forges, or has stolen the root of."""

from __future__ import annotations

import pytest

from qcall.agreement import effects as fx
from qcall.agreement import schedule
from qcall.agreement.control import Rekey1, Rekey2, Rekey2Body, Rekey3
from qcall.agreement.messages import encode
from qcall.agreement.policy import QkdPolicy
from qcall.agreement.states import State
from qcall.crypto.secret import Secret
from qcall.records.store import Records

from .rekeying import talking

REQUIRE = QkdPolicy.REQUIRE


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
