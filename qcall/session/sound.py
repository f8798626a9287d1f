"""Which devices a call gets: what the user named, else the sound card, else nothing, which is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from qcall.errors import DeviceError
from qcall.media.devices import NullSink, NullSource, Sink, Source, ToneSource, WavSink, WavSource
from qcall.media.soundcard import Microphone, Speaker

from .report import Event


def check(spoken: str | None, heard: str | None) -> None:
    """Complain about files that cannot be used before anybody is called. Raises ``DeviceError``."""
    if spoken not in (None, "tone", "null"):
        WavSource(Path(spoken)).close()
    if heard not in (None, "null") and not Path(heard).absolute().parent.is_dir():
        raise DeviceError(f"there is no directory for {heard}; make it, or choose another file with --output")


def opener(
    spoken: str | None, heard: str | None, tell: Callable[[Event], None]
) -> Callable[[], tuple[Source, Sink]]:
    """A function that opens the devices of one call."""

    def absent(error: DeviceError) -> None:
        tell(Event("sound", time.monotonic(), {"message": str(error)}))

    def source() -> Source:
        match spoken:
            case "null":
                return NullSource()
            case "tone":
                return ToneSource()
            case None:
                try:
                    return Microphone()
                except DeviceError as error:
                    absent(error)
                    return NullSource()
        return WavSource(Path(spoken))

    def sink() -> Sink:
        match heard:
            case "null":
                return NullSink()
            case None:
                try:
                    return Speaker()
                except DeviceError as error:
                    absent(error)
                    return NullSink()
        return WavSink(Path(heard))

    def both() -> tuple[Source, Sink]:
        first = source()
        try:
            return first, sink()
        except DeviceError:
            first.close()
            raise

    return both
