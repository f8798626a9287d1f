"""Both phones keep the same statement about a call, signed by both, with no key in it."""

from __future__ import annotations

import msgspec
import pytest

from qcall.agreement import effects as fx
from qcall.agreement.control import Farewell, Hangup, SignaturePair
from qcall.agreement.receipt import SignedReceipt, compare, load
from qcall.agreement.states import RECEIPT_LIMIT, OutOfTurn, State
from qcall.agreement.suites import Q3
from qcall.crypto.identity import Role
from qcall.errors import UsageError


def talked(line, seconds: float = 25.0, **options):
    call = line(alice={"rekey_interval": 10.0}, **options).dial().connect()
    call.media()
    call.pass_time(seconds)
    return call


def receipts(call) -> list[SignedReceipt]:
    return [effect.receipt for side in call.sides.values() for effect in side.had(fx.ReceiptReady)]


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("suites", [None, (Q3,)])
def test_both_phones_keep_the_same_signed_receipt(line, who: str, suites) -> None:
    call = talked(line, bob={"suites": suites} if suites else {})
    call.run(who, call.sides[who].machine.hang_up("hangup", call.now))
    one, other = receipts(call)
    assert one == other
    assert one.problems() == []
    assert compare(one, load(other.as_json())) == []
    assert one.fingerprints() == tuple(side.phone.identity.fingerprint for side in call.sides.values())
    assert call.sides[who].had(fx.Closed)
    assert call.sides[who].machine.state is State.ENDED


def test_a_receipt_tells_every_epoch_and_its_hops(line) -> None:
    call = talked(line)
    call.nodes.enc_failure = "link-cut"
    call.pass_time(10)
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    receipt = receipts(call)[0].receipt
    assert [str(epoch.qkd) for epoch in receipt.epochs] == ["present", "present", "present", "absent"]
    assert receipt.epochs[3].reason == "link-cut"
    assert len(receipt.epochs[0].path) == len(receipt.epochs[0].qber) + 1 == len(receipt.epochs[0].age) + 1
    assert len({epoch.transcript for epoch in receipt.epochs}) == 4


def test_no_key_byte_is_in_a_receipt(line) -> None:
    call = talked(line)
    keys = [keys.send.reveal() for keys in call.alice.epochs.values()]
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    packed = msgspec.msgpack.encode(receipts(call)[0])
    assert keys
    assert all(key[i : i + 12] not in packed for key in keys for i in range(32))


@pytest.mark.parametrize("moment", ["callee-ahead", "caller-ahead"])
def test_a_rekey_under_way_leaves_equal_receipts(line, moment: str) -> None:
    call = talked(line, 0.0)
    call.hold = {fx.SendControl}
    call.pass_time(11.5)
    rk1 = call.alice.had(fx.SendControl)[-1].data
    call.run("bob", call.bob.machine.control_received(rk1, call.now))
    rk2 = call.bob.had(fx.SendControl)[-1].data
    if moment == "callee-ahead":
        call.run("bob", call.bob.machine.hang_up("hangup", call.now))
        waiting = [rk2, call.bob.had(fx.SendControl)[-1].data]
        for data in waiting:
            call.run("alice", call.alice.machine.control_received(data, call.now))
        for effect in call.alice.had(fx.SendControl)[-2:]:
            call.run("bob", call.bob.machine.control_received(effect.data, call.now))
    else:
        call.run("alice", call.alice.machine.control_received(rk2, call.now))
        call.run("alice", call.alice.machine.hang_up("hangup", call.now))
        for effect in call.alice.had(fx.SendControl)[-2:]:
            call.run("bob", call.bob.machine.control_received(effect.data, call.now))
        farewell = call.bob.had(fx.SendControl)[-1].data
        call.run("alice", call.alice.machine.control_received(farewell, call.now))
    one, other = receipts(call)
    assert one == other
    assert one.problems() == []
    assert len(one.receipt.epochs) == (1 if moment == "callee-ahead" else 2)


def test_hanging_up_at_once_leaves_equal_receipts(line) -> None:
    call = talked(line)
    call.hold = {fx.SendControl}
    for name in ("alice", "bob"):
        call.run(name, call.sides[name].machine.hang_up("hangup", call.now))
    said = {name: side.had(fx.SendControl)[-1].data for name, side in call.sides.items()}
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        call.run(peer, call.sides[peer].machine.control_received(said[name], call.now))
    one, other = receipts(call)
    assert one == other
    assert one.problems() == []


def test_a_peer_that_is_gone_is_not_waited_for(line) -> None:
    call = talked(line)
    call.hold = {fx.SendControl}
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    call.wait(RECEIPT_LIMIT - 0.01)
    assert not call.alice.had(fx.Closed)
    call.wait(0.01)
    (receipt,) = receipts(call)
    assert receipt.problems() == ["the callee bob did not sign"]
    assert call.alice.had(fx.Closed)


def test_a_peer_that_signs_something_else_has_not_signed(line) -> None:
    call = talked(line)
    call.bob.machine._closing.ledger.add(call.bob.machine.security.qkd, bytes(48))
    call.bob.machine._closing.ledger._receipt = msgspec.structs.replace(
        call.bob.machine._closing.ledger._receipt, call_id=bytes(16)
    )
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    one, other = receipts(call)
    assert one.problems() == ["the callee bob did not sign"]
    assert other.problems() == ["the caller alice did not sign"]
    assert "call_id differs" in compare(one, other)


@pytest.mark.parametrize("field", ["suite", "policy", "call_id", "caller", "epochs"])
def test_a_changed_receipt_is_noticed(line, field: str) -> None:
    call = talked(line)
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    signed = receipts(call)[0]
    receipt = signed.receipt
    other = {
        "suite": "Q3",
        "policy": "off",
        "call_id": bytes(16),
        "caller": receipt.callee,
        "epochs": receipt.epochs[:1],
    }
    changed = msgspec.structs.replace(
        signed, receipt=msgspec.structs.replace(receipt, **{field: other[field]})
    )
    assert changed.problems()
    assert f"{field} differs" in compare(signed, changed)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"receipt": 1}'])
def test_what_is_no_receipt_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        load(data)
    assert "\n" not in str(caught.value)


def test_a_hangup_without_signature_still_ends_a_call(line) -> None:
    call = talked(line)
    call.run("alice", call.alice.machine.send(Hangup("hangup")))
    assert [effect.message for effect in call.bob.had(fx.Received)] == [Hangup("hangup")]
    assert receipts(call) == []


def test_a_farewell_nobody_asked_for_ends_the_call(line) -> None:
    call = talked(line)
    pair = call.bob.machine._closing.ledger.sign(0)
    data = call.bob.machine._control.seal(Farewell(pair))
    call.run("alice", call.alice.machine.control_received(data, call.now))
    assert call.alice.failure.code == "out-of-turn"


def test_hanging_up_is_for_confirmed_calls(line) -> None:
    call = line().dial()
    with pytest.raises(OutOfTurn):
        call.alice.machine.hang_up("hangup", call.now)


def test_an_epoch_that_this_phone_does_not_know_is_not_signed(line) -> None:
    call = talked(line)
    control = call.alice.machine._control
    honest = control.seal
    control.seal = lambda message: honest(
        msgspec.structs.replace(message, epoch=99) if isinstance(message, Hangup) else message
    )
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    assert [type(effect.message) for effect in call.bob.had(fx.Received)] == [Hangup]
    assert not call.bob.had(fx.ReceiptReady)
    call.wait(RECEIPT_LIMIT)
    (alone,) = receipts(call)
    assert alone.problems() == ["the callee bob did not sign"]


def test_a_receipt_under_an_unknown_scheme_is_signed_by_nobody(line) -> None:
    call = talked(line, 0.0)
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    signed = receipts(call)[0]
    other = msgspec.structs.replace(signed.receipt, scheme="ML-DSA-44")
    made = call.alice.phone.identity.sign(Role.RECEIPT, other._digest())
    pair = SignaturePair(made.ed25519, made.mldsa)
    assert len(SignedReceipt(other, pair, pair).problems()) == 2
