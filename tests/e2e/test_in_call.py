"""What users do during a call, through the whole product: text, digits, a recording that both know of."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from qcall.media.quality import locate
from scripts.demonstration.stage import Program, Stage
from tests.e2e.real_time import REAL_TIME


def stereo(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with wave.open(str(file)) as opened:
        assert opened.getnchannels() == 2
        sound = np.frombuffer(opened.readframes(10**9), np.int16)
    return sound[0::2], sound[1::2]


def mono(file: Path) -> np.ndarray:
    with wave.open(str(file)) as opened:
        assert opened.getnchannels() == 1
        return np.frombuffer(opened.readframes(10**9), np.int16)


def likeness(spoken: Path, recorded: np.ndarray) -> float:
    speech = mono(spoken)
    parts = [speech[at : at + 24_000] for at in range(24_000, 96_000, 24_000)]
    return float(np.median([locate(part, recorded).peak for part in parts]))


def of(phone: Program, kind: str) -> list[dict]:
    """All events of one kind, without what every event has."""
    return [event for event in phone.events if event["event"] == kind]


@REAL_TIME
async def test_text_digits_and_a_recording_reach_the_far_phone(
    phones: Stage, spoken: Path, answered: Path, tmp_path: Path
) -> None:
    both, own = tmp_path / "both.wav", tmp_path / "own.wav"
    bob = await phones.listen(
        "bob", "--auto-answer", "--once", "--input", answered, "--output", "null",
        "--record", own, "--record-sides", "own", "--text", "hello\x1b[2J",
    )  # fmt: skip
    alice = await phones.call(
        "alice", "bob", "--input", spoken, "--output", "null", "--duration", "4",
        "--record", both, "--dtmf", "19#", "--text", "你好", "--stats", "1",
    )  # fmt: skip
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    assert [event["text"] for event in of(bob, "text")] == ["hello\x1b[2J", "你好"]
    assert [event["text"] for event in of(alice, "text")] == ["你好", "hello�[2J"]
    assert [event["digits"] for event in of(bob, "digits") if not event["own"]] == ["1", "9", "#"]
    told = [(event["own"], event["on"], event["sides"]) for event in of(bob, "recording")]
    assert set(told) == {(True, True, "own"), (False, True, "both")}
    left, right = stereo(both)
    assert likeness(spoken, left) > 0.99
    assert likeness(answered, right) > 0.9
    assert likeness(answered, mono(own)) > 0.99
    assert both.stat().st_mode & 0o077 == 0
    assert len(of(alice, "stats")) >= 3
