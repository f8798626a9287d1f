"""Codes in words: short enough for a list, and never a code."""

from __future__ import annotations

import pytest

from qcall.agreement.messages import RefuseCode
from qcall.call.events import Reason
from qcall.session.event import Event
from qcall.session.wording import line_of, reason_line

COLUMN = 13
"""Cells of the list of calls."""


@pytest.mark.parametrize("code", sorted({*Reason, *RefuseCode}))
def test_every_ordinary_end_has_words_that_fit(code: str) -> None:
    words = reason_line(code)
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
