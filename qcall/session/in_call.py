"""What users do during a call: mute, hold, digits, text, recording. A ``Conversation`` is one of these.

All of it is told to the far phone on the control channel, sealed and in order, but for digits, which travel
beside the voice. A recording begins only when the far phone has acknowledged the notice of it.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qcall.agreement.control import LONGEST_TEXT, Hold, Message, Mute, RecordingNotice, Text
from qcall.errors import DeviceError, UsageError
from qcall.media.recording import Recording
from qcall.media.sides import Sides

from .report import lately
from .sound import Opener
from .voice import Voice
from .wording import harmless
from .work import Work

MOST_TEXTS, TEXT_WINDOW = 20, 10.0
"""Texts of the far user that are shown within so many seconds; more is a flood and is passed over."""
NOTICE_LIMIT = 3.0
"""Seconds for the far phone to acknowledge the notice of a recording; without that nothing is recorded."""


class InCall(abc.ABC):
    """The user's controls of one call. ``say`` seals a message and sends it, ``tell`` is for users.

    Events, all but the last with ``own``, which says whose deed it was: ``muted`` and ``held`` with ``on``,
    ``digits`` with ``digits``, ``text`` with ``sender`` and ``text``, ``recording`` with ``on``, ``sides``
    and the ``file`` of one's own, ``stats`` with ``quality`` of the whole call and the verdict on what was
    heard ``lately``, since the last of them.
    """

    def __init__(
        self,
        name: str,
        contact: str,
        voice: Voice,
        work: Work,
        *,
        say: Callable[[Message], None],
        tell: Callable[..., None],
    ) -> None:
        self.name = name
        """This user's."""
        self.contact = contact
        """The far user's name."""
        self.held_by_peer = False
        self.muted_by_peer = False
        self.recorded_by_peer: Sides | None = None
        self._recording: Recording | None = None
        self._voice = voice
        self._work = work
        self._say = say
        self._tell = tell
        self._texts: deque[float] = deque(maxlen=MOST_TEXTS)
        voice.on_digit = self._on_digit

    @property
    @abc.abstractmethod
    def talking(self) -> bool:
        """Whether both users are on the line."""

    @property
    @abc.abstractmethod
    def secured(self) -> bool:
        """Whether both phones have proved that they hold the same keys, and neither has hung up."""

    @property
    def muted(self) -> bool:
        """Whether the microphone is off."""
        return self._voice.muted

    def mute(self, on: bool = True) -> None:
        """Turn the microphone off or on; the far phone gets encrypted silence meanwhile."""
        if on is self.muted:
            return
        self._voice.muted = on
        if self.talking:
            self._say(Mute(on))
        self._tell("muted", on=on, own=True)

    @property
    def held(self) -> bool:
        """Whether the call is on hold: neither heard nor speaking, a sound card free for another call."""
        return self._voice.held

    async def hold(self, on: bool = True) -> None:
        """Put the call on hold, or take it back. Raises ``UsageError`` before it is answered."""
        if not self.talking:
            raise UsageError("there is no talk to hold; answer first")
        if on is self.held:
            return
        if await self._voice.hold(on):
            self._say(Hold(on))
            self._tell("held", on=on, own=True)

    async def change_device(self, devices: Opener, kind: str, name: str) -> None:
        """Speak into, or hear from, another device, as ``Voice.change_device`` does."""
        await self._voice.change_device(devices, kind, name)

    def press(self, digits: str) -> None:
        """Send keypad digits. Raises ``UsageError`` while nobody talks, and for what is no digit."""
        if not self.talking:
            raise UsageError("keypad digits need a call that was answered")
        self._voice.press(digits)
        self._tell("digits", digits=digits.upper(), own=True)

    def say(self, text: str) -> None:
        """Send a line of text. Raises ``UsageError`` before the keys are confirmed, and for what is none."""
        if not self.secured:
            raise UsageError("text needs confirmed keys; wait until the call is secured")
        if not 1 <= len(text) <= LONGEST_TEXT:
            raise UsageError(f"a text has 1 to {LONGEST_TEXT} characters; send it in parts")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("the text is not Unicode; is the terminal's encoding UTF-8?") from None
        self._say(Text(text))
        self._tell("text", sender=self.name, text=text, own=True)

    @property
    def levels(self) -> tuple[float, float]:
        """Loudness spoken and heard, in decibels relative to full scale."""
        return self._voice.levels

    def stats(self) -> dict[str, Any]:
        """The numbers of the call, as in webrtc-stats; empty before there is a connection."""
        return self._voice.stats()

    def report_stats(self, every: float) -> None:
        """Tell the numbers of the call every so many seconds."""
        self._work.start(self._report_stats(every))

    async def _report_stats(self, every: float) -> None:
        before: dict[str, Any] = {}
        while True:
            await asyncio.sleep(every)
            now = self.stats()
            self._tell("stats", quality=now, lately=lately(now, before) if now else {})
            before = now

    def _talk_begins(self) -> None:
        """Tell what was decided before the answer."""
        if self.muted:
            self._say(Mute(True))

    # Recording

    @property
    def recording(self) -> Path | None:
        """Where this phone records to."""
        return None if self._recording is None else self._recording.file

    def start_recording(self, file: Path, sides: Sides = Sides.BOTH) -> None:
        """Record into the new WAV ``file``, once the far phone has the notice; ``recording`` tells of it.

        Raises ``UsageError`` while nobody talks and while one is being made, ``DeviceError`` when it cannot
        be written.
        """
        if not self.talking:
            raise UsageError("there is nothing to record; wait until the call is answered")
        if self._recording is not None:
            raise UsageError(f"this call is being recorded to {self.recording}; stop that first")
        self._recording = recording = Recording(file, sides)
        recording.on_fault = self._on_recording_fault
        self._say(RecordingNotice(on=True, both=sides is Sides.BOTH))
        self._work.start(self._record(recording))

    def stop_recording(self) -> None:
        """End the recording; nothing happens when there is none."""
        if (recording := self._recording) is None:
            return
        self._end_recording()
        if self.talking:
            self._say(RecordingNotice(on=False, both=recording.sides is Sides.BOTH))
        if recording.is_empty:
            self._tell("unrecorded", message="the recording was stopped before it began: there is no file")
            return
        self._tell("recording", on=False, own=True, sides=str(recording.sides), file=str(recording.file))

    def _end_recording(self) -> None:
        recording, self._recording = self._recording, None
        if self._voice.peer is not None:
            self._voice.peer.handset.record(None)
        if recording is not None:
            recording.close()

    async def _record(self, recording: Recording) -> None:
        """Begin when the far phone knows; whoever stops before is heeded."""
        peer = self._voice.peer
        assert peer is not None
        told = await peer.flush_control(NOTICE_LIMIT)
        if recording is not self._recording:
            return
        if not told:
            self._end_recording()
            if self.talking:
                self._say(RecordingNotice(on=False, both=recording.sides is Sides.BOTH))
            self._tell("unrecorded", message="the far phone does not answer: nothing is recorded; try again")
            return
        peer.handset.record(recording)
        self._tell("recording", on=True, own=True, sides=str(recording.sides), file=str(recording.file))

    def _on_recording_fault(self, error: DeviceError) -> None:
        self._tell("unrecorded", message=str(error))
        self.stop_recording()

    # The far user

    outgoing: bool
    """Whether this user called."""

    def _on_digit(self, digit: str) -> None:
        if self.talking:
            self._tell("digits", digits=digit, own=False)

    def _is_welcome(self) -> bool:
        """Whether a text may be shown: in the talk, unless it is a flood; before, one word of a callee."""
        now = time.monotonic()
        if not self.talking and (self._texts or not self.outgoing):
            return False
        flood = len(self._texts) == MOST_TEXTS and now - self._texts[0] < TEXT_WINDOW
        if not flood:
            self._texts.append(now)
        return not flood

    def _on_in_call(self, message: Message) -> None:
        """The far user did something; it has been authenticated."""
        match message:
            case Text(text) if self._is_welcome():
                self._tell("text", sender=self.contact, text=harmless(text), own=False)
            case Mute(on) if self.talking:
                self.muted_by_peer = on
                self._tell("muted", on=on, own=False)
            case Hold(on) if self.talking:
                self.held_by_peer = on
                self._voice.held_by_peer = on
                self._tell("held", on=on, own=False)
            case RecordingNotice(on, both) if self.talking:
                sides = Sides.BOTH if both else Sides.OWN
                self.recorded_by_peer = sides if on else None
                self._tell("recording", on=on, own=False, sides=str(sides))
