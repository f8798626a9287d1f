"""Two media peers over our own TURN server, with the modelled path between them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from qcall.crypto.secret import Secret
from qcall.errors import QcallError
from qcall.media.devices import NullSink, NullSource, Sink, Source
from qcall.media.peer import Peer, Relay
from qcall.media.srtp import KEY_LENGTH, SrtpKeyPair
from qcall.media.tones import Tones
from relay.path.model import Hop
from relay.path.routes import Routes
from relay.turn.credentials import SharedSecret
from relay.turn.udp import TurnServer, WireEvent

CREDENTIALS = SharedSecret(b"a secret of this test")
FIBRE = [Hop(name="fibre", km=1_000, processing=0.0, jitter=0.0, loss=0.0)]
LIMIT = 10.0


def derive(exported: bytes, direction: str, secret: str) -> Secret:
    material = hashlib.shake_256(exported + direction.encode() + secret.encode())
    return Secret(material.digest(KEY_LENGTH))


@dataclass
class Phone:
    """A peer, and what it has told us."""

    peer: Peer
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    messages: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    errors: list[QcallError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peer.on_connected = self.connected.set
        self.peer.on_control_open = self.open.set
        self.peer.on_first_audio = self.heard.set
        self.peer.on_control = self.messages.put_nowait
        self.peer.on_failed = self.fail

    def fail(self, error: QcallError) -> None:
        self.errors.append(error)
        self.failed.set()


class Exchange:
    """A TURN server with a path between two sites, and the phones that use it."""

    def __init__(self, server: TurnServer, routes: Routes) -> None:
        self.server = server
        self.routes = routes
        self.open = True
        self.phones: list[Phone] = []

    def phone(
        self,
        role: str,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        secret: str = "shared",
        tones: Tones | None = None,
        frame_ms: int = 20,
        password: str | None = None,
    ) -> Phone:
        site = "beijing" if role == "caller" else "hefei"
        username, minted = CREDENTIALS.mint(role, site, time.time(), 600)
        send, receive = ("there", "back") if role == "caller" else ("back", "there")

        def keys(exported: bytes) -> SrtpKeyPair:
            return SrtpKeyPair(derive(exported, send, secret), derive(exported, receive, secret))

        phone = Phone(
            Peer(
                turn=Relay(*self.server.address, username, password or minted),
                exporter=keys,
                exporter_context=lambda: bytes(48),
                source=source or NullSource(),
                sink=sink or NullSink(),
                tones=tones,
                frame_ms=frame_ms,
            )
        )
        self.phones.append(phone)
        return phone

    async def close(self) -> None:
        if self.open:
            self.open = False
            await self.server.close()


@asynccontextmanager
async def exchange(
    hops: list[Hop] = FIBRE, wiretap: Callable[[WireEvent], None] | None = None
) -> AsyncIterator[Exchange]:
    routes = Routes({("beijing", "hefei"): hops}, seed=7)
    server = await TurnServer.start(
        "127.0.0.1", 0, realm="qcall", credentials=CREDENTIALS, routes=routes, wiretap=wiretap
    )
    made = Exchange(server, routes)
    try:
        yield made
    finally:
        await asyncio.gather(*(phone.peer.close() for phone in made.phones))
        await made.close()


async def happens(*events: asyncio.Event) -> None:
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*(event.wait() for event in events))


async def connect(caller: Phone, callee: Phone) -> None:
    await caller.peer.accept_answer(await callee.peer.answer(await caller.peer.offer()))


def talk(*phones: Phone) -> None:
    for phone in phones:
        phone.peer.start_sending()
        phone.peer.start_playing()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.01)
