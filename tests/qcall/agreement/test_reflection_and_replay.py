"""What was said before, or by the phone itself, is not taken for an answer."""

from __future__ import annotations

import msgspec
import pytest

from qcall.agreement.messages import M1, Kind
from qcall.agreement.policy import QkdPolicy

from .tampering import UPWARDS, assert_dead, edit_m2_clear, touch


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


def test_a_replayed_m1_is_known_after_a_restart(line) -> None:
    first = line().dial().connect()
    after = line(bob={"restart": True})
    after.deliver("bob", first.alice.frames[0])
    assert after.bob.failure.code == "replayed-call"


def test_a_replayed_m1_of_a_call_without_quantum_keys_is_known_too(line) -> None:
    without = {"policy": QkdPolicy.OFF}
    first = line(alice=without, bob=without).dial().connect()
    after = line(bob=without | {"restart": True})
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
