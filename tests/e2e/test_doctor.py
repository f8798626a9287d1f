"""``qcall doctor``: what is well, what is not, and how to mend it."""

from __future__ import annotations

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
    assert found["relay"]["text"].endswith(" does not answer: connection refused")
    assert "relay serve" in found["relay"]["mend"]


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
