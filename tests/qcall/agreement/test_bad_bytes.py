"""Any bit, any order, any length: a message that is not what was sent ends the call on both phones."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcall.agreement import effects as fx
from qcall.agreement.messages import M1, M2, Kind, M2Clear
from qcall.agreement.states import CONFIRM_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT, State

from .tampering import NIGHTLY, UPWARDS, assert_dead, edit, edit_m2_clear, flipped, touch

FLIPS = 25
"""Bytes tried of every message in the ordinary profile; ``QCALL_TEST_PROFILE=nightly`` tries them all."""
P = 2**255 - 19
ORDER_8 = (
    0xB8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
LOW_ORDER = [u.to_bytes(32, "little") for u in (0, 1, *ORDER_8, P - 1, P, P + 1)]
"""Every u-coordinate of 255 bits whose point, on the curve or its twist, has an order of 1, 2, 4 or 8."""


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point[:4].hex())
def test_points_of_low_order_are_refused(line, point: bytes) -> None:
    call = line(relay=touch("alice", 0, edit(M1, share=point))).dial()
    assert call.bob.failure.code == "x25519-low-order"
    call = line(relay=touch("bob", 0, edit_m2_clear(share=point))).dial()
    assert call.alice.failure.code == "x25519-low-order"


@pytest.mark.parametrize(("key", "code"), [(b"\xff" * 1568, "kem-key"), (bytes(1567), "kem-length")])
def test_a_kem_key_that_is_none_ends_the_call(line, key: bytes, code: str) -> None:
    """3328 is the largest coefficient of a key (FIPS 203, section 7.2); here they are 4095."""
    call = line(relay=touch("alice", 0, edit(M1, kem_keys={"ML-KEM-1024": key, "ML-KEM-768": key}))).dial()
    assert call.bob.failure.code == code
    assert_dead(call)


def test_a_kem_ciphertext_that_was_touched_surfaces_as_an_abort(line) -> None:
    def flip(raw: bytes) -> list[bytes]:
        clear = msgspec.msgpack.decode(msgspec.msgpack.decode(raw[2:], type=M2).clear, type=M2Clear)
        (ciphertext,) = clear.ciphertexts
        return edit_m2_clear(ciphertexts=(bytes([ciphertext[0] ^ 1]) + ciphertext[1:],))(raw)

    call = line(relay=touch("bob", 0, flip)).dial()
    assert call.alice.failure.code == "box"
    assert_dead(call)


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

    call = line(relay=hoard)
    call.hold = {fx.Compute} if data.draw(st.booleans()) else set()
    call.dial()
    for _ in range(16):
        working = [name for name, each in call.sides.items() if each.machine and each.machine._at_work]
        if working and (not held or data.draw(st.booleans())):
            call.finish(working[0])
            continue
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
