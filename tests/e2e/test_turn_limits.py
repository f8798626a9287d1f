"""A relay that runs short says so to newcomers, and goes on with those it has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from relay.turn.attributes import LIFETIME
from relay.turn.message import MessageClass, Method, encode, parse
from scripts.benchmarks.turnload import CHANNEL, Client, Login
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
            clients = [Client(server, Login(USERS[number // 16], "secret")) for number in range(DESCRIPTORS)]
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
