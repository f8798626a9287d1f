"""A relay that runs short says so to newcomers, and goes on with those it has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from relay.turn import admission
from relay.turn.attributes import LIFETIME
from relay.turn.credentials import StaticUsers
from relay.turn.message import MessageClass, Method, encode, parse
from relay.turn.udp import TurnServer
from scripts.benchmarks.turnload import CHANNEL, Client, Login, source_host
from scripts.demonstration.stage import BIN, Stage

USERS = [f"user{number}" for number in range(13)]
DESCRIPTORS = 200


def refused(client: Client) -> bool:
    """Whether the server is full."""
    try:
        client.allocate()
    except RuntimeError as error:
        return "508" in str(error)
    return False


async def test_a_relay_short_of_descriptors_is_full(theatre: Stage) -> None:
    users = [part for user in USERS for part in ("--user", f"{user}:secret")]
    relay = await theatre.start(
        "relay turn", "sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh",
        BIN / "relay", "turn", "--listen", "127.0.0.1:0", *users, "--json",
    )  # fmt: skip
    host, port = (await relay.event("ready"))["turn"].split(":")
    server = (host, int(port))

    def work() -> int:
        with contextlib.ExitStack() as closing:
            clients = [
                Client(server, Login(USERS[number // 16], "secret"), source_host(number))
                for number in range(DESCRIPTORS)
            ]
            for each in clients:
                closing.enter_context(each.socket)
            count = next(number for number, each in enumerate(clients) if refused(each))
            clients[0].bind(clients[1].relayed)
            clients[1].bind(clients[0].relayed)
            clients[1].socket.settimeout(5.0)
            clients[0].socket.send((CHANNEL << 16 | 5).to_bytes(4, "big") + b"still")
            assert clients[1].socket.recv(2048)[4:] == b"still"
            with socket.create_connection(server, timeout=5.0) as stream:
                stream.sendall(encode(Method.BINDING, MessageClass.REQUEST, bytes(12)))
                assert parse(stream.recv(2048)).message_class is MessageClass.SUCCESS
            for each in clients[2:count]:
                each.request(Method.REFRESH, LIFETIME(0))
            deadline = time.monotonic() + 5.0
            while refused(clients[count]):
                assert time.monotonic() < deadline, "still full with every socket closed"
        return count

    assert DESCRIPTORS // 4 < await asyncio.to_thread(work) < DESCRIPTORS - 64


@pytest.fixture
async def measuring(monkeypatch):
    """A server that calls itself full at a tenth of a core, by its own measurements."""
    monkeypatch.setattr(admission, "FULL", 0.10)
    monkeypatch.setattr(admission, "ROOM", 0.05)
    users = StaticUsers({"alice": "wonderland", "bob": "builder"})
    server = await TurnServer.start("127.0.0.1", 0, realm="relay", credentials=users)
    yield server
    await server.close()


async def test_load_fills_a_relay_that_keeps_the_sound_of_those_it_has(measuring: TurnServer) -> None:
    server = measuring
    packet = (CHANNEL << 16 | 160).to_bytes(4, "big") + bytes(160)

    def prepare(closing: contextlib.ExitStack) -> tuple[Client, Client, Client]:
        made = [Client(server.address, Login("alice", "wonderland")) for _ in range(2)]
        late = Client(server.address, Login("bob", "builder"))
        for each in (*made, late):
            closing.enter_context(each.socket)
            each.socket.settimeout(5.0)
        for each in made:
            each.allocate()
        made[0].bind(made[1].relayed)
        made[1].bind(made[0].relayed)
        return made[0], made[1], late

    def load(one: Client, other: Client) -> tuple[int, int]:
        """Ten packets at a time, each of them waited for, until the server is full."""
        sent = heard = 0
        deadline = time.monotonic() + 20.0
        while not server.admission.full and time.monotonic() < deadline:
            for _ in range(10):
                one.socket.send(packet)
            sent += 10
            heard += sum(other.socket.recv(2048) == packet for _ in range(10))
        return sent, heard

    with contextlib.ExitStack() as closing:
        one, other, late = await asyncio.to_thread(prepare, closing)
        assert not server.admission.full
        sent, heard = await asyncio.to_thread(load, one, other)
        assert server.admission.full
        assert sent == heard > 100, "nothing is lost on the way there"
        assert await asyncio.to_thread(refused, late)
        one.socket.send(packet)
        assert await asyncio.to_thread(other.socket.recv, 2048) == packet
        async with asyncio.timeout(20.0):
            while server.admission.full:
                await asyncio.sleep(0.05)
        assert not await asyncio.to_thread(refused, late)
