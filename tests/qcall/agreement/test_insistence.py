"""Whose wish ends a call that cannot have all its layers is said on both phones, and what either can do."""

from __future__ import annotations

import pytest

from qcall.agreement.policy import QkdPolicy
from qcall.agreement.suites import Q3, Q5

HERE, BOTH = "this phone insists", "both phones insist"


def failures(call) -> dict[str, str]:
    """What each user reads."""
    return {name: str(side.failure) for name, side in call.sides.items()}


def met_with_keys(phones, name: str, *, suite: str = "Q3") -> None:
    """``name`` has had a call with quantum keys."""
    peer = "bob" if name == "alice" else "alice"
    memory = phones(name).memory
    memory.pin(peer, phones(peer).identity.fingerprint)
    memory.saw(peer, suite=suite, qkd=True)


@pytest.fixture(params=["enc_failure", "dec_failure"], ids=["caller's node", "callee's node"])
def without_keys(request, line):
    """Dials while one of the key nodes gives nothing."""

    def dial(**phones) -> dict[str, str]:
        call = line(**phones)
        setattr(call.nodes, request.param, "pool-empty")
        call.dial()
        assert not call.bob.agreed
        said = failures(call)
        lacking, told = ("alice", "bob") if request.param == "enc_failure" else ("bob", "alice")
        assert said[lacking].startswith("your key node gave no quantum key (pool-empty), and ")
        assert said[told].startswith(f"{lacking}'s phone got no quantum key, and ")
        return said

    return dial


@pytest.mark.parametrize(("strict", "other"), [("alice", "bob"), ("bob", "alice")])
def test_a_setting_is_told_as_whose_it_is(without_keys, strict: str, other: str) -> None:
    said = without_keys(**{strict: {"policy": QkdPolicy.REQUIRE}})
    assert f"{HERE} on one (its policy is require)" in said[strict]
    assert said[strict].endswith("or do without: --qkd prefer")
    assert f"{strict}'s phone insists on one" in said[other]
    assert f"or have {strict} do without: --qkd prefer or " in said[other]
    assert HERE not in said[other]


@pytest.mark.parametrize(
    ("strict", "other", "way"),
    [("alice", "bob", "--allow-less"), ("bob", "alice", "qcall control allow-less alice")],
)
def test_what_earlier_calls_had_is_told_with_the_way_to_allow_less(
    without_keys, phones, strict: str, other: str, way: str
) -> None:
    met_with_keys(phones, strict)
    said = without_keys()
    assert f"{HERE} on one (earlier calls with {other} had one)" in said[strict]
    assert said[strict].endswith(f"or do without: {way}")
    assert f"have {strict} do without: --qkd prefer or {way}" in said[other]


def test_both_phones_may_insist(without_keys, phones) -> None:
    met_with_keys(phones, "alice")
    said = without_keys(bob={"policy": QkdPolicy.REQUIRE}, alice={"policy": QkdPolicy.REQUIRE})
    for each in said.values():
        assert BOTH in each
    assert "--qkd prefer and --allow-less here" in said["alice"]
    assert "--qkd prefer here, --qkd prefer or --allow-less there" in said["bob"]


def test_a_suite_that_earlier_calls_had_is_told_as_the_reason(line, phones) -> None:
    met_with_keys(phones, "bob", suite="Q5")
    said = failures(line(alice={"suites": (Q3,)}).dial())
    assert "alice's phone offers suite Q3 and this one takes Q5 (earlier calls with alice" in said["bob"]
    assert "qcall control allow-less alice, or have alice use --suite" in said["bob"]
    assert "bob's phone takes no suite that this one offers, which is Q3" in said["alice"]
    assert "have bob use --suite or qcall control allow-less alice" in said["alice"]


def test_phones_that_are_set_to_different_suites_say_so(line) -> None:
    said = failures(line(alice={"suites": (Q5,)}, bob={"suites": (Q3,)}).dial())
    assert "takes no suite that this one offers, which is Q5; call with" in said["alice"]
    assert "offers suite Q5 and this one takes Q3; listen with --suite Q5" in said["bob"]
    assert "earlier calls" not in said["alice"] + said["bob"]


def test_a_phone_that_would_offer_less_than_before_names_the_suite(line, phones) -> None:
    met_with_keys(phones, "alice", suite="Q5")
    said = failures(line(alice={"suites": (Q3,)}).dial())
    assert said["alice"] == (
        "calls with bob have had suite Q5 before; if less is meant this time, dial with --allow-less"
    )
