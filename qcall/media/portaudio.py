"""PortAudio, by PyAudio: its devices, and streams of 10 ms blocks from and to them.

PortAudio is not made for threads: it counts, lists and frees without a lock, and two threads that open or
close at once end the process. So there is one thread on which all of that is done, in the order in which it
was asked for; only the streams' callbacks come from others. It also keeps waiting out of the event loop: to
begin takes PortAudio 50 to 130 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from qcall.errors import DeviceError

from .opus import SAMPLE_RATE
from .playout import BLOCK

THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="portaudio")
"""Where everything but callbacks happens."""

Callback = Callable[..., tuple[bytes | None, int]]


@dataclass(frozen=True, slots=True)
class CardInfo:
    """A device as PortAudio names it."""

    name: str
    microphone: bool
    loudspeaker: bool


def cards() -> list[CardInfo]:
    """All sound devices; none is a normal state. Blocks. Raises ``DeviceError`` without PyAudio."""
    return THREAD.submit(_listed).result()


def open_card(name: str | None, *, input: bool, callback: Callback) -> Future[Card]:
    """A stream on the device whose name contains ``name``, or on the default one; ``DeviceError`` without."""
    return THREAD.submit(_opened, name, input, callback)


class Card:
    """A stream, which ``open_card`` makes; ``close`` is for every thread, the rest for PortAudio's own."""

    def __init__(self) -> None:
        try:
            import pyaudio
        except ImportError:
            raise DeviceError(
                "PyAudio is not installed (see the README), or give --input and --output; silence now"
            ) from None
        silence()
        self._pyaudio = pyaudio
        self.name = ""
        """Of the device that is open, as PortAudio has it."""
        self._stream: Any = None
        self.portaudio = pyaudio.PyAudio()

    def close(self) -> Future[None]:
        """Stop the stream, before anything that is asked for from now on; may be called twice."""
        return THREAD.submit(self._close)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        portaudio, self.portaudio = self.portaudio, None
        if portaudio is not None:
            portaudio.terminate()

    def _open(self, name: str | None, *, input: bool, callback: Callback) -> None:
        kind, option = ("microphone", "--input") if input else ("loudspeaker", "--output")
        device = None if name is None else self._find(name, kind, input=input)
        default = (
            self.portaudio.get_default_input_device_info
            if input
            else self.portaudio.get_default_output_device_info
        )
        direction = "input" if input else "output"
        try:
            info = default() if device is None else self.portaudio.get_device_info_by_index(device)
            self.name = str(info["name"])
            self._stream = self.portaudio.open(
                rate=SAMPLE_RATE,
                channels=1,
                format=self._pyaudio.paInt16,
                frames_per_buffer=BLOCK,
                stream_callback=callback,
                **{direction: True, f"{direction}_device_index": device},
            )
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"no {kind} can be opened ({error}); plug one in, or give a WAV file with {option}"
            ) from None

    def _find(self, name: str, kind: str, *, input: bool) -> int:
        channels = "maxInputChannels" if input else "maxOutputChannels"
        for index in range(self.portaudio.get_device_count()):
            info = self.portaudio.get_device_info_by_index(index)
            if name.casefold() in str(info["name"]).casefold() and info[channels] > 0:
                return index
        raise DeviceError(f"there is no {kind} called {name}; see: qcall devices")


def _opened(name: str | None, input: bool, callback: Callback) -> Card:
    card = Card()
    try:
        card._open(name, input=input, callback=callback)
    except DeviceError:
        card._close()
        raise
    return card


def _listed() -> list[CardInfo]:
    card = Card()
    try:
        portaudio = card.portaudio
        infos = [portaudio.get_device_info_by_index(i) for i in range(portaudio.get_device_count())]
    finally:
        card._close()
    return [
        CardInfo(str(info["name"]), info["maxInputChannels"] > 0, info["maxOutputChannels"] > 0)
        for info in infos
    ]


HANDLERS = {
    "libasound.so.2": ("snd_lib_error_set_handler",),
    "libjack.so.0": ("jack_set_error_function", "jack_set_info_function"),
}
"""What PortAudio loads, and what sets there the function that gets each message."""


@functools.cache
def silence() -> None:
    """Keep PortAudio and what it loads from talking over the program, from now on.

    They print what they look for in vain. File descriptor 2 stays as it is: it is where the terminal
    interface is drawn, from another thread. ALSA and JACK are given a function to tell instead, one that
    heeds no argument and, unlike one in Python, needs no lock in a thread that plays. PortAudio offers no
    such thing and prints by C's ``stderr``: a variable, in glibc, that may be set. Python does not use it.
    """
    libc = ctypes.CDLL(None)
    for library, setters in HANDLERS.items():
        with contextlib.suppress(OSError, AttributeError):  # not what this PortAudio was built with
            loaded = ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
            for setter in setters:
                getattr(loaded, setter)(libc.getpid)
    if platform.libc_ver()[0] == "glibc":
        libc.fopen.restype = ctypes.c_void_p
        nowhere = libc.fopen(os.devnull.encode(), b"w")
        ctypes.c_void_p.in_dll(libc, "stderr").value = nowhere
