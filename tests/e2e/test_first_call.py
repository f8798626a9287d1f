"""One call through the whole product: two phones, one relay, 1,000 km, keys from all three layers."""

from __future__ import annotations

from pathlib import Path

from scripts.demonstration.hearing import compare, load
from scripts.demonstration.stage import Stage
from tests.e2e.real_time import REAL_TIME


@REAL_TIME
async def test_each_phone_hears_the_other(
    phones: Stage, spoken: Path, answered: Path, tmp_path: Path
) -> None:
    at_bob, at_alice = tmp_path / "at-bob.wav", tmp_path / "at-alice.wav"
    bob = await phones.listen(
        "bob", "--auto-answer", "--once", "--input", answered, "--output", at_bob, "--qkd", "require"
    )
    alice = await phones.call(
        "alice", "bob", "--input", spoken, "--output", at_alice, "--duration", "5", "--qkd", "require"
    )
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    mine, theirs = await alice.event("ended"), await bob.event("ended")
    assert (mine["reason"], theirs["reason"]) == ("hangup", "remote-hangup")

    for said, heard, speaker, listener in (
        (spoken, at_bob, mine, theirs),
        (answered, at_alice, theirs, mine),
    ):
        hearing = compare(
            load(said),
            speaker["timing"]["capture_started_at"],
            load(heard),
            listener["timing"]["playout_started_at"],
        )
        assert hearing.correlation > 0.9
        assert hearing.percentile(95) < 0.080 + phones.ready["path"]["delay_ms"] / 1000

    security = mine["security"]
    assert security["suite"] == "Q5"
    assert security["qkd"]["state"] == "present"
    assert len(security["qkd"]["path"]) == 16
    assert security["qkd"]["key_ids"] == theirs["security"]["qkd"]["key_ids"]
    assert security["words"] == theirs["security"]["words"]
    assert security["trust"] == "new"


async def test_what_people_read_of_a_call(phones: Stage) -> None:
    await phones.listen("bob", "--auto-answer", "--once", "--input", "tone", "--output", "null")
    command = phones.phone("alice", "call", "bob", "--duration", "1", "--input", "tone", "--output", "null")
    alice = await phones.run("alice", *command)
    registered, calling, ringing, *middle, ended = alice.text.splitlines()
    assert registered.startswith("alice is registered at ws://")
    assert calling == "calling bob …"
    assert ringing.startswith("ringing   SECURED  classical ✓  ML-KEM ✓  QKD ✓ 15 hops")
    assert {line.partition(";")[0] for line in middle} == {
        "keys confirmed", "answered", "talking (Ctrl-C hangs up)"
    }  # fmt: skip
    assert ended.startswith("call ended: you hung up; 0 of ")
    assert alice.stderr == ""


async def test_the_second_call_finds_the_identity_pinned(phones: Stage) -> None:
    for expected in ("new", "pinned"):
        bob = await phones.listen("bob", "--auto-answer", "--once")
        alice = await phones.call("alice", "bob", "--duration", "0.5")
        assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
        assert (await alice.event("ended"))["security"]["trust"] == expected
        assert (await bob.event("ended"))["security"]["trust"] == expected


async def test_private_files_are_private(phones: Stage) -> None:
    for home in (phones.home("alice"), phones.relay_home):
        kept = [path for path in home.rglob("*") if path.is_file()]
        assert {path.name for path in kept if path.stat().st_mode & 0o077} <= {"lock", "audit.log"}
        assert home.stat().st_mode & 0o077 == 0
