"""What is typed at a phone without a screen: each key does its one thing, or says why it does nothing."""

from __future__ import annotations

from typing import Any

import pytest

from qcall.call.machine import State
from qcall.headless import KEYS, WORDS, obey


class Call:
    """What the keys ask of a ``Conversation``."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.done: list[str] = []
        self.muted = False

    def answer(self) -> None:
        self.done.append("answered")

    def hang_up(self) -> None:
        self.done.append("hung up")

    def mute(self, on: bool) -> None:
        self.muted = on
        self.done.append("muted" if on else "unmuted")


@pytest.mark.parametrize(
    ("line", "state", "done"),
    [
        ("a", State.ALERTING, ["answered"]),
        (" Answer ", State.ALERTING_SECURED, ["answered"]),
        ("d", State.ALERTING_SECURED, ["hung up"]),
        ("h", State.ALERTING, ["hung up"]),
        ("h", State.TALKING, ["hung up"]),
        ("hang up", State.TALKING, ["hung up"]),
        ("m", State.TALKING, ["muted"]),
        ("", State.TALKING, []),
    ],
)
def test_a_key_does_its_thing_and_says_nothing(line: str, state: State, done: list[str]) -> None:
    call: Any = Call(state)
    assert obey(call, line) == ""
    assert call.done == done


def test_the_microphone_is_turned_on_again() -> None:
    call: Any = Call(State.TALKING)
    assert [obey(call, "m"), obey(call, "m")] == ["", ""]
    assert call.done == ["muted", "unmuted"]


@pytest.mark.parametrize("line", ["a", "d"])
def test_what_does_not_ring_cannot_be_answered_nor_declined(line: str) -> None:
    call: Any = Call(State.TALKING)
    assert obey(call, line) == obey(None, line) == "no call waits for an answer\n"
    assert call.done == []


@pytest.mark.parametrize("line", ["h", "m"])
def test_without_a_call_there_is_nothing_to_end(line: str) -> None:
    assert obey(None, line) == "there is no call\n"


def test_the_keys_are_told_when_asked_for_and_when_something_else_was_typed() -> None:
    assert obey(None, "?") == obey(None, "help") == KEYS
    assert obey(None, "perhaps").startswith("'perhaps' is none of the keys: a answer, ")
    for key in WORDS.values():
        assert f" {key} " in KEYS
    assert "h hang up (or decline)" in KEYS
