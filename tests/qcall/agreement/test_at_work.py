"""KEMs at work in a handshake: done beside it, and what comes meanwhile is neither lost nor out of turn."""

from __future__ import annotations

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.at_work import HELD
from qcall.agreement.messages import Kind, Refuse, RefuseCode, frame
from qcall.agreement.states import HANDSHAKE_LIMIT, State

from .conftest import Line, Side
from .tampering import assert_dead


def working(line, done: int) -> tuple[Line, Side]:
    """A call where ``done`` of the three pieces of work are done and the next one is begun, by that side."""
    call = line()
    call.hold = {fx.Compute}
    call.dial()
    for name in ("alice", "bob", "alice")[:done]:
        call.finish(name)
    return call, call.bob if done == 1 else call.alice


def test_nothing_is_said_before_a_kem_is_done(line) -> None:
    """Key pairs, encapsulation, decapsulation: M1, M2 and M3 wait for one each."""
    call, _ = working(line, 0)
    for side, said in ((call.alice, Kind.M1), (call.bob, Kind.M2), (call.alice, Kind.M3)):
        before = len(side.frames)
        call.wait(1.0)
        assert len(side.frames) == before
        call.finish(side.phone.name)
        assert side.frames[before][1] == said
    assert [len(side.had(fx.Compute)) for side in call.sides.values()] == [2, 1]
    call.hold = set()
    call.connect()
    assert call.alice.confirmed
    assert call.bob.confirmed


def test_the_offer_is_gathered_meanwhile(line) -> None:
    call, _ = working(line, 0)
    assert call.alice.had(fx.NeedOffer)
    call.finish("alice")
    call.finish("bob")
    call.finish("alice")
    assert call.bob.agreed


def test_a_refusal_behind_m2_is_understood_though_it_comes_too_soon(line) -> None:
    call, alice = working(line, 2)
    declined = call.bob.machine.refuse(RefuseCode.DECLINED)
    call.run("bob", declined)
    assert alice.failure is None
    call.finish("alice")
    assert alice.failure.code == RefuseCode.DECLINED


def test_a_cancelled_m1_is_not_answered(line) -> None:
    call, bob = working(line, 1)
    call.deliver("bob", frame(Kind.REFUSE, Refuse(RefuseCode.CANCELLED)))
    call.finish("bob")
    assert bob.failure.code == RefuseCode.CANCELLED
    assert call.alice.frames[-1][1] == Kind.M1


@pytest.mark.parametrize("kind", [Kind.M2, Kind.M4, Kind.SEALED_REFUSE])
def test_what_is_out_of_turn_is_so_afterwards(line, kind: Kind) -> None:
    call, alice = working(line, 2)
    call.deliver("alice", frame(kind, Refuse(RefuseCode.BUSY)))
    assert alice.failure is None
    call.finish("alice")
    assert_dead(call)


def test_a_peer_that_never_waits_is_cut_off(line) -> None:
    call, alice = working(line, 2)
    for _ in range(HELD):
        call.deliver("alice", bytes(50_000))
    assert alice.machine.state is State.AWAIT_M2
    call.deliver("alice", bytes(50_000))
    assert alice.failure.code == "out-of-turn"
    assert alice.machine.computed(alice.had(fx.Compute)[-1].job(), call.now) == ()
    call.bob.machine.close()


def test_a_caller_that_gives_up_before_m1_says_nothing(line) -> None:
    call, alice = working(line, 0)
    call.run("alice", alice.machine.refuse(RefuseCode.CANCELLED))
    assert alice.frames == []
    assert alice.machine.computed(alice.had(fx.Compute)[0].job(), call.now) == ()
    assert alice.frames == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kem_that_does_not_end_ends_the_call(line, done: int) -> None:
    call, side = working(line, done)
    call.wait(HANDSHAKE_LIMIT)
    assert side.failure.code == "timeout"
    assert str(side.failure).startswith("this phone did not compute its keys in time")
    assert side.machine.computed(side.had(fx.Compute)[-1].job(), call.now) == ()


def test_a_phone_that_waits_for_the_other_says_that(line) -> None:
    call, _ = working(line, 1)
    call.wait(HANDSHAKE_LIMIT)
    assert str(call.alice.failure) == "the other phone did not go on (waiting: M2?); try again"


def test_a_second_attempt_is_begun_beside_the_loop_too(line) -> None:
    call = line()
    call.nodes.dec_failure = "pool-empty"
    call.hold = {fx.NeedAnswer}
    call.dial()
    assert [len(side.had(fx.Compute)) for side in call.sides.values()] == [4, 2]
    assert call.bob.machine.state is State.AWAIT_ANSWER
