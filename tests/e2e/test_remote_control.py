"""``qcall control`` drives phones that run, with and without a screen: JSON and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcall.media.opus import SAMPLE_RATE
from scripts.benchmarks.calls import read_wav
from scripts.demonstration.stage import Stage

SOUND = ("--input", "tone", "--output", "null")


async def control(phones: Stage, name: str, *words: str, code: int = 0) -> Any:
    """The one JSON object that the command prints."""
    program = await phones.run(
        f"{name}: control {words[0]}", *phones.phone(name, "control", *words), code=code
    )
    (answer,) = program.events
    assert answer["ok"] is (code == 0)
    return answer["data"] if code == 0 else answer["error"]


async def test_a_call_by_remote_control_alone(phones: Stage) -> None:
    alice = await phones.listen("alice", *SOUND)
    bob = await phones.listen("bob", *SOUND)
    following = await phones.start("subscribe", *phones.phone("bob", "control", "subscribe"))
    await control(phones, "bob", "status")
    dialled = await control(phones, "alice", "dial", "bob")
    assert dialled["contact"] == "bob"
    await bob.event("secured")
    assert (await control(phones, "bob", "status"))["calls"][0]["state"] == "incoming"
    await control(phones, "bob", "answer")
    await alice.event("media")
    assert await control(phones, "alice", "mute", "on") == {"muted": True}
    assert await control(phones, "alice", "hold") == {"held": True}
    assert (await bob.event("held"))["on"]
    await control(phones, "alice", "hold", "off")
    await control(phones, "alice", "dtmf", "17#")
    await control(phones, "alice", "text", "hello there")
    assert (await bob.event("text"))["text"] == "hello there"
    status = (await control(phones, "alice", "status"))["calls"][0]
    assert (status["state"], status["muted"], status["security"]["qkd"]["state"]) == (
        "talking",
        True,
        "present",
    )
    await control(phones, "alice", "hangup")
    await bob.event("ended")
    (call,) = await control(phones, "bob", "history")
    assert (call["contact"], call["direction"], call["reason"]) == ("alice", "incoming", "remote-hangup")
    assert call["security"]["words"] == status["security"]["words"]
    told = [event["event"] for event in following.events if "event" in event]
    assert [kind for kind in told if kind in ("incoming", "answered", "ended")] == [
        "incoming",
        "answered",
        "ended",
    ]


async def test_another_policy_holds_for_the_next_call(phones: Stage) -> None:
    alice = await phones.listen("alice", "--qkd", "prefer", *SOUND)
    await phones.listen("bob", "--qkd", "prefer", *SOUND)
    assert await control(phones, "alice", "policy", "require") == {"qkd": "require"}
    assert await control(phones, "alice", "presence", "off") == {"presence": False}
    await control(phones, "alice", "dial", "bob")
    assert (await alice.event("ringing"))["policy"] == "require"
    await control(phones, "alice", "hangup")


async def test_what_cannot_be_done_is_an_error_with_its_exit_code(phones: Stage) -> None:
    refused = await control(phones, "alice", "status", code=1)
    assert refused["code"] == "not-running"
    await phones.listen("alice", *SOUND)
    assert (await control(phones, "alice", "hangup", code=2))["text"] == "there is no call"
    assert "maybe" in (await control(phones, "alice", "mute", "maybe", code=2))["text"]
    assert "cannot call itself" in (await control(phones, "alice", "dial", "alice", code=2))["text"]


async def test_a_refusal_carries_its_text_to_the_caller(phones: Stage) -> None:
    alice = await phones.listen("alice", *SOUND)
    bob = await phones.listen("bob", *SOUND)
    await control(phones, "alice", "dial", "bob")
    await bob.event("secured")
    await control(phones, "bob", "refuse", "--text", "in a meeting")
    assert (await alice.event("text"))["text"] == "in a meeting"
    assert (await alice.event("ended"))["reason"] == "declined"


async def test_those_who_have_each_other_see_each_other_come_and_go(phones: Stage) -> None:
    for name, other in (("alice", "bob"), ("bob", "alice")):
        await phones.run("contacts add", *phones.phone(name, "contacts", "add", other))
    alice = await phones.listen("alice", *SOUND)
    bob = await phones.listen("bob", *SOUND)
    assert (await bob.event("presence"))["people"] == {"alice": "online"}
    await alice.until(lambda events: {"bob": "online"} in [event.get("people") for event in events])
    await bob.stop()
    await alice.until(lambda events: {"bob": "offline"} in [event.get("people") for event in events][-1:])


async def test_recording_and_devices_change_in_a_running_call(phones: Stage, tmp_path: Path) -> None:
    heard, recorded = tmp_path / "heard.wav", tmp_path / "call.wav"
    await phones.listen("alice", "--input", "null", "--output", "null")
    bob = await phones.listen("bob", "--auto-answer", "--input", "null", "--output", heard)
    await control(phones, "alice", "dial", "bob")
    await bob.event("media")
    assert await control(phones, "alice", "record", "on", str(recorded), "--sides", "own") == {
        "recording": True,
        "file": str(recorded),
    }
    assert (await bob.event("recording"))["sides"] == "own"
    assert await control(phones, "alice", "device", "input", "tone") == {"input": "tone"}
    refused = await control(phones, "alice", "device", "input", str(tmp_path / "none.wav"), code=1)
    assert "none.wav" in refused["text"]
    assert "telephone" in (await control(phones, "alice", "device", "telephone", code=2))["text"]
    assert (await control(phones, "alice", "record", "off"))["recording"] is False
    await control(phones, "alice", "hangup")
    await bob.event("ended")
    for file in (heard, recorded):
        sound = read_wav(file)
        assert np.abs(sound[:4_800]).max() < 50, f"{file.name} begins with silence"
        assert np.abs(np.fft.rfft(sound[-SAMPLE_RATE // 2 :].astype(float), SAMPLE_RATE)).argmax() == (
            pytest.approx(440, abs=5)
        ), f"{file.name} ends with the tone"


async def test_verify_during_a_call_shows_the_words_of_that_call(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", *SOUND)
    first = await phones.call("alice", "bob", "--duration", "0.2", *SOUND)
    before = (await first.event("secured"))["words"]
    assert await first.ended() == 0
    alice = await phones.call("alice", "bob", *SOUND)
    words = (await alice.event("secured"))["words"]
    assert words != before
    await alice.event("media")
    compared = await phones.run("verify", *phones.phone("alice", "verify", "bob", "--same"))
    assert f"words of the call that is up: {' '.join(words)}" in compared.text
    (call,) = (await control(phones, "alice", "status"))["calls"]
    assert call["security"]["trust"] == "verified"
    alice.interrupt()
    assert await alice.ended() == 0
    bob.interrupt()
    compared = await phones.run("verify", *phones.phone("alice", "verify", "bob", "--different"))
    assert f"words of the last call: {' '.join(words)}" in compared.text
