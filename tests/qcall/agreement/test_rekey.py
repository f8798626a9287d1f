"""Rekeying: both phones move together, whatever crosses on the way, and the old epoch goes in time."""

from __future__ import annotations

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.control import Mute
from qcall.agreement.rekey import STALE
from qcall.agreement.suites import Q3

from .rekeying import OFTEN, assert_together, talking


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
    while not call.alice.had(fx.Rekeyed):
        call.pass_time(0.5, step=0.5)
    call.pass_time(4.9, step=0.1)
    assert set(call.alice.epochs) == set(call.bob.epochs) == {0, 1}
    call.pass_time(0.2, step=0.1)
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
