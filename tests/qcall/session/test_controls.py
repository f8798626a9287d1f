"""What commands do to the call in front: recordings and devices, with what cannot be done refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qcall.config import Settings
from qcall.errors import DeviceError, UsageError
from qcall.media import portaudio
from qcall.media.devices import NullSink, NullSource, ToneSource, WavSink
from qcall.media.portaudio import CardInfo
from qcall.media.sides import Sides
from qcall.session import commands
from qcall.session.controls import carry_out
from qcall.session.report import Timing
from qcall.session.script import Script
from qcall.session.sound import Opener, Sound, Wishes, check, wishes_of
from qcall.session.voice import Voice


class Call:
    """What the controls ask of a ``Conversation``."""

    held = muted = False
    recording: Path | None = None
    sides: Sides | None = None

    def start_recording(self, file: Path, sides: Sides) -> None:
        self.recording, self.sides = file, sides

    def stop_recording(self) -> None:
        self.recording = None


async def done(call: Any, command: Any) -> dict[str, Any]:
    return await carry_out(command, call, Opener(Wishes(), lambda _: None))


async def test_a_recording_begins_and_ends() -> None:
    call = Call()
    assert await done(call, commands.Record("on", "/music/call.wav", "own")) == {
        "recording": True,
        "file": "/music/call.wav",
    }
    assert (call.recording, call.sides) == (Path("/music/call.wav"), Sides.OWN)
    assert await done(call, commands.Record()) == {"recording": False, "file": "/music/call.wav"}
    assert call.recording is None


async def test_ending_a_recording_that_is_not_made_does_nothing() -> None:
    assert await done(Call(), commands.Record("off")) == {"recording": False, "file": None}


async def test_a_recording_needs_a_file() -> None:
    call = Call()
    with pytest.raises(UsageError, match="new file"):
        await done(call, commands.Record("on"))
    assert call.recording is None


class Peer:
    """What ``Voice`` asks of a ``Peer``, and of the handset of it, when devices change."""

    def __init__(self) -> None:
        self.changed: list[Any] = []
        self.handset = self

    def hush(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def change_source(self, source: Any) -> None:
        self.changed.append(source)

    def change_sink(self, sink: Any) -> None:
        self.changed.append(sink)

    def change_processing(self, processing: Any) -> None:
        assert processing is None


@pytest.fixture
def opener() -> Opener:
    return Opener(Wishes(spoken="null", heard="null"), lambda _: None)


@pytest.fixture
async def voice(opener: Opener) -> AsyncIterator[Any]:
    voice: Any = Voice(None, Timing(0.0), None)  # type: ignore[arg-type]
    voice.peer, voice._sound = Peer(), await opener()
    yield voice
    voice._sound.source.close()
    voice._sound.sink.close()


async def test_another_input_is_opened_and_kept_for_the_calls_to_come(voice: Any, opener: Opener) -> None:
    await voice.change_device(opener, "input", "tone")
    (source,) = voice.peer.changed
    assert isinstance(source, ToneSource)
    assert isinstance((await opener()).source, ToneSource)
    assert isinstance(voice._sound.sink, NullSink)


async def test_another_output_leaves_the_input_alone(voice: Any, opener: Opener, tmp_path: Path) -> None:
    before: Sound = voice._sound
    await voice.change_device(opener, "output", str(tmp_path / "heard.wav"))
    assert [type(each) for each in voice.peer.changed] == [WavSink]
    assert voice._sound.source is before.source


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [("input", "/nowhere/speech.wav", DeviceError), ("output", "", UsageError), ("input", "", UsageError)],
)
async def test_a_device_that_cannot_be_opened_changes_nothing(
    voice: Any, opener: Opener, kind: str, name: str, error: type[Exception]
) -> None:
    before = voice._sound
    with pytest.raises(error):
        await voice.change_device(opener, kind, name)
    assert voice._sound is before
    assert voice.peer.changed == []
    assert isinstance((await opener()).source, NullSource)


class Slow(Opener):
    """Opens a device when it is let."""

    def __init__(self) -> None:
        super().__init__(Wishes(spoken="null", heard="null"), lambda _: None)
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.opened: Closable | None = None

    async def changed(self, sound: Sound, kind: str, name: str) -> Sound:
        self.begun.set()
        await self.let.wait()
        self.opened = Closable()
        return replace(sound, source=self.opened)


class Closable(NullSource):
    closed = False

    def close(self) -> None:
        self.closed = True


async def test_the_old_device_is_used_until_the_new_one_is_open(voice: Any) -> None:
    slow = Slow()
    before = Closable()
    voice._sound = replace(voice._sound, source=before)
    change = asyncio.create_task(voice.change_device(slow, "microphone", "headset"))
    await slow.begun.wait()
    assert voice.peer.changed == []
    assert not before.closed
    slow.let.set()
    await change
    assert voice.peer.changed == [slow.opened]


async def test_a_device_that_is_open_when_the_call_has_ended_is_given_back(voice: Any) -> None:
    slow = Slow()
    change = asyncio.create_task(voice.change_device(slow, "microphone", "headset"))
    await slow.begun.wait()
    await voice.close(None)
    slow.let.set()
    with pytest.raises(UsageError, match="ended"):
        await change
    assert slow.opened is not None
    assert slow.opened.closed
    assert voice.peer.changed == []


async def test_a_call_on_hold_has_no_devices_to_change(voice: Any, opener: Opener) -> None:
    voice.held = True
    with pytest.raises(UsageError, match="hold"):
        await voice.change_device(opener, "input", "tone")


async def test_without_a_call_a_device_is_for_the_calls_to_come(opener: Opener) -> None:
    await opener.choose("input", "tone")
    assert isinstance((await opener()).source, ToneSource)
    with pytest.raises(UsageError, match="--input"):
        await opener.choose("input", "/nowhere/speech.wav")
    assert isinstance((await opener()).source, ToneSource)


@pytest.mark.parametrize(("kind", "there"), [("microphone", "HDA Intel, USB Headset"), ("speaker", "HDMI")])
async def test_without_a_call_a_card_has_to_be_there(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, kind: str, there: str
) -> None:
    cards = [CardInfo("HDA Intel", True, False), CardInfo("USB Headset", True, False)]
    monkeypatch.setattr(portaudio, "_cards", lambda: [*cards, CardInfo("HDMI", False, True)])
    with pytest.raises(DeviceError, match=f"called nosuch; there are: {there}$"):
        await opener.choose(kind, "nosuch")
    assert isinstance((await opener()).source, NullSource)
    await opener.choose(kind, there.split()[-1].upper())
    assert getattr(opener._wishes, kind) == there.split()[-1].upper()


@pytest.mark.parametrize("name", ["/dev/full", ".", "absent/call.wav", "x" * 256])
def test_what_cannot_be_recorded_is_said_before_anybody_is_called(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--record"):
        Script(record=tmp_path / name).check()


@pytest.mark.parametrize("name", [".", "absent/heard.wav", "x" * 256])
def test_where_nothing_can_be_heard_is_said_before_anybody_is_called(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--output"):
        check(Wishes(spoken="null", heard=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("said", "microphone", "speaker"),
    [
        ({}, "USB", "HDMI"),
        ({"microphone": "webcam"}, "webcam", "HDMI"),
        ({"spoken": "tone"}, None, "HDMI"),
        ({"heard": "null", "speaker": None}, "USB", None),
    ],
)
def test_the_cards_of_the_settings_are_used_where_nothing_else_was_said(said, microphone, speaker) -> None:
    wishes = wishes_of(said, Settings(microphone="USB", speaker="HDMI"))
    assert (wishes.microphone, wishes.speaker) == (microphone, speaker)
