"""A relay beside another one says in one line what is taken; its invites know where it is."""

from __future__ import annotations

import pytest

from scripts.demonstration.stage import BIN, Stage


def relay(theatre: Stage, home: str, *words: str):
    return (BIN / "relay", "--home", theatre.directory / home, *words)


async def test_a_home_has_one_relay(theatre: Stage) -> None:
    await theatre.serve()
    second = ("--listen", "127.0.0.1:0", "--turn", "127.0.0.1:0")
    program = await theatre.run("second relay", *relay(theatre, "relay", "serve", *second), code=1)
    home = theatre.relay_home
    assert (
        program.stderr
        == f"relay: a relay runs with the home {home} already; stop it or choose another --home\n"
    )


@pytest.mark.parametrize("option", ["--listen", "--turn", "--metrics", "--kme"])
async def test_a_port_that_is_taken_is_named_with_its_option(theatre: Stage, option: str) -> None:
    await theatre.serve()
    taken = theatre.ready["turn"] if option == "--turn" else theatre.ready["signalling"].removeprefix("ws://")
    free = {"--listen": "127.0.0.1:0", "--turn": "127.0.0.1:0"} | {option: taken}
    words = [word for pair in free.items() for word in pair]
    program = await theatre.run("second relay", *relay(theatre, "other", "serve", *words), code=1)
    (line,) = program.stderr.splitlines()
    assert taken.rpartition(":")[2] in line
    assert line.endswith(option)


async def test_an_invite_says_where_the_relay_is(theatre: Stage) -> None:
    invite = relay(theatre, "relay", "invite", "alice", "--site", "hefei")
    before = await theatre.run("invite", *invite)
    assert "--relay URL --invite" in before.text
    assert "URL is what relay serve calls signalling" in before.text
    await theatre.serve()
    invite = relay(theatre, "relay", "invite", "bob", "--site", "hefei")
    text = (await theatre.run("invite", *invite)).text
    assert f"qcall init bob --relay {theatre.ready['signalling']} --invite" in text
    told = (await theatre.run("invite", *invite, "--renew", "--json")).events[0]
    assert told["relay"] == theatre.ready["signalling"]
