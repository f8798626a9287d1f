"""PortAudio, by PyAudio: its devices, and streams of 10 ms blocks from and to them.

PortAudio is not made for threads: it counts, lists and frees without a lock, and two threads that open or
close at once end the process. So there is one thread on which all of that is done, in the order in which it
was asked for; only the streams' callbacks come from others. It also keeps waiting out of the event loop: to
begin takes PortAudio 50 to 130 ms.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import functools
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import astuple, dataclass
from queue import SimpleQueue
from typing import Any, ClassVar, TypeVar

from qcall.errors import NO_CARD, NO_PYAUDIO, NO_SOUND_SYSTEM, DeviceError

from .opus import SAMPLE_RATE
from .playout import BLOCK

PA_INT_16 = 8
"""From portaudio.h: samples of signed 16 bits."""
LISTING_LIMIT = 5.0
"""Seconds for a process of its own to list the devices."""
ANSWER_LIMIT = 15.0
"""Seconds to wait for PortAudio: a stream may never end when its sound server dies (PortAudio issue 1037)."""
SETTLING_LIMIT = 2.0
"""The same when the program ends."""
STUCK = "the sound system does not answer; start the phone again, or give WAV files with --input and --output"

Callback = Callable[..., tuple[bytes | None, int]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CardInfo:
    """A device as PortAudio names it."""

    name: str
    microphone: bool
    loudspeaker: bool


def cards() -> list[CardInfo]:
    """All sound devices; none is a normal state. Blocks. Raises ``DeviceError`` without PyAudio."""
    try:
        return on_its_thread(_cards).result(ANSWER_LIMIT)
    except TimeoutError:
        raise DeviceError(STUCK, code=NO_SOUND_SYSTEM) from None


async def find_card(wanted: str, *, input: bool) -> str:
    """The full name of the device that ``open_card`` would open by ``wanted``; nothing is opened.

    Raises ``DeviceError``, which says what there is, when there is none of that name.
    """
    listing = on_its_thread(_cards)
    try:
        async with asyncio.timeout(ANSWER_LIMIT):
            found = await asyncio.wrap_future(listing)
    except TimeoutError:
        raise DeviceError(STUCK, code=NO_SOUND_SYSTEM) from None
    suited = [card.name for card in found if (card.microphone if input else card.loudspeaker)]
    return named(wanted, suited, input=input)


def named(wanted: str, names: Iterable[str], *, input: bool) -> str:
    """That of ``names`` which is ``wanted``, else the first that has it in it, in any case."""
    there = list(names)
    for name in sorted(there, key=lambda name: name != wanted):
        if wanted.casefold() in name.casefold():
            return name
    kind = "microphone" if input else "loudspeaker"
    known = f"there are: {', '.join(dict.fromkeys(there))}" if there else "there is none at all; plug one in"
    raise DeviceError(f"there is no {kind} called {wanted}; {known}")


async def open_card(
    name: str | None, *, input: bool, callback: Callback, on_start: Callable[[], None]
) -> Card:
    """A stream from or to the device whose name contains ``name``, or the default one.

    ``on_start`` is called before the first callback, and whenever the stream is begun anew: a device that was
    plugged in later is only found when PortAudio begins anew, and the streams of other devices with it.
    Raises ``DeviceError`` when nothing can be opened. What is opened when nobody waits any more is closed.
    """
    card = Card(name, input, callback, on_start)
    opening = on_its_thread(lambda: _open(card))
    try:
        async with asyncio.timeout(ANSWER_LIMIT):
            await asyncio.wrap_future(opening)
    except TimeoutError:
        card.close()
        raise DeviceError(STUCK, code=NO_SOUND_SYSTEM) from None
    except BaseException:
        card.close()
        raise
    return card


def on_its_thread(work: Callable[[], T]) -> Future[T]:
    """Do ``work`` after all that was asked for before."""
    future: Future[T] = Future()
    asked.put((future, work))
    with starting:
        if thread.ident is None:
            thread.start()
            atexit.register(settle)
    return future


def settle() -> None:
    """Wait until what was asked for is done. Streams end before the program, unless PortAudio is stuck."""
    with contextlib.suppress(TimeoutError):
        on_its_thread(lambda: None).result(SETTLING_LIMIT)


def serve() -> None:
    """Do what is asked for, one after the other, for ever."""
    while True:
        future, work = asked.get()
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)


asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
thread = threading.Thread(target=serve, name="portaudio", daemon=True)
"""Where everything but callbacks happens."""
starting = threading.Lock()


class Card:
    """A stream, which ``open_card`` makes; ``close`` is for every thread, the rest for PortAudio's own."""

    streams: ClassVar[set[Card]] = set()
    """Those that are open."""

    def __init__(
        self, wanted: str | None, input: bool, callback: Callback, on_start: Callable[[], None]
    ) -> None:
        self.wanted = wanted
        self.input = input
        self.kind = "microphone" if input else "loudspeaker"
        self.name = ""
        """Of the device that is open, as PortAudio has it."""
        self._callback = callback
        self._on_start = on_start
        self._portaudio: Any = None
        self._stream: Any = None

    def close(self) -> Future[None]:
        """Stop the stream, before anything that is asked for from now on; may be called twice."""
        return on_its_thread(self._stop)

    def _start(self, wanted: str | None) -> None:
        self._portaudio = initialised()
        try:
            info = self._find(wanted)
            self._on_start()
            self._stream = self._portaudio.open(
                rate=SAMPLE_RATE,
                channels=1,
                format=PA_INT_16,
                frames_per_buffer=BLOCK,
                stream_callback=self._callback,
                **{"input" if self.input else "output": True},
                **{f"{'input' if self.input else 'output'}_device_index": info["index"]},
            )
        except DeviceError:
            self._stop()
            raise
        except (OSError, ValueError) as error:
            self._stop()
            option = "--input" if self.input else "--output"
            raise DeviceError(
                f"no {self.kind} can be opened ({error}); plug one in, or give a WAV file with {option}",
                code=NO_CARD,
            ) from None
        self.name = str(info["name"])
        self.streams.add(self)

    def _stop(self) -> None:
        self.streams.discard(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        portaudio, self._portaudio = self._portaudio, None
        if portaudio is not None:
            portaudio.terminate()

    def _find(self, wanted: str | None) -> Any:
        if wanted is None and self.input:
            return self._portaudio.get_default_input_device_info()
        if wanted is None:
            return self._portaudio.get_default_output_device_info()
        channels = "maxInputChannels" if self.input else "maxOutputChannels"
        infos = [info for info in devices(self._portaudio) if info[channels] > 0]
        name = named(wanted, (str(info["name"]) for info in infos), input=self.input)
        return next(info for info in infos if str(info["name"]) == name)

    def _is_plugged_in(self) -> bool:
        """Whether another process finds what is wanted where this one does not know of it."""
        here = {card.name for card in listed() if self._suits(card)}
        there = {card.name for card in listed_afresh() if self._suits(card)}
        return bool(there - here)

    def _suits(self, card: CardInfo) -> bool:
        wanted = "" if self.wanted is None else self.wanted
        fits = card.microphone if self.input else card.loudspeaker
        return fits and wanted.casefold() in card.name.casefold()


def _open(card: Card) -> None:
    try:
        card._start(card.wanted)
    except DeviceError:
        if not (others := tuple(Card.streams)) or not card._is_plugged_in():
            raise
        for other in others:
            other._stop()
        for other in others:
            with contextlib.suppress(DeviceError):  # it is missed, and looked for, by who uses it
                other._start(other.name)
        card._start(card.wanted)


def _cards() -> list[CardInfo]:
    if not Card.streams:
        return listed()
    found = listed_afresh() or listed()
    # What is in use here, another process may not be able to open, and then does not list.
    missing = [card for card in Card.streams if not any(info.name == card.name for info in found)]
    return found + [CardInfo(card.name, card.input, not card.input) for card in missing]


def listed() -> list[CardInfo]:
    """The devices that were there when PortAudio began: it looks for them once, with its first stream."""
    portaudio = initialised()
    try:
        return [
            CardInfo(str(info["name"]), info["maxInputChannels"] > 0, info["maxOutputChannels"] > 0)
            for info in devices(portaudio)
        ]
    finally:
        portaudio.terminate()


def listed_afresh() -> list[CardInfo]:
    """The devices that are there now, as a process of its own finds them, and no stream is disturbed."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        listing = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LISTING_LIMIT, check=True
        )
        return [CardInfo(*fields) for fields in json.loads(listing.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def devices(portaudio: Any) -> list[dict[str, Any]]:
    """What PortAudio tells of each device."""
    return [portaudio.get_device_info_by_index(index) for index in range(portaudio.get_device_count())]


def initialised() -> Any:
    """PortAudio, begun if it was not; to be terminated. Raises ``DeviceError`` without PyAudio."""
    try:
        import pyaudio
    except ImportError:
        text = "PyAudio is not installed: there is no sound card without it; see the README"
        raise DeviceError(text, code=NO_PYAUDIO) from None
    silence()
    return pyaudio.PyAudio()


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


if __name__ == "__main__":
    json.dump([astuple(card) for card in listed()], sys.stdout)
