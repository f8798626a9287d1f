"""Whose wish ends a call that cannot have all its layers is said on both phones, and what either can do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from qcall.agreement.insistence import Insistence
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


RUNNING = "where a phone runs: qcall control allow-less bob"


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
        if told == "alice":
            assert said[told].startswith("bob's phone got no quantum key, and ")
        else:
            # The caller has not been authenticated at that time.
            assert said.pop(told).startswith("somebody on the way or alice's phone says that ")
        return said

    return dial


@pytest.mark.parametrize(("strict", "other"), [("alice", "bob"), ("bob", "alice")])
def test_a_setting_is_told_as_whose_it_is(without_keys, strict: str, other: str) -> None:
    said = without_keys(**{strict: {"policy": QkdPolicy.REQUIRE}})
    if strict in said:
        assert f"{HERE} on one (its policy is require)" in said[strict]
        assert said[strict].endswith("or do without: --qkd prefer")
    if other in said:
        assert f"{strict}'s phone insists on one" in said[other]
        assert f"or have {strict} do without: --qkd prefer or " in said[other]
        assert HERE not in said[other]


@pytest.mark.parametrize(
    ("strict", "other", "way"),
    [
        ("alice", "bob", f"--allow-less ({RUNNING})"),
        ("bob", "alice", "qcall control allow-less alice"),
    ],
)
def test_what_earlier_calls_had_is_told_with_the_way_to_allow_less(
    without_keys, phones, strict: str, other: str, way: str
) -> None:
    met_with_keys(phones, strict)
    said = without_keys()
    if strict in said:
        assert f"{HERE} on one (earlier calls with {other} had one)" in said[strict]
        assert said[strict].endswith(f"or do without: {way}")
    if other in said:
        assert f"have {strict} do without: --qkd prefer or {way}" in said[other]


def test_both_phones_may_insist(without_keys, phones) -> None:
    met_with_keys(phones, "alice")
    said = without_keys(bob={"policy": QkdPolicy.REQUIRE}, alice={"policy": QkdPolicy.REQUIRE})
    for each in said.values():
        assert BOTH in each
    assert f"--qkd prefer and --allow-less ({RUNNING}) here, " in said["alice"]
    if "bob" in said:
        assert f"--qkd prefer here, --qkd prefer or --allow-less ({RUNNING}) there" in said["bob"]


def test_a_suite_that_earlier_calls_had_is_told_as_the_reason(line, phones) -> None:
    met_with_keys(phones, "bob", suite="Q5")
    said = failures(line(alice={"suites": (Q3,)}).dial())
    assert "offers suite Q3, and this phone takes Q5 (earlier calls with alice had Q5)" in said["bob"]
    assert "ask alice, who may have to use --suite Q5 or update" in said["bob"]
    assert "says that no suite is strong enough for both phones" in said["alice"]


def test_phones_that_are_set_to_different_suites_say_so(line) -> None:
    said = failures(line(alice={"suites": (Q5,)}, bob={"suites": (Q3,)}).dial())
    assert "offers suite Q5, and this phone takes Q3; use --suite Q5 on this phone" in said["bob"]
    assert "earlier calls" not in said["alice"] + said["bob"]


def test_a_phone_that_is_set_to_less_than_earlier_calls_had_says_what_it_has_to_be_set_to(
    line, phones
) -> None:
    met_with_keys(phones, "bob", suite="Q5+HQC-256")
    said = failures(line(bob={"suites": (Q3,)}).dial())
    assert said["bob"] == (
        "a call in alice's name offers suite Q3 or Q5; earlier calls with alice had Q5+HQC-256 and this phone"
        " is set to less: use --suite Q5+"
    )


def test_a_phone_that_would_offer_less_than_before_names_the_suite(line, phones) -> None:
    met_with_keys(phones, "alice", suite="Q5")
    said = failures(line(alice={"suites": (Q3,)}).dial())
    assert said["alice"] == (
        "calls with bob have had suite Q5 and this phone is set to less; use --suite Q5, or if less is meant"
        f" this time: --allow-less ({RUNNING})"
    )


WISHES = [
    Insistence("alice", "bob", outgoing, required, keys, suite, there)
    for outgoing, required, keys, suite, there in itertools.product(
        (True, False), (True, False), (True, False), (None, "Q5", "Q5+HQC-256"), (True, False)
    )
]
OFFERED = [(), ("Q3",), ("Q5",), ("Q5", "Q3"), ("Q9",)]
HOLES = re.compile(
    r"  | [,;.)]|[:;,]$|\( |\(\)|:[;,)]|\b(?:or|and|takes|offers|to|with|use)(?:[;,)]|$)|None"
    r"|--suite(?! Q(?:3|5\+?)\b)|--qkd(?! prefer)|allow-less alice (?!there|here)\w"
)


def texts(wish: Insistence) -> Iterator[str]:
    """Everything that one of these may say."""
    yield str(wish.keys_missing_there())
    yield str(wish.keys_missing_here("pool-empty"))
    yield str(wish.keys_not_renewed_there())
    yield str(wish.keys_not_renewed_here("pool-empty"))
    if wish.had_suite is not None:
        yield str(wish.suite_not_offered())
    for offered, taken in itertools.product(OFFERED, OFFERED[:-1]):
        if taken or wish.had_suite is not None:
            yield str(wish.suite_missing(offered, taken))


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_whatever_comes_together_is_a_whole_sentence(wish: Insistence) -> None:
    for text in texts(wish):
        assert not HOLES.search(text), text
        assert text.count("(") == text.count(")")
        assert "--allow-less" not in text or "qcall control allow-less" in text
