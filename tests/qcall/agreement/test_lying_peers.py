"""Peers that hold all keys and say what they should not, and messages that come late, on both roles."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from qcall.agreement import callee, caller
from qcall.agreement import effects as fx
from qcall.agreement.control import Confirm
from qcall.agreement.messages import (
    HEADER_LENGTH,
    Kind,
    M2Body,
    M2Clear,
    M3Body,
    M4Body,
    Maced,
    Signed,
    SignedAndMaced,
)
from qcall.agreement.states import CONFIRM_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT, State
from qcall.crypto import x25519
from qcall.crypto.secret import Secret

from .tampering import NIGHTLY, flipped


def with_a_field_more(encoded: bytes) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(encoded), "extra": 1})


@pytest.mark.parametrize(
    ("liar", "encoder", "model"),
    [
        (caller, "encode_checked", M3Body),
        (caller, "encode", SignedAndMaced),
        (callee, "encode", M2Clear),
        (callee, "encode_checked", M2Body),
        (callee, "encode", Signed),
        (callee, "encode_checked", M4Body),
        (callee, "encode", Maced),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_unknown_field_ends_the_call_wherever_it_is_sealed(
    line, monkeypatch, liar, encoder, model
) -> None:
    honest = getattr(liar, encoder)

    def encode(message: Any) -> bytes:
        return with_a_field_more(honest(message)) if type(message) is model else honest(message)

    monkeypatch.setattr(liar, encoder, encode)
    call = line().dial()
    victim, other = (call.bob, call.alice) if liar is caller else (call.alice, call.bob)
    assert victim.failure.code == "malformed"
    assert other.failure.code == "failed"


@pytest.mark.parametrize(("sender", "number"), [("alice", 0), ("bob", 0), ("alice", 1), ("bob", 1)])
def test_an_unknown_field_in_clear_ends_the_call(line, sender: str, number: int) -> None:
    def add(who: str, count: int, raw: bytes) -> list[bytes]:
        if (who, count) != (sender, number):
            return [raw]
        return [raw[:HEADER_LENGTH] + with_a_field_more(raw[HEADER_LENGTH:])]

    call = line(relay=add).dial()
    victim = call.bob if sender == "alice" else call.alice
    assert victim.failure.code == "malformed"


@pytest.mark.parametrize("liar", ["alice", "bob"])
def test_a_wrong_confirmation_ends_the_call_on_both_roles(line, liar: str) -> None:
    call = line().dial()
    call.hold = {fx.SendControl}
    call.connect()
    victim = call.bob if liar == "alice" else call.alice
    machine = call.sides[liar].machine
    machine._control._send.number = 0  # takes back what it sent
    wrong = machine._control.seal(Confirm(bytes(48)))
    call.run(victim.phone.name, victim.machine.control_received(wrong, call.now))
    assert victim.failure.code == "confirmation"
    assert not victim.confirmed


def test_the_callees_own_identity_is_no_caller(line, phones) -> None:
    call = line(alice={"identity": phones("bob").identity}, bob={"identity": phones("mallory").identity})
    call.hold = {fx.NeedOffer}
    call.dial()
    call.bob.machine.phone = line().bob.phone
    peer = call.alice.machine.peer
    call.alice.machine.peer = type(peer)(peer.name, phones("bob").identity.fingerprint, peer.status)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    assert call.bob.failure.code == "reflection"


def test_the_callees_own_share_is_no_callers_share(line) -> None:
    private = bytes(range(32))
    call = line()
    entropy = call.bob.phone.entropy
    drawn = iter([private])
    object.__setattr__(call.bob.phone, "entropy", lambda n: next(drawn, None) or entropy(n))
    share = x25519.KeyPair(Secret(private)).public

    def swap(who: str, count: int, raw: bytes) -> list[bytes]:
        if raw[1] != Kind.M1:
            return [raw]
        message = msgspec.msgpack.decode(raw[HEADER_LENGTH:])
        return [raw[:HEADER_LENGTH] + msgspec.msgpack.encode({**message, "share": share})]

    call.relay = swap
    call.dial()
    assert call.bob.failure.code == "reflection"


@pytest.mark.parametrize("seconds", [2.0, 4.9])
def test_messages_that_come_late_still_make_a_call(line, seconds: float) -> None:
    late: list[tuple[str, bytes]] = []

    def keep(who: str, count: int, raw: bytes) -> list[bytes]:
        late.append((who, raw))
        return []

    call = line(relay=keep).dial()
    while late:
        call.wait(seconds)
        who, raw = late.pop(0)
        call.deliver("bob" if who == "alice" else "alice", raw)
        call.run(who, ())
    assert call.alice.agreed
    assert call.bob.agreed
    assert call.connect().alice.confirmed


def test_messages_that_come_too_late_end_the_call_on_both_phones(line) -> None:
    call = line(relay=lambda who, count, raw: [] if raw[1] == Kind.M4 else [raw]).dial()
    call.wait(HANDSHAKE_LIMIT)
    call.deliver("alice", call.bob.frames[-1])
    for limit in (MEDIA_LIMIT, CONFIRM_LIMIT):
        call.wait(limit)
    assert {side.machine.state for side in call.sides.values()} == {State.ENDED}
    assert not call.alice.agreed


# Any bit of a rekey


def rekeying(line):
    """A call whose next rekey message nobody has carried yet."""
    call = line(alice={"rekey_interval": 10.0}).dial().connect()
    call.media()
    call.hold = {fx.SendControl}
    call.pass_time(11)
    return call


@pytest.mark.parametrize("number", [0, 1, 2], ids=["RK1", "RK2", "RK3"])
def test_one_flipped_bit_anywhere_in_a_rekey_ends_the_call(line, number: int) -> None:
    chance = random.Random(number)
    call = rekeying(line)
    for turn in range(number):
        sender, receiver = ("alice", "bob") if turn % 2 == 0 else ("bob", "alice")
        data = call.sides[sender].had(fx.SendControl)[-1].data
        call.run(receiver, call.sides[receiver].machine.control_received(data, call.now))
    sender, receiver = ("alice", "bob") if number % 2 == 0 else ("bob", "alice")
    sealed = call.sides[sender].had(fx.SendControl)[-1].data
    control = call.sides[receiver].machine._control
    begun = (control._receive.number, control._receive, control._receive_epoch, control._staged)
    places = range(len(sealed)) if NIGHTLY else chance.sample(range(len(sealed)), 60)
    for place in places:
        control._receive.number = begun[0]
        _, control._receive, control._receive_epoch, control._staged = begun
        with pytest.raises(Exception, match=r"sealed message|not the next one"):
            control.open(flipped(sealed, place, chance))
    effects = call.sides[receiver].machine.control_received(
        flipped(sealed, len(sealed) - 1, chance), call.now
    )
    assert isinstance(effects[-1], fx.Abort)
    assert call.sides[receiver].machine.state is State.ENDED
