"""``qcall doctor``: what is well, what is not, and how to mend it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from pathlib import Path

import pytest

from qcall.config import Account, Home, write_private
from qcall.crypto.identity import Identity
from qcall.crypto.identity_file import dump
from qcall.session import doctor
from qcall.session.doctor import terminal
from scripts.demonstration.stage import Event, Stage


def by_name(events: list[Event]) -> dict[str, Event]:
    return {event["what"]: event for event in events}


async def test_a_phone_at_a_relay_is_well(phones: Stage) -> None:
    found = by_name((await phones.run("doctor", *phones.phone("alice", "doctor", "--json"))).events)
    assert all(found[name]["well"] for name in ("phone", "clock", "relay", "key node"))


async def test_a_phone_that_runs_is_asked_and_not_thrown_out(phones: Stage) -> None:
    alice = await phones.listen("alice", "--input", "null", "--output", "null")
    found = by_name((await phones.run("doctor", *phones.phone("alice", "doctor", "--json"))).events)
    assert "a phone runs here: online" in found["relay"]["text"]
    assert found["key node"]["well"]
    assert [event["event"] for event in alice.events if event["event"] == "gone"] == []


async def test_a_relay_that_is_away_is_a_fault_and_says_what_to_do(homes: Stage) -> None:
    found = by_name((await homes.run("doctor", *homes.phone("alice", "doctor", "--json"), code=1)).events)
    assert not found["relay"]["well"]
    assert found["relay"]["text"].endswith(" cannot be reached: connection refused")
    assert "relay serve" in found["relay"]["mend"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate: Mon, 99999999999999999999 Jan 2026 0:0:0\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_what_answers_in_the_place_of_a_relay_is_said_to_be_none(
    tmp_path: Path, answer: bytes, scheme: str
) -> None:
    found = await found_where(answer, scheme, tmp_path)
    assert (found.what, found.well) == ("relay", False)
    assert re.fullmatch(rf"what answers at {scheme}://127.0.0.1:\d+ is no relay", found.text)
    assert "what listens there" in found.mend


async def test_a_relay_that_is_silent_is_told_of_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT", 0.05)
    found = await found_where(None, "ws", tmp_path)
    assert found.text.endswith("cannot be reached: no answer")


async def found_where(answer: bytes | None, scheme: str, home: Path) -> doctor.Finding:
    """What the doctor finds at an address where everybody gets the same ``answer``, or none."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1 if answer is None else 1)
        writer.write(answer or b"")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        account = account_at(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        (found,) = [each async for each in doctor.network(Home(home), account, None)]
        await over.wait()
    return found


def account_at(relay: str) -> Account:
    return Account(name="alice", relay=relay, site="beijing", sae_id="sae-a", kme_id="kme-b")


async def test_what_opens_a_locked_identity_or_replaces_a_damaged_one_is_said(homes: Stage) -> None:
    home = Home(homes.home("locked"))
    home.create()
    home.save_account(account_at("ws://127.0.0.1:1"))
    whole = dump(Identity.create(random.Random(1).randbytes), "passphrase", random.Random(2).randbytes)
    command = homes.phone("locked", "doctor", "--json")
    for data, mend in ((whole, "set QCALL_PASSPHRASE"), (whole[:60], f"put back {home.identity}")):
        write_private(home.identity, data)
        found = by_name((await homes.run("doctor", *command, code=1)).events)["identity"]
        assert not found["well"]
        assert mend in found["mend"]


async def test_settings_that_no_phone_would_start_with_are_a_fault(homes: Stage) -> None:
    home = homes.home("nobody")
    home.mkdir(parents=True)
    for text, said, mend in (
        ("\nrekey = 'often'\n", "line 2: rekey: 'often' is not between 5 and 300", "leave it out for 60.0"),
        ("[keys]\ndail = 'd'\n", "[keys]: there is no 'dail'", "the IDs are"),
        ("suite = 'Q5+'\nkem =\n", "Invalid value (at line 2", ""),
    ):
        (home / "config.toml").write_text(text)
        command = homes.phone("nobody", "doctor", "--json")
        found = by_name((await homes.run("doctor", *command, code=1)).events)["settings"]
        assert not found["well"]
        assert said in found["text"]
        assert mend in found["mend"]


async def test_a_home_without_a_phone_is_a_fault(homes: Stage) -> None:
    command = homes.phone("nobody", "doctor", "--json")
    assert not by_name((await homes.run("doctor", *command, code=1)).events)["phone"]["well"]


def test_no_terminal_is_no_fault() -> None:
    finding = terminal({}, is_terminal=False)
    assert (finding.well, finding.needed) == (False, False)
