"""The devices of a call, and what is said of those that it does not get."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from qcall.media.devices import NullSink, NullSource
from qcall.session.event import Event
from qcall.session.sound import Opener, Wishes


@pytest.mark.parametrize(
    ("given", "options"),
    [({}, "--input and --output"), ({"spoken": "null"}, "--output"), ({"heard": "null"}, "--input")],
)
async def test_without_pyaudio_a_call_is_told_once_what_to_give(
    given: dict[str, Any], options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    told: list[Event] = []
    opened = Opener(Wishes(**given), told.append)
    for calls in (1, 2):
        sound = await opened()
        assert isinstance(sound.source, NullSource)
        assert isinstance(sound.sink, NullSink)
        sound.close()
        assert [event.fields["message"] for event in told] == calls * [
            f"PyAudio is not installed (see the README), or give {options}; silence now"
        ]
