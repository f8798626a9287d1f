"""The devices of a call: given up by who holds it, taken again, silent and sounding as both users wish."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from qcall.errors import DeviceError
from qcall.media.peer import Peer, Relay
from qcall.media.processing import Processing
from qcall.media.tones import HOLDING
from qcall.session import sound
from qcall.session.line import Line
from qcall.session.report import Timing
from qcall.session.sound import Opener, Wishes
from qcall.session.voice import Voice
from qcall.session.work import Work
from tests.qcall.media.cards import Cards, plugged_in

BUILT_IN = ["Built-in Microphone", "Built-in Speakers"]
Begin = Callable[..., Awaitable[tuple[Voice, Peer]]]


class Canceller(Processing):
    """Stands for an echo canceller, where the wheel is not installed either."""

    def __init__(self) -> None:
        """It does nothing."""


def fail(error: Exception) -> None:
    raise error


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    monkeypatch.setattr(sound, "Processing", Canceller)
    return plugged_in(monkeypatch)


@pytest.fixture
async def begin(cards: Cards) -> AsyncIterator[Begin]:
    """Begins a call of a phone with the wishes given, up to where the network would be asked."""
    voices: list[Voice] = []

    async def open(*, muted: bool = False, **wishes: Any) -> tuple[Voice, Peer]:
        line = Line(
            name="alice",
            send=None,  # type: ignore[arg-type]
            relay=lambda: Relay("127.0.0.1", 9, "nobody", "secret"),
            qkd=None,  # type: ignore[arg-type]
            records=None,  # type: ignore[arg-type]
            sound=Opener(Wishes(**wishes), lambda event: None),
            tell=lambda event: None,
            frame_ms=20,
            bitrate=32_000,
            copies=True,
            kme_id=None,
        )
        voice = Voice(line, Timing(time.monotonic()), Work(fail))
        for event in ("exporter", "exporter_context", "on_control_open", "on_control", "on_first_audio"):
            setattr(voice, event, fail)
        voice.on_digit = voice.on_failed = fail  # type: ignore[assignment]
        voice.muted = muted
        voices.append(voice)
        return voice, await voice._open()

    yield open
    for voice in voices:
        await voice.close(None)


async def test_a_call_on_hold_gives_its_cards_up_and_takes_them_again(begin: Begin, cards: Cards) -> None:
    voice, _ = await begin()
    assert cards.in_use == BUILT_IN
    assert await voice.hold(True)
    assert cards.in_use == []
    assert await voice.hold(False)
    assert cards.in_use == BUILT_IN


async def test_after_a_hold_the_call_has_the_devices_of_now_and_their_canceller(
    begin: Begin, cards: Cards
) -> None:
    cards.microphone, cards.loudspeaker = "Headset Microphone", "Headset"
    voice, peer = await begin()
    assert peer._mouth.processing is None
    await voice.hold(True)
    cards.microphone, cards.loudspeaker = BUILT_IN
    await voice.hold(False)
    assert isinstance(peer._mouth.processing, Canceller)
    assert peer._ear.processing is peer._mouth.processing
    assert (voice._sound.source, voice._sound.sink) == (peer._mouth.source, peer._ear.sink)
    assert (voice._timing.source, voice._timing.sink) == (peer._mouth.source, peer._ear.sink)


async def test_a_device_is_changed_after_a_hold(begin: Begin, cards: Cards) -> None:
    voice, peer = await begin()
    await voice.hold(True)
    assert peer._mouth.processing is None, "nobody speaks into a call on hold"
    await voice.hold(False)
    await voice.change_device(voice._line.sound, "microphone", "Headset")  # type: ignore[arg-type]
    assert cards.in_use == ["Built-in Speakers", "Headset"]
    assert peer._mouth.processing is None
    assert voice._timing.source is peer._mouth.source


async def test_files_go_on_through_a_hold(begin: Begin, cards: Cards, tmp_path: Path) -> None:
    voice, peer = await begin(heard=str(tmp_path / "heard.wav"))
    file = peer._ear.sink
    await voice.hold(True)
    assert cards.in_use == []
    await voice.hold(False)
    assert cards.in_use == BUILT_IN[:1]
    assert peer._ear.sink is file


async def test_a_card_that_is_gone_leaves_the_call_on_hold_and_its_files_open(
    begin: Begin, cards: Cards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    voice, peer = await begin(microphone="Podcaster", heard=str(tmp_path / "heard.wav"))
    await voice.hold(True)

    async def gone(*_: object, **__: object) -> None:
        raise DeviceError("there is no microphone called Podcaster; plug one in")

    monkeypatch.setattr("qcall.media.soundcard.open_card", gone)
    with pytest.raises(DeviceError, match="Podcaster"):
        await voice.hold(False)
    assert voice.held
    assert peer._ear.sink is voice._sound.sink


async def test_either_users_hold_silences_the_call_both_ways(begin: Begin) -> None:
    voice, peer = await begin(spoken="null", heard="null")
    for mine, theirs in [(True, False), (True, True), (False, True), (False, False)]:
        await voice.hold(mine)
        voice.held_by_peer = theirs
        assert (peer._mouth.held, peer._ear.held) == (mine or theirs, mine or theirs)


async def test_who_waits_for_the_other_hears_the_tone_of_it(begin: Begin) -> None:
    voice, peer = await begin(spoken="null", heard="null", tones="on")
    voice.held_by_peer = True
    assert peer._ear.tones.playing == HOLDING
    await voice.hold(True)
    assert peer._ear.tones.playing is None, "both wait, and nobody for the other"
    await voice.hold(False)
    assert peer._ear.tones.playing == HOLDING
    voice.held_by_peer = False
    assert peer._ear.tones.playing is None


async def test_who_was_muted_before_the_call_is_muted_in_it(begin: Begin) -> None:
    voice, peer = await begin(muted=True, spoken="null", heard="null")
    assert peer.handset.muted
    voice.muted = False
    assert not peer.handset.muted
