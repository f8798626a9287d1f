"""Nothing that is negotiated in clear can be changed: suites, policies, shares, ciphertexts."""

from __future__ import annotations

import pytest

from qcall.agreement import callee
from qcall.agreement.messages import M1
from qcall.agreement.policy import QkdPolicy
from qcall.agreement.suites import Q3, Q5, Suite

from .tampering import assert_dead, edit, edit_m2_clear, touch


@pytest.mark.parametrize(
    "changes",
    [
        {"suites": ("Q3",)},
        {"suites": ("Q5",)},
        {"suites": ("Q3", "Q5")},
        {"policy": QkdPolicy.OFF},
        {"policy": QkdPolicy.REQUIRE},
        {"time": 1_790_000_001},
        {"call_id": bytes(16)},
        {"commitment": bytes(48)},
        {"share": b"\x09" + bytes(31)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_in_m1_can_be_changed(line, changes) -> None:
    call = line(relay=touch("alice", 0, edit(M1, **changes))).dial()
    assert not call.alice.agreed
    assert not call.bob.agreed
    assert_dead(call)


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": "Q3"},
        {"suite": "Q1"},
        {"policy": QkdPolicy.OFF},
        {"policy": QkdPolicy.REQUIRE},
        {"nonce": bytes(32)},
        {"share": b"\x09" + bytes(31)},
        {"ciphertexts": (bytes(1568),)},
        {"ciphertexts": (bytes(1567),)},
        {"ciphertexts": (bytes(1568), bytes(1568))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_in_the_clear_part_of_m2_can_be_changed(line, changes) -> None:
    call = line(relay=touch("bob", 0, edit_m2_clear(**changes))).dial()
    assert not call.alice.agreed
    assert_dead(call)


def test_a_suite_that_was_not_offered_is_not_taken_though_its_kem_was(line, monkeypatch) -> None:
    between = Suite("Q4", 4, Q5.kems, Q5.scheme)
    monkeypatch.setattr(callee, "choose", lambda *_: between)
    call = line().dial()
    assert call.alice.failure.code == "suite-not-offered"


def test_a_downgrade_to_q3_needs_q3_on_both_phones(line) -> None:
    call = line(alice={"suites": (Q5,)}, bob={"suites": (Q5, Q3)})
    call.relay = touch("alice", 0, edit(M1, suites=("Q3",)))
    call.dial()
    assert call.bob.failure.code == "malformed"
    assert_dead(call)
