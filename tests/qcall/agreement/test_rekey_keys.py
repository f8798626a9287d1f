"""Rekeys whose quantum keys come and go, and rekeys that do not come about."""

from __future__ import annotations

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.rekey import EPOCH_GRACE, GRACE_INTERVALS, LONGEST_INTERVAL, STALE
from qcall.agreement.rekey_caller import ATTEMPT_LIMIT
from qcall.agreement.states import State

from .rekeying import OFTEN, assert_together, talking

REQUIRE, OFF = QkdPolicy.REQUIRE, QkdPolicy.OFF


def test_losing_quantum_keys_shows_on_both_phones_within_an_interval_and_so_does_their_return(line) -> None:
    for failing in ("enc_failure", "dec_failure"):
        call = talking(line)
        call.pass_time(12)
        setattr(call.nodes, failing, "link-cut")
        call.pass_time(13)
        for side in call.sides.values():
            assert side.had(fx.Rekeyed)[-1].security.qkd.state is QkdState.ABSENT
            assert "link-cut" in side.had(fx.Rekeyed)[-1].security.qkd.reason
        setattr(call.nodes, failing, None)
        call.pass_time(13)
        for side in call.sides.values():
            assert side.had(fx.Rekeyed)[-1].security.qkd.state is QkdState.PRESENT
        assert_together(call, call.alice.sending)


def test_quantum_keys_may_join_a_call_that_began_without(line) -> None:
    call = line(alice=OFTEN)
    call.nodes.enc_failure = "pool-empty"
    call.dial().connect()
    call.nodes.enc_failure = None
    call.pass_time(12)
    assert call.bob.machine.security.qkd.state is QkdState.PRESENT
    assert call.bob.machine.security.qkd.hops == 4


def test_with_quantum_keys_off_rekeys_use_none(line) -> None:
    call = talking(line, alice={"policy": OFF}, bob={"policy": OFF})
    call.pass_time(25)
    assert call.nodes.asked == []
    assert_together(call, 2)


@pytest.mark.parametrize("strict", ["alice", "bob"])
@pytest.mark.parametrize("failing", ["enc_failure", "dec_failure"])
def test_under_require_a_call_without_new_quantum_keys_ends(line, strict: str, failing: str) -> None:
    call = line(alice=OFTEN | ({"policy": REQUIRE} if strict == "alice" else {}),
                bob={"policy": REQUIRE} if strict == "bob" else {}).dial().connect()  # fmt: skip
    setattr(call.nodes, failing, "link-cut")
    call.pass_time(30)
    for side in call.sides.values():
        warnings = side.had(fx.RekeyFailing)
        assert warnings
        assert "link-cut" in warnings[0].reason
        assert call.now - 20 < warnings[0].ends_at < call.now + EPOCH_GRACE
    assert not call.alice.had(fx.Rekeyed)
    call.pass_time(GRACE_INTERVALS * 10)
    assert call.alice.failure.code == "qkd-required"
    assert call.alice.machine.state is State.ENDED
    [goodbye] = [effect.message.reason for effect in call.bob.had(fx.Received)]
    said = {"alice": str(call.alice.failure), "bob": str(call.bob.machine.broken_off(goodbye))}
    for name, text in said.items():
        assert text.startswith("no quantum key came when the keys were to be renewed")
        mine = "this phone insists on one (its policy is require)"
        assert (mine if name == strict else f"{strict}'s phone insists on one") in text
    assert "link-cut" in said["alice"]


def test_an_epoch_is_kept_for_five_intervals_and_never_beyond_five_minutes(line) -> None:
    for interval, grace in ((5.0, 25.0), (60.0, 300.0), (LONGEST_INTERVAL, 300.0)):
        call = line(alice={"rekey_interval": interval, "policy": REQUIRE}).dial().connect()
        assert call.alice.machine._rekey._grace == grace


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_phone_that_cannot_open_what_comes_gets_new_keys_at_once(line, who: str) -> None:
    call = line(alice={"rekey_interval": LONGEST_INTERVAL}).dial().connect()
    call.media()
    call.pass_time(6)
    assert_together(call, 0)
    call.run(who, call.sides[who].machine.renew(call.now))
    call.pass_time(2)
    assert_together(call, 1)
    call.run(who, call.sides[who].machine.renew(call.now))
    call.pass_time(1)
    assert_together(call, 1)  # not more often than every 5 s
    call.pass_time(6)
    assert_together(call, 2)


def test_a_call_under_require_goes_on_when_keys_come_back_in_time(line) -> None:
    call = talking(line, alice={"policy": REQUIRE})
    call.nodes.enc_failure = "link-cut"
    call.pass_time(50)
    call.nodes.enc_failure = None
    call.pass_time(400)
    assert call.alice.failure is None
    assert call.alice.machine.security.epoch > 30


def test_the_longest_interval_keeps_a_call(line) -> None:
    longest = {"rekey_interval": LONGEST_INTERVAL}
    call = line(alice=longest, bob=longest).dial().connect()
    call.pass_time(4 * LONGEST_INTERVAL, step=10.0)
    assert call.alice.failure is call.bob.failure is None
    assert call.alice.machine.security.epoch >= 3


def test_a_caller_without_keys_has_all_its_grace(line) -> None:
    call = line(alice={"rekey_interval": LONGEST_INTERVAL, "policy": REQUIRE}).dial().connect()
    call.nodes.enc_failure = "link-cut"
    call.pass_time(STALE)
    assert call.alice.failure.code == "qkd-required"
    assert call.bob.failure is None
    assert [effect.message.reason for effect in call.bob.had(fx.Received)] == ["qkd-required"]


def test_a_goodbye_for_another_reason_is_told_as_before(line) -> None:
    call = talking(line)
    assert "for a reason shown there" in str(call.bob.machine.broken_off("failed"))
    assert "for a reason shown there" in str(call.bob.machine.broken_off("no-such-reason"))


def test_a_silent_callee_is_warned_about_and_then_hung_up_on(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.pass_time(11 + 3 * ATTEMPT_LIMIT + 1)
    assert call.alice.had(fx.RekeyFailing)
    call.pass_time(EPOCH_GRACE)
    assert call.alice.failure.code == "rekey"


def test_a_caller_that_never_renews_is_hung_up_on(line) -> None:
    call = talking(line)
    call.hold = {fx.SendControl}
    call.wait(STALE - 1)
    assert call.bob.failure is None
    call.wait(2)
    assert call.bob.failure.code == "rekey"
