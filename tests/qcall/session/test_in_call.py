"""What users do during a call: two phones' controls, back to back, over a line that loses nothing."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from qcall.agreement.control import LONGEST_TEXT, Message
from qcall.errors import DeviceError, UsageError
from qcall.media.playout import SILENCE
from qcall.media.recording import Recording
from qcall.media.sides import Sides
from qcall.session.event import Event
from qcall.session.in_call import MOST_TEXTS, InCall
from qcall.session.script import Script, unused
from qcall.session.wording import line_of
from qcall.session.work import Work


class Connection:
    """What the controls ask of a ``Peer``."""

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self.handset = self
        self.acknowledged = asyncio.Event()
        self.acknowledges = True

    def record(self, recording: Recording | None) -> None:
        before, self.recording = self.recording, recording
        if recording is not None:
            recording.spoken(SILENCE)
            recording.heard(SILENCE)
        if before is not None:
            before.close()

    async def flush_control(self, limit: float) -> bool:
        await self.acknowledged.wait()
        return self.acknowledges


class Voice:
    """What they ask of a ``Voice``."""

    levels = (-20.0, -30.0)

    def __init__(self) -> None:
        self.peer = Connection()
        self.muted = self.held = self.held_by_peer = False
        self.pressed = ""

    async def hold(self, on: bool) -> bool:
        self.held = on
        return True

    def press(self, digits: str) -> None:
        self.pressed += digits


class Phone(InCall):
    """Controls that are on the line, what they said and what users were told."""

    talking = secured = outgoing = True

    def __init__(self, name: str, contact: str) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.said: list[Message] = []
        self.far: Phone | None = None
        self.voice: Any = Voice()
        self.line: Connection = self.voice.peer
        super().__init__(name, contact, self.voice, Work(fail), say=self.send, tell=self.tell)

    def send(self, message: Message) -> None:
        self.said.append(message)
        if self.far is not None:
            self.far._on_in_call(message)

    def tell(self, kind: str, **fields: Any) -> None:
        self.told.append((kind, fields))
        line_of(Event(kind, 0.0, {"contact": self.contact, **fields}))


def fail(error: Exception) -> None:
    raise error


@pytest.fixture
def pair() -> tuple[Phone, Phone]:
    alice, bob = Phone("alice", "bob"), Phone("bob", "alice")
    alice.far, bob.far = bob, alice
    return alice, bob


async def test_hold_is_told_once_and_kept_apart_by_side(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    await alice.hold()
    await alice.hold()
    assert (alice.held, alice.held_by_peer) == (True, False)
    assert (bob.held, bob.held_by_peer, bob.voice.held_by_peer) == (False, True, True)
    await bob.hold()
    await alice.hold(False)
    assert (alice.held, alice.held_by_peer) == (False, True)
    await bob.hold(False)
    assert [fields for kind, fields in bob.told if kind == "held"] == [
        {"on": True, "own": False},
        {"on": True, "own": True},
        {"on": False, "own": False},
        {"on": False, "own": True},
    ]


async def test_mute_is_told_once(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    alice.mute()
    alice.mute()
    assert alice.muted
    assert bob.muted_by_peer
    alice.mute(False)
    assert (alice.muted, bob.muted_by_peer) == (False, False)
    assert len(alice.said) == 2


async def test_text_and_digits_arrive(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    alice.say("hello")
    alice.press("12d")
    bob._voice.on_digit("5")
    assert ("text", {"sender": "alice", "text": "hello", "own": False}) in bob.told
    assert ("digits", {"digits": "12D", "own": True}) in alice.told
    assert ("digits", {"digits": "5", "own": False}) in bob.told
    assert alice.voice.pressed == "12d"


@pytest.mark.parametrize("text", ["", "x" * (LONGEST_TEXT + 1), "half a letter \ud800"])
async def test_a_text_that_cannot_be_sent_is_refused(pair: tuple[Phone, Phone], text: str) -> None:
    alice, _ = pair
    with pytest.raises(UsageError):
        alice.say(text)
    assert alice.said == []


async def test_nothing_is_recorded_before_the_far_phone_knows(
    pair: tuple[Phone, Phone], tmp_path: Path
) -> None:
    alice, bob = pair
    alice.start_recording(tmp_path / "call.wav")
    await asyncio.sleep(0)
    assert bob.recorded_by_peer is Sides.BOTH
    assert ("recording", {"on": True, "own": False, "sides": "both"}) in bob.told
    assert alice.line.recording is None
    alice.line.acknowledged.set()
    await asyncio.sleep(0.01)
    assert alice.line.recording is not None
    alice.stop_recording()
    assert alice.line.recording is None
    assert bob.recorded_by_peer is None
    assert bob.told[-1] == ("recording", {"on": False, "own": False, "sides": "both"})


async def test_a_call_that_ends_before_the_far_phone_knows_leaves_no_file(
    pair: tuple[Phone, Phone], tmp_path: Path
) -> None:
    alice, _ = pair
    alice.start_recording(tmp_path / "call.wav")
    await asyncio.sleep(0)
    assert (tmp_path / "call.wav").exists()
    alice._end_recording()
    assert not (tmp_path / "call.wav").exists()


async def test_a_recording_that_cannot_be_finished_is_told_to_both_users(
    pair: tuple[Phone, Phone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    alice.line.acknowledged.set()
    alice.start_recording(tmp_path / "call.wav")
    await asyncio.sleep(0.01)
    assert alice.line.recording is not None
    monkeypatch.setattr(alice.line.recording._wav, "_file", Full(alice.line.recording._wav._file))
    alice.stop_recording()
    assert [fields["message"] for kind, fields in alice.told if kind == "unrecorded"] == [
        f"cannot write {tmp_path / 'call.wav'}: Disk quota exceeded; choose another file"
    ]
    assert bob.recorded_by_peer is None


class Full:
    """A file whose server says at its end that nothing of it was kept."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self._file.close()
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


async def test_without_acknowledgement_nothing_is_recorded(pair: tuple[Phone, Phone], tmp_path: Path) -> None:
    alice, _ = pair
    alice.line.acknowledges = False
    alice.line.acknowledged.set()
    alice.start_recording(tmp_path / "call.wav")
    await asyncio.sleep(0.01)
    assert alice.line.recording is None
    assert alice.recording is None
    assert [kind for kind, _ in alice.told] == ["unrecorded"]
    assert not (tmp_path / "call.wav").exists()
    assert alice.far is not None
    assert alice.far.recorded_by_peer is None


async def test_a_recording_stopped_at_once_never_begins(pair: tuple[Phone, Phone], tmp_path: Path) -> None:
    alice, _ = pair
    alice.start_recording(tmp_path / "call.wav")
    alice.stop_recording()
    alice.line.acknowledged.set()
    await asyncio.sleep(0.01)
    assert alice.line.recording is None
    assert [kind for kind, _ in alice.told] == ["unrecorded"]
    assert not (tmp_path / "call.wav").exists()


async def test_a_phone_that_only_rings_is_not_flooded(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    bob.talking = bob.outgoing = False
    for _ in range(30):
        alice.say("spam")
        bob.voice.on_digit("1")
    assert bob.told == []
    alice.talking = False
    bob.say("busy, call you back")
    bob.say("really")
    assert [f["text"] for kind, f in alice.told if kind == "text" and not f["own"]] == ["busy, call you back"]


async def test_a_flood_of_texts_is_passed_over(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    for _ in range(3 * MOST_TEXTS):
        alice.say("spam")
    assert len(bob.told) == MOST_TEXTS


async def test_who_was_muted_before_the_talk_says_so_when_it_begins(pair: tuple[Phone, Phone]) -> None:
    alice, bob = pair
    alice.talking = False
    alice.mute()
    assert not bob.muted_by_peer
    alice.talking = True
    alice._talk_begins()
    assert bob.muted_by_peer


async def test_two_recordings_at_once_are_refused(pair: tuple[Phone, Phone], tmp_path: Path) -> None:
    alice, _ = pair
    alice.start_recording(tmp_path / "one.wav")
    with pytest.raises(UsageError, match=r"one\.wav"):
        alice.start_recording(tmp_path / "two.wav")
    alice.stop_recording()


async def test_nobody_is_told_of_a_recording_that_cannot_be_made(
    pair: tuple[Phone, Phone], tmp_path: Path
) -> None:
    alice, bob = pair
    with pytest.raises(DeviceError):
        alice.start_recording(tmp_path / "absent" / "call.wav")
    assert alice.recording is None
    assert bob.told == []


async def test_nothing_can_be_done_before_the_talk() -> None:
    phone = Phone("alice", "bob")
    phone.talking = phone.secured = False
    record = lambda: phone.start_recording(Path("never.wav"))  # noqa: E731
    with pytest.raises(UsageError):
        await phone.hold()
    for deed in (lambda: phone.say("x"), lambda: phone.press("1"), record):
        with pytest.raises(UsageError):
            deed()
    assert phone.said == []


def test_a_recording_of_a_later_call_gets_another_name(tmp_path: Path) -> None:
    first = tmp_path / "call.wav"
    assert unused(first) == first
    first.touch()
    (tmp_path / "call-2.wav").touch()
    assert unused(first) == tmp_path / "call-3.wav"


def test_a_script_with_wrong_keys_is_refused() -> None:
    with pytest.raises(UsageError, match="--dtmf"):
        Script(digits="12x").check()
