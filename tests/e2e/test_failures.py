"""What users do wrong and what breaks: one line that says what to do, exit code 1 or 2, nothing left."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from qcall.config import Home
from qcall.wire.invite import Invite
from scripts.demonstration.stage import BIN, Program, Stage
from tests.e2e.terminal import one_line

SILENCE = ("--input", "null", "--output", "null")


async def refused(stage: Stage, name: str, *arguments: str | Path, code: int = 1) -> str:
    """Run a phone that must fail with ``code`` and return its one line."""
    return one_line(await stage.run(name, *stage.phone(name, *arguments), code=code))


async def test_a_phone_that_is_not_set_up(theatre: Stage) -> None:
    assert "qcall init" in await refused(theatre, "alice", "call", "bob")


async def test_a_relay_that_is_not_there(theatre: Stage) -> None:
    invite = str(Invite.create(bytes(9), bytes(32)))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        said = await refused(theatre, "alice", "init", "alice", "--relay", url, "--invite", invite)
    assert "relay" in said
    assert url.removeprefix("ws://") in said


async def test_records_that_were_lost_are_missed_and_those_of_a_new_phone_are_not(phones: Stage) -> None:
    new = await phones.listen("alice")
    assert "forgotten" not in [event["event"] for event in new.events]
    new.interrupt()
    await new.ended()
    records = Home(phones.home("alice")).records
    assert records.exists()
    records.unlink()
    robbed = await phones.listen("alice")
    assert "knows no contact's identity any more" in (await robbed.event("forgotten"))["message"]
    robbed.interrupt()
    await robbed.ended()


async def test_a_relay_that_went_away(phones: Stage) -> None:
    await phones.programs[0].stop()
    said = await refused(phones, "alice", "call", "bob")
    assert "relay" in said


async def test_an_invite_works_once(theatre: Stage) -> None:
    await theatre.serve()
    invite = await theatre.run(
        "invite",
        BIN / "relay",
        "--home",
        theatre.relay_home,
        "invite",
        "alice",
        "--site",
        "beijing",
        "--json",
    )
    code = invite.events[0]["code"]
    where = ("--relay", theatre.ready["signalling"], "--invite", code)
    await theatre.run("init", *theatre.phone("alice", "init", "alice", *where))
    assert "invite" in await refused(theatre, "thief", "init", "alice", *where)


async def test_a_relay_that_serves_another_topology(homes: Stage) -> None:
    elsewhere = homes.directory / "elsewhere.toml"
    elsewhere.write_text(
        'name = "elsewhere"\ndescription = "modelled: one link"\nsites = ["jinan", "hefei"]\n'
        'links = [{ a = "jinan", b = "hefei", km = 30 }]\n'
    )
    relay = await homes.serve("--topology", elsewhere)
    assert "this relay serves no site beijing now" in await refused(homes, "alice", "listen")
    invite = (BIN / "relay", "--home", homes.relay_home, "invite", "carol", "--site")
    said = one_line(await homes.run("invite", *invite, "beijing", code=2))
    assert "the access sites of elsewhere, which the relay serves now, are jinan, hefei" in said
    await homes.run("invite", *invite, "jinan")
    await relay.stop()
    assert relay.stderr == ""


async def test_a_wrong_invite(theatre: Stage) -> None:
    await theatre.serve()
    where = ("--relay", theatre.ready["signalling"], "--invite", "0000-0000-0000-0000")
    assert "invite" in await refused(theatre, "alice", "init", "alice", *where)


async def test_an_unknown_contact(phones: Stage) -> None:
    assert "nobody" in await refused(phones, "alice", "call", "nobody")


async def test_a_contact_who_is_offline(phones: Stage) -> None:
    said = await refused(phones, "alice", "call", "bob")
    assert "bob" in said
    assert "online" in said or "offline" in said


async def test_a_contact_who_declines(phones: Stage) -> None:
    await phones.listen("bob", "--decline", "--once")
    assert "declined" in await refused(phones, "alice", "call", "bob")


async def test_a_contact_who_is_busy(phones: Stage) -> None:
    await phones.enrol("carol", "beijing")
    await phones.listen("bob", "--auto-answer", "--once")
    talking = await phones.call("alice", "bob", "--duration", "10")
    await talking.event("answered")
    assert "busy" in await refused(phones, "carol", "call", "bob")
    talking.interrupt()
    assert await talking.ended() == 0


@pytest.mark.parametrize("content", [None, b"RIFFgarbage that is no audio"])
async def test_a_wav_file_that_cannot_be_played(phones: Stage, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "speech.wav"
    if content is not None:
        path.write_bytes(content)
    assert "speech.wav" in await refused(phones, "alice", "call", "bob", "--input", path, code=2)


async def test_a_second_relay_in_the_same_home_on_the_same_port(theatre: Stage) -> None:
    await theatre.serve()
    address = theatre.ready["signalling"].removeprefix("ws://").rstrip("/")
    command = (BIN / "relay", "--home", theatre.relay_home, "serve", "--listen", address)
    second = await theatre.run("serve", *command, "--turn", "127.0.0.1:0", code=1)
    assert "already; stop it or choose another --home" in one_line(second)


@pytest.mark.parametrize(
    "arguments",
    [
        ("call",),
        ("call", "bob", "--duration", "soon"),
        ("call", "bob", "--qkd", "perhaps"),
        ("call", "bob", "--duration", "-1"),
        ("dance",),
    ],
)
async def test_wrong_usage_is_exit_code_2(theatre: Stage, arguments: tuple[str, ...]) -> None:
    program = await theatre.run("qcall", *theatre.phone("alice", *arguments), code=2)
    assert "Traceback" not in program.stderr


async def test_no_key_node_under_require_refuses_the_call(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once")
    said = await refused(
        phones, "alice", "call", "bob", "--duration", "1", "--qkd", "require", "--kme", "https://127.0.0.1:9"
    )
    assert "key node" in said
    assert await bob.ended() == 1


async def test_no_key_node_under_prefer_is_shown_on_both_phones(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once")
    alice = await phones.call("alice", "bob", "--duration", "1", "--kme", "https://127.0.0.1:9")
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    for phone in (alice, bob):
        security = (await phone.event("ended"))["security"]
        assert security["qkd"]["state"] == "absent"
        assert "PQC only" in security["line"]


@pytest.mark.parametrize("moment", ["registered", "dialling", "ringing", "answered", "media"])
async def test_ctrl_c_at_any_moment_of_a_call(phones: Stage, moment: str) -> None:
    ringing = moment == "ringing"
    bob = await phones.listen("bob", "--once", *(() if ringing else ("--auto-answer",)))
    alice = await phones.call("alice", "bob", "--duration", "30")
    await alice.event(moment)
    alice.interrupt()
    assert await alice.ended(limit=5) in (0, 1)
    assert "Traceback" not in alice.stderr
    if moment != "registered":
        assert (await alice.event("ended"))["reason"] in ("cancelled", "hangup")
    if moment in ("ringing", "answered", "media"):
        await bob.event("ended")
        await bob.ended(limit=5)
        assert "Traceback" not in bob.stderr


@pytest.mark.parametrize("moment", ["incoming", "secured"])
async def test_a_call_that_the_caller_gave_up_is_no_success_for_the_callee(
    phones: Stage, moment: str
) -> None:
    bob = await phones.listen("bob", "--once")
    alice = await phones.call("alice", "bob")
    await bob.event(moment)
    await alice.event("ringing")
    alice.interrupt()
    assert await alice.ended() == 1
    assert await bob.ended() == 1
    assert (await bob.event("ended"))["reason"] == "cancelled"
    assert "Traceback" not in alice.stderr + bob.stderr


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.4, 0.8])
async def test_ctrl_c_while_the_program_starts(phones: Stage, seconds: float) -> None:
    bob = await Program.start("listen", *phones.phone("bob", "listen", *SILENCE))  # in full
    phones.programs.append(bob)
    over = asyncio.create_task(bob.ended())
    await asyncio.wait({over}, timeout=seconds)
    bob.interrupt()
    assert await over in (0, 130)
    assert bob.stderr == ""


async def test_a_callee_that_hangs_up_before_the_keys_are_confirmed_declines(phones: Stage) -> None:
    typing, reading = os.openpty()
    bob = await phones.start("bob", *phones.phone("bob", "listen", "--once", "--json"), stdin=reading)
    await bob.event("registered")
    alice = await phones.call("alice", "bob")
    await bob.event("incoming")
    os.write(typing, b"a\nh\n")
    assert (await alice.ended(), await bob.ended()) == (1, 1)
    assert "declined" in one_line(alice)
    os.close(typing)
    os.close(reading)


async def test_an_output_that_nobody_reads_any_more_ends_the_call(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once", *SILENCE)
    reading, writing = os.pipe()
    command = map(str, phones.phone("alice", "call", "bob", "--json", *SILENCE))
    alice = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    os.close(reading)
    _, said = await asyncio.wait_for(alice.communicate(), 10)
    assert alice.returncode == 1
    assert said.decode().startswith("qcall: standard output cannot be written")
    assert len(said.decode().splitlines()) == 1
    bob.interrupt()


async def test_ctrl_c_while_the_relay_does_not_answer(theatre: Stage) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        where = ("--relay", f"ws://127.0.0.1:{mute.getsockname()[1]}")
        invite = ("--invite", str(Invite.create(bytes(9), bytes(32))))
        init = await theatre.start("init", *theatre.phone("alice", "init", "alice", *where, *invite))
        connection, _ = await asyncio.get_running_loop().run_in_executor(None, mute.accept)
        with connection:
            init.interrupt()
            assert await init.ended(limit=3) == 130
    assert init.stderr == ""


async def test_a_peer_that_speaks_another_version(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer", "--once")
    command = (sys.executable, Path(__file__).parent / "faulty_phone.py", "--home", phones.home("alice"))
    env = {**os.environ, "QCALL_WRONG": "version", "PYTHONPATH": str(Path.cwd())}
    alice = await phones.start("alice", *command, "call", "bob", env=env)
    assert (await alice.ended(), await bob.ended()) == (1, 1)
    for phone in (alice, bob):
        assert "version" in one_line(phone) or "qcall/" in one_line(phone)
        assert "update" in one_line(phone)


async def test_a_second_phone_in_the_same_home_is_refused(phones: Stage) -> None:
    bob = await phones.listen("bob", "--auto-answer")
    said = await refused(phones, "bob", "call", "alice", code=2)
    assert "a phone runs with the home" in said
    assert bob.process.returncode is None


async def test_an_output_that_takes_nothing_is_one_line(phones: Stage) -> None:
    with open("/dev/full", "w") as full:
        command = map(str, phones.phone("alice", "doctor"))
        program = await asyncio.create_subprocess_exec(*command, stdout=full, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(program.communicate(), 20)
    assert program.returncode == 1
    assert said.decode().startswith("qcall: ")
    assert len(said.decode().splitlines()) == 1


async def test_a_recording_that_cannot_go_on_ends_no_call(homes: Stage) -> None:
    relay = await homes.serve("--record", "/dev/full")
    bob = await homes.listen("bob", "--auto-answer", "--once")
    alice = await homes.call("alice", "bob", "--duration", "0.5")
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    relay.interrupt()
    assert await relay.ended() == 1
    assert "Traceback" not in relay.stderr
    assert "ended early: the disk is full" in relay.stderr


async def test_ctrl_c_on_a_phone_that_listens(phones: Stage) -> None:
    bob = await phones.listen("bob")
    bob.interrupt()
    assert await bob.ended(limit=5) == 0
    assert bob.stderr == ""


async def test_ctrl_c_on_the_relay_in_a_call(phones: Stage) -> None:
    await phones.listen("bob", "--auto-answer", "--once")
    alice = await phones.call("alice", "bob", "--duration", "30")
    await alice.event("media")
    relay = phones.programs[0]
    relay.interrupt()
    assert await relay.ended(limit=10) == 0
    assert "Traceback" not in relay.stderr
