"""200,000 forged Allocates at a running relay: nothing is made, memory stays flat, and it still answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from relay.turn.attributes import REQUESTED_TRANSPORT
from relay.turn.message import MessageClass, Method, encode, parse
from scripts.benchmarks.turnload import anonymous_bytes, source_host, udp
from scripts.demonstration.stage import BIN, Stage

FORGED = 200_000
SOURCES = 100
AT_ONCE = 50
"""Of one source, before another sends."""
_UDP_SEGMENT = 103


def forged(transaction: int) -> bytes:
    return encode(
        Method.ALLOCATE, MessageClass.REQUEST, transaction.to_bytes(12, "big"), [REQUESTED_TRANSPORT(17)]
    )


class Sources:
    """Strangers, each at an address of its own, who never read what they are told."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.sockets = [udp(source_host(number)) for number in range(SOURCES)]
        for each in self.sockets:
            each.connect(server)
            each.setsockopt(socket.SOL_UDP, _UDP_SEGMENT, len(forged(0)))
        self._sent = 0

    def flood(self, count: int) -> None:
        for _ in range(count // AT_ONCE):
            burst = b"".join(forged(self._sent + number) for number in range(AT_ONCE))
            self.sockets[self._sent // AT_ONCE % SOURCES].send(burst)
            self._sent += AT_ONCE
            if self._sent % 1000 == 0:
                self.wait()

    def wait(self) -> None:
        """Until the server has come through all that was sent: it answers a Binding request of a newcomer."""
        with contextlib.closing(udp(source_host(SOURCES))) as newcomer:
            newcomer.settimeout(5.0)
            server = self.sockets[0].getpeername()
            newcomer.sendto(encode(Method.BINDING, MessageClass.REQUEST, bytes(12)), server)
            assert parse(newcomer.recv(2048)).message_class is MessageClass.SUCCESS

    def close(self) -> None:
        for each in self.sockets:
            each.close()


async def test_a_forged_flood_leaves_a_running_relay_as_it_was(theatre: Stage) -> None:
    relay = await theatre.start(
        "relay turn",
        BIN / "relay", "turn", "--listen", "127.0.0.1:0", "--user", "alice:wonderland", "--json",
    )  # fmt: skip
    host, port = (await relay.event("ready"))["turn"].split(":")
    with contextlib.closing(Sources((host, int(port)))) as sources:
        await asyncio.to_thread(sources.flood, FORGED // 10)  # caches of fixed size are full
        before = anonymous_bytes(relay.process.pid)
        await asyncio.to_thread(sources.flood, FORGED)
        grown = anonymous_bytes(relay.process.pid) - before
    relay.interrupt()
    assert await relay.ended() == 0
    turn = (await relay.event("ended"))["turn"]
    assert turn["auth_failures"]["401"] == FORGED + FORGED // 10
    assert turn["allocations_made"] == 0
    assert grown < 1 << 20, "not five bytes a datagram, which is the allocator's own unrest"
