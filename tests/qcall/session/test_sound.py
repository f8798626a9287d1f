"""The devices of a call, and what is said of those that it does not get."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from qcall.errors import NO_PYAUDIO, DeviceError
from qcall.media.devices import NullSink, NullSource
from qcall.media.processing import Processing
from qcall.session import sound as devices
from qcall.session.event import Event
from qcall.session.sound import Opener, Wishes
from tests.qcall.media.cards import plugged_in


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
        assert told[-1].fields["code"] == NO_PYAUDIO


class Canceller(Processing):
    """Stands for an echo canceller, where the wheel is not installed either."""

    def __init__(self) -> None:
        """It does nothing."""


@pytest.mark.parametrize(
    ("wishes", "microphone", "loudspeaker", "cancelled"),
    [
        ({}, "Built-in Microphone", "Built-in Speakers", True),
        ({}, "USB Headset", "Built-in Speakers", False),
        ({}, "Built-in Microphone", "WH-1000 Headphones", False),
        ({"spoken": "null"}, "", "Built-in Speakers", False),
        ({"heard": "null"}, "Built-in Microphone", "", False),
        ({"processing": "off"}, "Built-in Microphone", "Built-in Speakers", False),
        ({"processing": "on"}, "USB Headset", "USB Headset", True),
        ({"processing": "on", "spoken": "null", "heard": "null"}, "", "", True),
    ],
)
async def test_echo_is_cancelled_where_a_microphone_hears_a_loudspeaker_or_by_wish(
    wishes: dict[str, Any],
    microphone: str,
    loudspeaker: str,
    cancelled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = plugged_in(monkeypatch)
    cards.microphone, cards.loudspeaker = microphone, loudspeaker
    monkeypatch.setattr(devices, "Processing", Canceller)
    sound = await Opener(Wishes(**wishes), lambda event: None)()
    assert isinstance(sound.processing, Canceller) is cancelled
    sound.close()


@pytest.mark.parametrize("wish", ["auto", "on"])
async def test_a_canceller_that_fails_in_the_call_is_told(wish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged_in(monkeypatch)
    monkeypatch.setattr(devices, "Processing", Canceller)
    told: list[Event] = []
    sound = await Opener(Wishes(processing=wish), told.append)()
    assert sound.processing is not None
    sound.processing.on_fault(DeviceError("the echo canceller failed"))
    assert [(event.kind, event.fields["message"]) for event in told] == [
        ("sound", "the echo canceller failed")
    ]
    sound.close()
