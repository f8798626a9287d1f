"""A phone with one wrong layer secret never plays a frame, and neither does the other one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.demonstration.hearing import load
from scripts.demonstration.stage import Program, Stage

FAULTY = Path(__file__).parent / "faulty_phone.py"


async def dial(phones: Stage, wrong: str, heard: dict[str, Path]) -> tuple[Program, Program]:
    """Let alice's phone, with ``wrong`` spoilt, call bob; both ended when this returns."""
    sound = {name: ("--input", "tone", "--output", path) for name, path in heard.items()}
    bob = await phones.listen("bob", "--auto-answer", "--once", *sound["bob"], "--qkd", "require")
    command = (sys.executable, FAULTY, "--home", phones.home("alice"), "call", "bob", "--json")
    options = ("--duration", "1", "--qkd", "require", *sound["alice"])
    env = {**os.environ, "QCALL_WRONG": wrong, "PYTHONPATH": str(Path.cwd())}
    alice = await phones.start("alice", *command, *options, env=env)
    await alice.ended(limit=15)
    await bob.ended(limit=15)
    return alice, bob


@pytest.mark.parametrize("wrong", ["dh", "kem", "qkd", "exporter"])
async def test_nothing_is_played_with_one_wrong_layer(phones: Stage, tmp_path: Path, wrong: str) -> None:
    heard = {name: tmp_path / f"at-{name}.wav" for name in ("alice", "bob")}
    alice, bob = await dial(phones, wrong, heard)
    assert (alice.process.returncode, bob.process.returncode) == (1, 1)
    for phone, path in ((alice, heard["alice"]), (bob, heard["bob"])):
        kinds = [event["event"] for event in phone.events]
        assert "media" not in kinds
        assert "secured" not in kinds
        assert not path.exists() or len(load(path)) == 0


async def test_media_that_no_key_opens_is_warned_about_rekeyed_and_hung_up_on(phones: Stage) -> None:
    sound = ("--input", "tone", "--output", "null")
    bob = await phones.listen("bob", "--auto-answer", "--once", *sound)
    command = (sys.executable, FAULTY, "--home", phones.home("alice"), "call", "bob", "--json", *sound)
    env = {**os.environ, "QCALL_WRONG": "media", "PYTHONPATH": str(Path.cwd())}
    alice = await phones.start("alice", *command, env=env)
    assert await bob.ended(limit=30) == 1
    assert await alice.ended(limit=10) == 1
    kinds = [event["event"] for event in bob.events]
    assert kinds.index("media") < kinds.index("unopened") < kinds.index("rekeyed") < kinds.index("ended")
    assert (await bob.event("ended"))["reason"] == "srtp"
    assert "no key opens it" in bob.stderr


async def test_the_same_phone_with_nothing_wrong_is_heard(phones: Stage, tmp_path: Path) -> None:
    heard = {name: tmp_path / f"at-{name}.wav" for name in ("alice", "bob")}
    for phone in await dial(phones, "nothing", heard):
        assert phone.process.returncode == 0, phone.account()
    assert all(load(path).any() for path in heard.values())
