"""Whoever carries the messages can end an attempt, and cannot talk a user into less protection by it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.messages import M1, Kind, Refuse, RefuseCode, frame
from qcall.agreement.states import State

from .conftest import Line
from .tampering import assert_dead, edit, touch

RECIPE = re.compile(r"--allow-less|allow-less|--qkd|--suite|do without")
DOUBT = r"somebody on the way or {peer}'s phone says that .*, which cannot be checked; "
MISLEADING = [RefuseCode.QKD_REQUIRED, RefuseCode.QKD_FRESH, RefuseCode.SUITE]


def had_everything(phones, name: str) -> None:
    """``name`` keeps to what its calls had, so that there is something to be talked out of."""
    peer = "bob" if name == "alice" else "alice"
    memory = phones(name).memory
    memory.pin(peer, phones(peer).identity.fingerprint)
    memory.saw(peer, suite="Q5", qkd=True)


def stopped_before(line, kind: Kind) -> Line:
    """A call in which messages of ``kind`` do not arrive."""
    return line(relay=lambda who, count, raw: [] if raw[1] == kind else [raw]).dial()


@pytest.mark.parametrize("code", MISLEADING)
@pytest.mark.parametrize(
    ("victim", "lost", "state"),
    [
        ("alice", Kind.M2, State.AWAIT_M2),
        ("alice", Kind.M4, State.AWAIT_M4),
        ("bob", Kind.M3, State.AWAIT_M3),
        ("bob", Kind.M4, State.AGREED),
    ],
)
def test_a_refusal_without_a_seal_is_told_as_hearsay(
    line, phones, victim: str, lost: Kind, state: State, code: RefuseCode
) -> None:
    had_everything(phones, victim)
    call = stopped_before(line, lost)
    assert call.sides[victim].machine.state is state
    call.deliver(victim, frame(Kind.REFUSE, Refuse(code)))
    said = str(call.sides[victim].failure)
    peer = "bob" if victim == "alice" else "alice"
    assert re.match(DOUBT.format(peer=peer), said)
    assert not RECIPE.search(said)


@pytest.mark.parametrize("code", [RefuseCode.QKD_REQUIRED, RefuseCode.SUITE])
def test_a_seal_of_one_who_has_not_shown_an_identity_proves_nothing(line, phones, code: RefuseCode) -> None:
    """The relay can send an M1 of its own in alice's name, and seal a refusal with what comes of it."""
    had_everything(phones, "bob")
    call = line()
    call.alice.phone = replace(phones("mallory"), name="alice")
    call.hold = {fx.NeedOffer}
    call.dial()
    assert call.bob.machine.state is State.AWAIT_M3
    call.run("alice", call.alice.machine.refuse(code))
    assert call.alice.frames[-1][1] == Kind.SEALED_REFUSE
    said = str(call.bob.failure)
    assert re.match(DOUBT.format(peer="alice"), said)
    assert not RECIPE.search(said)


def test_an_m1_that_the_relay_made_poorer_counsels_nobody_to_lower_anything(line, phones) -> None:
    had_everything(phones, "bob")
    call = line(relay=touch("alice", 0, edit(M1, suites=("Q3",)))).dial()
    said = {name: str(side.failure) for name, side in call.sides.items()}
    assert "cannot be checked, so ask alice, who may have to use --suite Q5" in said["bob"]
    for each in said.values():
        assert not re.search("allow-less|Q3 on|--suite Q3", each)
    assert_dead(call)


@pytest.mark.parametrize("name", ["\x1b[2J", "Q9"])
def test_what_a_stranger_calls_a_suite_reaches_no_screen(line, name: str) -> None:
    call = line(relay=touch("alice", 0, edit(M1, suites=(name,)))).dial()
    assert "only suites that this phone does not know" in str(call.bob.failure)
    assert name not in str(call.bob.failure)
