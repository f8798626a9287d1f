"""Which devices a call gets: what the user named, else the sound card, else nothing, which is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qcall.config import Settings
from qcall.errors import NO_PYAUDIO, DeviceError, UsageError
from qcall.media.devices import NullSink, NullSource, Sink, Source, ToneSource, WavSink, WavSource
from qcall.media.portaudio import find_card
from qcall.media.processing import Processing
from qcall.media.soundcard import Microphone, Speaker, is_headset

from .event import Event

Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user wants to speak into and to hear from; ``None``: the sound card.

    ``spoken`` and ``heard`` are WAV files or ``null``, ``spoken`` also ``tone``; ``microphone`` and
    ``speaker`` are parts of a card's names. By themselves, ``tones`` are heard from a sound card and not
    written into files, and ``processing`` is on where a loudspeaker can be heard by a microphone.
    """

    spoken: str | None = None
    heard: str | None = None
    microphone: str | None = None
    speaker: str | None = None
    tones: Switch = "auto"
    processing: Switch = "auto"


@dataclass(frozen=True)
class Sound:
    """The opened devices of one call."""

    source: Source
    sink: Sink
    tones: bool = False
    """Whether the phone's own tones are heard."""
    processing: Processing | None = None

    @property
    def files(self) -> tuple[Source | None, Sink | None]:
        """Those of both that have a beginning: files and tones, not sound cards and what stands for them."""
        source = self.source if isinstance(self.source, WavSource | ToneSource) else None
        return source, self.sink if isinstance(self.sink, WavSink) else None

    @property
    def at_rest(self) -> Sound:
        """These without the sound cards, which another call may need."""
        source = NullSource() if isinstance(self.source, Microphone) else self.source
        sink = NullSink() if isinstance(self.sink, Speaker) else self.sink
        return replace(self, source=source, sink=sink, processing=None)

    def close(self, *, all_but: Sound | None = None) -> None:
        """Give the devices back, but for those that are also the other's."""
        if all_but is None or self.source is not all_but.source:
            self.source.close()
        if all_but is None or self.sink is not all_but.sink:
            self.sink.close()


def wishes_of(sound: Mapping[str, Any], settings: Settings) -> Wishes:
    """What was said of ``sound``, by the names of ``Wishes``, else the cards of ``settings``."""
    said = Wishes(**sound)
    return replace(
        said,
        microphone=said.microphone or (None if said.spoken else settings.microphone or None),
        speaker=said.speaker or (None if said.heard else settings.speaker or None),
    )


def check(wishes: Wishes) -> None:
    """Complain about what cannot be used before anybody is called. Raises ``DeviceError``, ``UsageError``."""
    spoken, heard = wishes.spoken, wishes.heard
    if spoken is not None and wishes.microphone is not None:
        raise UsageError("--input and --microphone exclude each other; give one of them")
    if heard is not None and wishes.speaker is not None:
        raise UsageError("--output and --speaker exclude each other; give one of them")
    if spoken not in (None, "tone", "null"):
        try:
            WavSource(Path(spoken)).close()
        except DeviceError as error:
            raise UsageError(f"--input: {error}") from None
    if heard not in (None, "null"):
        check_place(Path(heard), "--output")
    if wishes.processing == "on":
        Processing()


def check_place(file: Path, option: str) -> None:
    """Raise ``UsageError`` for a ``file`` that cannot be written, nor made if it is not there."""
    directory = file.absolute().parent
    try:
        if not directory.is_dir():
            text = f"there is no directory {directory}; make it, or choose another file with {option}"
            raise UsageError(text)
        usable = not file.is_dir() and os.access(file if file.exists() else directory, os.W_OK)
    except OSError:  # a name that is too long, a directory that may not be looked into
        usable = False
    if not usable:
        raise UsageError(f"{file} cannot be written; choose another file with {option}")


class Opener:
    """Opens the devices of one call after the other. Raises ``DeviceError`` for what cannot be opened."""

    def __init__(self, wishes: Wishes, tell: Callable[[Event], None]) -> None:
        self._wishes = wishes
        self._tell = tell
        self._told_of_pyaudio = False

    async def __call__(self, before: Sound | None = None) -> Sound:
        """The devices of a call; when it comes back from hold, the files of ``before`` go on in them.

        To open a file again would be to begin it again.
        """
        self._told_of_pyaudio = False
        spoken, heard = (None, None) if before is None else before.files
        source = spoken or await open_source(self._wishes, self._say)
        try:
            sink = heard or await open_sink(self._wishes, self._say)
        except BaseException:
            if source is not spoken:
                source.close()
            raise
        tones = isinstance(sink, Speaker) if self._wishes.tones == "auto" else self._wishes.tones == "on"
        return Sound(source, sink, tones, processing_for(self._wishes, source, sink, self._note))

    async def choose(self, kind: str, name: str) -> None:
        """Open another device from the next call on; ``kind`` and ``name`` as for ``changed``.

        Raises ``DeviceError`` and ``UsageError`` for what cannot be used, and for a card that is not there.
        """
        wishes = wished(self._wishes, kind, name)
        check(wishes)
        if name and kind in ("microphone", "speaker"):
            await find_card(name, input=kind == "microphone")
        self._wishes = wishes

    async def changed(self, sound: Sound, kind: str, name: str) -> Sound:
        """``sound`` with another device, which is opened now, and by every call from now on.

        ``kind`` is the option that chooses it and ``name`` its value: ``microphone`` or ``speaker`` with a
        part of the card's name, empty for the default one; ``input`` or ``output`` with a file or ``null``,
        ``input`` with ``tone`` too. What it replaces is still open.
        """
        wishes = wished(self._wishes, kind, name)
        self._told_of_pyaudio = False
        if kind in ("microphone", "input"):
            sound = replace(sound, source=await open_source(wishes, self._say))
        else:
            sound = replace(sound, sink=await open_sink(wishes, self._say))
        self._wishes = wishes
        return replace(sound, processing=processing_for(wishes, sound.source, sound.sink, self._note))

    def _say(self, message: object) -> None:
        """A device is missing: the call goes on without. That both lack PyAudio is told once."""
        if isinstance(message, DeviceError) and message.code == NO_PYAUDIO:
            if self._told_of_pyaudio:
                return
            self._told_of_pyaudio = True
        code = message.code if isinstance(message, DeviceError) else ""
        fields = {"message": str(message), "missing": True, "code": code}
        self._tell(Event("sound", time.monotonic(), fields))

    def _note(self, message: object) -> None:
        """Something makes the sound worse than it could be."""
        self._tell(Event("sound", time.monotonic(), {"message": str(message), "missing": False}))


def wished(wishes: Wishes, kind: str, name: str) -> Wishes:
    """``wishes`` with another device. Raises ``UsageError`` for a file that was not named."""
    match kind:
        case "microphone":
            return replace(wishes, spoken=None, microphone=name or None)
        case "speaker":
            return replace(wishes, heard=None, speaker=name or None)
    if not name:
        raise UsageError(f"{kind} needs a WAV file or null; give one, or choose a microphone or a speaker")
    if kind == "input":
        return replace(wishes, spoken=name, microphone=None)
    return replace(wishes, heard=name, speaker=None)


async def open_source(wishes: Wishes, say: Callable[[object], None]) -> Source:
    """What to speak into. A card that was named must be there; without any, silence is spoken."""
    match wishes.spoken:
        case "null":
            return NullSource()
        case "tone":
            return ToneSource()
        case None:
            try:
                return await Microphone.open(wishes.microphone, say)
            except DeviceError as error:
                if wishes.microphone is not None:
                    raise
                say(instead(wishes, error))
                return NullSource()
    return WavSource(Path(wishes.spoken))


async def open_sink(wishes: Wishes, say: Callable[[object], None]) -> Sink:
    """What to hear from; as ``open_source``."""
    match wishes.heard:
        case "null":
            return NullSink()
        case None:
            try:
                return await Speaker.open(wishes.speaker, say)
            except DeviceError as error:
                if wishes.speaker is not None:
                    raise
                say(instead(wishes, error))
                return NullSink()
    return WavSink(Path(wishes.heard))


def instead(wishes: Wishes, error: DeviceError) -> DeviceError:
    """``error`` with the options that make up for it, where neither device is to blame."""
    if error.code != NO_PYAUDIO:
        return error
    wanted = (("--input", wishes.spoken), ("--output", wishes.heard))
    options = " and ".join(option for option, given in wanted if given is None)
    text = f"PyAudio is not installed (see the README), or give {options}; silence now"
    return DeviceError(text, code=NO_PYAUDIO)


def processing_for(
    wishes: Wishes, source: Source, sink: Sink, say: Callable[[object], None]
) -> Processing | None:
    """The echo canceller and its company, where they are wanted; ``say`` is told why they are not there."""
    if wishes.processing == "on":
        return telling(Processing(), say)
    if wishes.processing == "off" or not isinstance(source, Microphone) or not isinstance(sink, Speaker):
        return None
    if is_headset(source.name) or is_headset(sink.name):
        return None
    try:
        return telling(Processing(), say)
    except DeviceError as error:
        say(error)
        return None


def telling(processing: Processing, say: Callable[[object], None]) -> Processing:
    """``processing``, which tells ``say`` should it fail."""
    processing.on_fault = say
    return processing
