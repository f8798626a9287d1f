"""Codes in words: short enough for a list, and never a code."""

from __future__ import annotations

import pytest

from qcall.agreement.messages import RefuseCode
from qcall.call.events import Reason
from qcall.session.event import Event
from qcall.session.wording import line_of, reason_line

COLUMN = 13
"""Cells of the list of calls."""


@pytest.mark.parametrize("outgoing", [None, True, False])
@pytest.mark.parametrize("code", sorted({*Reason, *RefuseCode}))
def test_every_ordinary_end_has_words_that_fit(code: str, outgoing: bool | None) -> None:
    words = reason_line(code, outgoing=outgoing)
    assert 0 < len(words) <= COLUMN
    assert "-" not in words


def test_an_end_without_words_is_read_as_it_is_written() -> None:
    assert reason_line("qkd-key-not-found") == "qkd key not found"


def test_who_hung_up_is_told() -> None:
    assert reason_line(Reason.HANGUP) == "you hung up"
    assert reason_line(Reason.REMOTE_HANGUP) == "they hung up"


@pytest.mark.parametrize(
    ("connected", "again", "line"),
    [
        (True, False, ""),
        (False, False, "the relay is away; trying to reach it again"),
        (True, True, "the relay is back"),
    ],
)
def test_the_relay_is_spoken_of_when_it_goes_and_when_it_comes_back(
    connected: bool, again: bool, line: str
) -> None:
    assert line_of(Event("relay", 0.0, {"connected": connected, "again": again})) == line


@pytest.mark.parametrize(
    ("code", "outgoing", "words"),
    [
        ("cancelled", True, "you gave up"),
        ("cancelled", False, "missed"),
        ("no-answer", True, "no answer"),
        ("no-answer", False, "missed"),
        ("declined", True, "they declined"),
        ("declined", False, "you declined"),
    ],
)
def test_who_did_not_want_the_call_is_told(code: str, outgoing: bool, words: str) -> None:
    assert reason_line(code, outgoing=outgoing) == words


@pytest.mark.parametrize(
    ("reason", "outgoing", "line"),
    [
        ("cancelled", False, "missed: bob called and gave up after 8 s"),
        ("no-answer", False, "missed: bob called, not answered in 8 s"),
        ("no-answer", True, "call ended: no answer from bob in 8 s"),
        ("cancelled", True, "call ended: you gave up"),
    ],
)
def test_a_call_that_nobody_answered_says_how_long_it_rang(reason: str, outgoing: bool, line: str) -> None:
    fields = {"reason": reason, "outgoing": outgoing, "contact": "bob", "quality": {}}
    assert line_of(Event("ended", 10.3, {**fields, "timing": {"ringing_at": 2.1}})) == line


def test_a_call_that_never_rang_is_missed_without_a_time() -> None:
    fields = {"reason": "cancelled", "outgoing": False, "contact": "bob", "quality": {}, "timing": {}}
    assert line_of(Event("ended", 1.0, fields)) == "missed: bob called and gave up"
