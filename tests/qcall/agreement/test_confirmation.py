"""Key confirmation on the control channel: nothing before it, once, and only the right one."""

from __future__ import annotations

from qcall.agreement import effects as fx
from qcall.agreement.control import Answered, Confirm, Mute
from qcall.agreement.states import State


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
