"""A conversation ends and gives everything back, whatever fails in it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcall.agreement.caller import Caller
from qcall.agreement.phone import Phone
from qcall.call.machine import State
from qcall.crypto.identity import Identity
from qcall.errors import StorageError
from qcall.media.peer import Relay
from qcall.records.store import Records
from qcall.session.conversation import Conversation
from qcall.session.event import Event
from qcall.session.keying import Keying
from qcall.session.line import Line
from qcall.session.sound import Opener, Wishes
from qcall.session.voice import Voice

IDENTITY = Identity.create(os.urandom)


class NoKeyNode:
    """Nobody asks it: these calls end before."""


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records(tmp_path / "records.db")
    yield opened
    opened.close()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def conversation(records: Records, events: list[Event]) -> Conversation:
    """A call to bob, whose phone does not answer."""

    async def send(frame: bytes) -> None:
        """Nothing comes of it."""

    line = Line(
        name="alice",
        send=send,
        relay=lambda: Relay("127.0.0.1", 9, "nobody", "secret"),
        qkd=NoKeyNode(),  # type: ignore[arg-type]
        records=records,
        sound=Opener(Wishes(spoken="null", heard="null"), events.append),
        tell=events.append,
        frame_ms=20,
        bitrate=32_000,
        copies=True,
        kme_id="kme-beijing",
    )
    phone = Phone(
        name="alice",
        identity=IDENTITY,
        memory=records,
        entropy=os.urandom,
        sae_id="sae-alice",
        kme_id="kme-beijing",
    )
    caller = Caller(phone, peer_name="bob", now=time.monotonic(), unix=time.time())
    return Conversation(line, caller, os.urandom(16))


async def end(conversation: Conversation) -> str:
    """Dial and hang up; the reason."""
    conversation.dial()
    conversation.hang_up()
    return await asyncio.wait_for(conversation.ended, 5)


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a fault")


async def test_a_call_that_nobody_answers_can_be_cancelled(
    conversation: Conversation, records: Records, events: list[Event]
) -> None:
    assert await end(conversation) == "cancelled"
    assert conversation.failure is None
    assert not conversation.talked
    assert [call.reason for call in records.calls()] == ["cancelled"]
    assert events[-1].kind == "ended"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Keying, "tell_ended"),
        (Keying, "settle"),
        (Voice, "flush"),
        (Voice, "stats"),
        (Conversation, "_end_recording"),
        (Voice, "close"),
    ],
)
async def test_a_fault_at_the_end_stops_no_other_step_of_it(
    conversation: Conversation,
    records: Records,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    name: str,
) -> None:
    closed: list[object] = []
    close = Voice.close

    async def watched(voice: Voice, last: object) -> None:
        closed.append(last)
        await close(voice, None)

    monkeypatch.setattr(Voice, "close", watched)
    monkeypatch.setattr(owner, name, broken)
    with caplog.at_level(logging.ERROR):
        await end(conversation)
    assert "a fault of qcall itself" in caplog.text
    assert conversation.state is State.ENDED
    assert len(closed) == (name != "close")
    assert [call.contact for call in records.calls()] == ["bob"]
    assert events[-1].kind == "ended"


async def test_a_fault_in_a_message_ends_the_call_with_one_line(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    conversation.dial()
    monkeypatch.setattr(Caller, "receive", broken)
    conversation.receive(b"\x01\x02whatever")
    assert await asyncio.wait_for(conversation.ended, 5) == "fault"
    assert "please report it" in str(conversation.failure)


async def test_records_that_cannot_be_written_are_the_failure_that_is_shown(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(Records, "add_call", full)
    await end(conversation)
    assert str(conversation.failure) == "the disk is full"
    assert events[-1].fields["failure"] == "the disk is full"
