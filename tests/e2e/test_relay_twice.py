"""A relay beside another one says in one line what is taken; its invites know where it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

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


ANY = ("--listen", "127.0.0.1:0", "--turn", "127.0.0.1:0")


@pytest.fixture
def taken() -> Iterator[str]:
    """The number of a port that another program holds, for UDP and TCP."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        yield str(port)


@pytest.mark.parametrize(
    "words",
    [
        ("serve", *ANY, "--listen"),
        ("serve", *ANY, "--turn"),
        ("serve", *ANY, "--workers", "2", "--turn"),
        ("serve", *ANY, "--metrics"),
        ("serve", *ANY, "--kme"),
        ("serve", *ANY, "--processes", "--kme"),
        ("turn", "--user", "a:b", "--listen"),
        ("turn", "--user", "a:b", *ANY[:2], "--metrics"),
        ("kme", "--node", "beijing", "--listen"),
        ("kme", "--node", "beijing", "--kme"),
    ],
    ids=" ".join,
)
async def test_a_port_that_is_taken_is_named_with_its_option(
    theatre: Stage, taken: str, words: tuple[str, ...]
) -> None:
    program = await theatre.run("relay", *relay(theatre, "relay", *words, f"127.0.0.1:{taken}"), code=1)
    (line,) = program.stderr.splitlines()
    assert f"port {taken} " in line
    assert line.endswith(f"; choose another with {words[-1]}")


async def test_the_node_listens_for_phones_where_it_is_told(theatre: Stage) -> None:
    command = relay(theatre, "relay", "kme", "--node", "beijing", "--kme", "127.0.0.2:0", "--json")
    node = await theatre.start("node", *command)
    ready = await node.event("ready")
    assert ready["kme"]["beijing"].startswith("https://127.0.0.2:")
    assert ready["nodes"].startswith("https://127.0.0.1:")
    await node.stop()


@pytest.mark.parametrize("name", ["jinan", "beijing"])  # a relay node, and an access site with a key store
async def test_a_node_runs_once_in_a_home_and_the_second_spoils_nothing(theatre: Stage, name: str) -> None:
    command = relay(theatre, "relay", "kme", "--node", name, "--json")
    node = await theatre.start("node", *command)
    ready = await node.event("ready")
    second = relay(theatre, "relay", "kme", "--node", name, "--listen", "127.0.0.2:0")
    refused = await theatre.run("second node", *second, code=1)
    said = f"relay: node {name} runs with the home {theatre.relay_home} already; stop that one first\n"
    assert refused.stderr == said
    files = theatre.relay_home / "kme" / f"kme-{name}"
    assert (files / "node.url").read_text() == ready["nodes"], "others find the first"
    await node.stop()


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
