"""The media connection of one call and its devices, as the session drives them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from qcall.agreement import effects as agree
from qcall.errors import QcallError, Unavailable, UsageError
from qcall.media.peer import Peer
from qcall.media.quality import SILENT
from qcall.media.srtp import SrtpKeyPair
from qcall.media.tones import HOLDING, Tone, Tones

from .line import Line
from .report import Timing, quality
from .sound import Opener, Sound
from .work import Work

LAST_TONE = 1.4
"""Seconds that the tone at the end of a call sounds: two beats of busy, or one of congestion."""


class Voice:
    """Opened when the agreement wants a description, closed with the call.

    The callables are assigned before it is opened: ``exporter`` and ``exporter_context`` key SRTP (see
    ``Peer``), ``on_control_open``, ``on_control(data)``, ``on_first_audio``, ``on_digit(digit)`` and
    ``on_failed(error)`` tell.
    """

    exporter: Callable[[bytes], SrtpKeyPair]
    exporter_context: Callable[[], bytes]
    on_control_open: Callable[[], None]
    on_control: Callable[[bytes], None]
    on_first_audio: Callable[[], None]
    on_digit: Callable[[str], None]
    on_failed: Callable[[QcallError], None]

    def __init__(self, line: Line, timing: Timing, work: Work) -> None:
        self._line = line
        self._timing = timing
        self._work = work
        self.peer: Peer | None = None
        self._sound: Sound
        self.held = False
        self._held_by_peer = False
        self._muted = False
        self._changing = asyncio.Lock()
        self._closed = False

    async def offer(self) -> str:
        """Open the devices and the connection; the caller's SDP."""
        return await (await self._open()).offer()

    async def answer(self, offer: str) -> str:
        """Open the devices and the connection; the callee's SDP."""
        return await (await self._open()).answer(offer)

    async def accept(self, answer: str) -> None:
        """Take the callee's SDP; the connection is made."""
        assert self.peer is not None
        await self.peer.accept_answer(answer)

    def start(self) -> None:
        """Let the microphone and the speaker onto the connection."""
        assert self.peer is not None
        self.peer.handset.play(None)
        self.peer.start_playing()
        self.peer.start_sending()

    def play(self, tone: Tone) -> None:
        """Let the user hear ``tone``; the talk ends it."""
        if self.peer is not None:
            self.peer.handset.play(tone)

    def send_control(self, data: bytes) -> None:
        """Put ``data`` on the control channel, if it is still there."""
        if self.peer is not None:
            # While the call is ending the channel may be gone; the far phone then notices by itself.
            with contextlib.suppress(Unavailable):
                self.peer.send_control(data)

    def change_epoch(self, effect: agree.StageEpoch | agree.SwitchEpoch | agree.RetireEpoch) -> None:
        """Move media to the keys of a rekey; the agreement decides when."""
        assert self.peer is not None
        assert self.peer.srtp is not None
        match effect:
            case agree.StageEpoch(keys):
                self.peer.srtp.stage(SrtpKeyPair(keys.send, keys.receive))
            case agree.SwitchEpoch():
                self.peer.srtp.switch()
            case agree.RetireEpoch():
                self.peer.srtp.retire()

    @property
    def epochs(self) -> tuple[int, int] | None:
        """The epoch that is sent and the one of the last packet opened; ``None`` before there are keys."""
        if self.peer is None or self.peer.srtp is None:
            return None
        return self.peer.srtp.sending, self.peer.srtp.receiving

    @property
    def failures_in_a_row(self) -> int:
        """Packets that no key opened since the last one that a key did."""
        return 0 if self.peer is None or self.peer.srtp is None else self.peer.srtp.failures_in_a_row

    @property
    def heard_at(self) -> float | None:
        """When the last authentic packet came, in seconds on the monotonic clock."""
        return None if self.peer is None else self.peer.heard_at

    @property
    def checked_at(self) -> float | None:
        """When the far phone last checked for consent, in seconds on the monotonic clock."""
        return None if self.peer is None else self.peer.checked_at

    @property
    def muted(self) -> bool:
        """Whether the microphone is off."""
        return self._muted

    @muted.setter
    def muted(self, on: bool) -> None:
        self._muted = on
        if self.peer is not None:
            self.peer.handset.muted = on

    @property
    def levels(self) -> tuple[float, float]:
        """Loudness spoken and heard, in decibels relative to full scale."""
        if self.peer is None:
            return SILENT, SILENT
        spoken, heard = self.peer.handset.levels
        return (SILENT if self.peer.handset.muted or self.peer.handset.held else spoken), heard

    async def hold(self, on: bool) -> bool:
        """Give sound cards up, or take them again; whether that was to be done, and the call lives still.

        Files stay open: to open one again would be to begin it again. Raises ``DeviceError`` when a card
        cannot be opened.
        """
        async with self._changing:
            if self.peer is None or on is self.held:
                return False
            before = self._sound
            sound = before.at_rest if on else await self._line.sound(before)
            if self._closed:
                sound.close(all_but=before)
                return False
            self._use(sound)
            self.held = on
            self._rest()
            return True

    async def change_device(self, devices: Opener, kind: str, name: str) -> None:
        """Speak into, or hear from, another device as soon as it is open, chosen as by ``Opener.changed``.

        Raises ``UsageError`` while there is none to change, ``DeviceError`` when it cannot be opened; the one
        before then stays.
        """
        async with self._changing:
            if self.peer is None or self.held:
                raise UsageError(
                    "the call has no devices now; take it back from hold, or wait until it is set up"
                )
            before = self._sound
            sound = await devices.changed(before, kind, name)
            if self._closed:
                sound.close(all_but=before)
                raise UsageError("the call has ended; the device is for the calls to come")
            self._use(sound)

    def _use(self, sound: Sound) -> None:
        """Speak into and hear from these devices from now on; those that they replace are closed."""
        assert self.peer is not None
        before, self._sound = self._sound, sound
        self.peer.handset.change_processing(sound.processing)
        if sound.source is not before.source:
            self.peer.handset.change_source(sound.source)
        if sound.sink is not before.sink:
            self.peer.handset.change_sink(sound.sink)
        self._timing.source, self._timing.sink = sound.source, sound.sink

    @property
    def held_by_peer(self) -> bool:
        """Whether the far user has put the call on hold."""
        return self._held_by_peer

    @held_by_peer.setter
    def held_by_peer(self, on: bool) -> None:
        self._held_by_peer = on
        self._rest()

    def _rest(self) -> None:
        """Follow both users' wishes; who waits for the other hears so."""
        if self.peer is not None:
            self.peer.handset.held = self.held or self.held_by_peer
            self.peer.handset.play(HOLDING if self.held_by_peer and not self.held else None)

    def press(self, digits: str) -> None:
        """Send keypad digits. Raises ``UsageError`` for others."""
        if self.peer is not None:
            self.peer.send_digits(digits)

    def stats(self) -> dict[str, Any]:
        """The numbers of the call, as in webrtc-stats; empty before there is a connection."""
        return {} if self.peer is None else quality(self.peer.stats(), self._line.frame_ms)

    async def flush(self, limit: float) -> None:
        """Let what was said on the control channel arrive, for ``limit`` seconds at most."""
        if self.peer is not None:
            await self.peer.flush_control(limit)

    async def close(self, last: Tone | None) -> None:
        """Close connection and devices; where tones are heard, ``last`` is the last of them."""
        self._closed = True
        if self.peer is None:
            return
        try:
            self.peer.handset.hush()
            if last is not None and self._sound.tones:
                self.peer.handset.play(last)
                await asyncio.sleep(LAST_TONE)
        finally:
            await self.peer.close()

    async def _open(self) -> Peer:
        guarded = self._work.guarded
        with contextlib.ExitStack() as unused:
            self._sound = sound = await self._line.sound(None)
            unused.callback(sound.source.close)
            unused.callback(sound.sink.close)
            self.peer = Peer(
                turn=self._line.relay(),
                exporter=self.exporter,
                exporter_context=self.exporter_context,
                source=sound.source,
                sink=sound.sink,
                tones=Tones(enabled=sound.tones),
                processing=sound.processing,
                frame_ms=self._line.frame_ms,
                bitrate=self._line.bitrate,
                copies=self._line.copies,
            )
            unused.pop_all()
        self._timing.source, self._timing.sink = sound.source, sound.sink
        self.peer.on_control_open = guarded(self.on_control_open)
        self.peer.on_control = guarded(self.on_control)
        self.peer.on_first_audio = guarded(self._first_audio)
        self.peer.on_digit = guarded(self.on_digit)
        self.peer.on_failed = guarded(self.on_failed)
        self.peer.handset.muted = self._muted
        return self.peer

    def _first_audio(self) -> None:
        self._timing.first_audio_at = time.monotonic()
        self.on_first_audio()
