"""Half an hour of a call between two aioice clients in virtual time: nothing that either refreshes runs out.

The loop's clock jumps to its next timer, and its datagrams go straight into the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import types

import aioice.turn
import pytest

from relay.path.model import Hop
from relay.turn.credentials import SharedSecret
from relay.turn.effects import FiveTuple

from .conftest import SERVER, UNIX, World
from .test_forward import FastWorld, SlowWorld, make

MINUTES = 30
FRAME = 0.2
"""Seconds between frames: ten times what a phone sends apart, which changes no timer."""
SECRET = SharedSecret(b"shared")
HOPS = [Hop("fibre", km=1000.0, processing=0.0)]


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: the time it was to wait has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout=None):
        self.now += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose network is one TURN machine."""

    def __init__(self, world: World) -> None:
        self.clock = JumpingSelector()
        super().__init__(self.clock)
        self.world = world
        self.wires: dict[FiveTuple, Wire] = {}
        self._ports = itertools.count(40_000)

    def time(self) -> float:
        return self.clock.now

    async def create_datagram_endpoint(self, protocol_factory, **_):
        wire = Wire(self, protocol_factory(), ("198.51.100.7", next(self._ports)))
        return wire, wire.protocol

    def pump(self) -> None:
        """Let the machine do what is due, hand out what it sent, and come back for what is due next."""
        self.world.advance(self.clock.now - self.world.now)
        sent, self.world.to_clients[:] = list(self.world.to_clients), []
        for each in sent:
            wire = self.wires.get(each.to)
            if wire is not None:
                self.call_soon(wire.protocol.datagram_received, each.data, SERVER)
        if (deadline := self.world.deadline) is not None:
            self.call_at(deadline, self.pump)


class Wire(asyncio.DatagramTransport):
    """A client's socket."""

    def __init__(self, loop: VirtualLoop, protocol, address) -> None:
        super().__init__({"sockname": address})
        self._loop, self.protocol = loop, protocol
        self.five_tuple = FiveTuple("udp", address, SERVER)
        loop.wires[self.five_tuple] = self
        protocol.connection_made(self)

    def sendto(self, data, addr=None):
        self._loop.world.advance(self._loop.time() - self._loop.world.now)
        self._loop.world.batch([(data, self.five_tuple.client)])
        self._loop.pump()

    def is_closing(self):
        return self.five_tuple not in self._loop.wires

    def close(self):
        if self._loop.wires.pop(self.five_tuple, None) is not None:
            self._loop.call_soon(self.protocol.connection_lost, None)


class Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []

    def datagram_received(self, data, addr):
        self.heard.append((int(data), asyncio.get_running_loop().time()))


@pytest.fixture(params=[FastWorld, SlowWorld])
def loop(request, monkeypatch):
    world = make(request.param, hops=HOPS)
    made = VirtualLoop(world)
    monkeypatch.setattr(aioice.turn, "time", types.SimpleNamespace(time=made.time))
    yield made
    made.close()


async def dial(number: int, site: str):
    login = SECRET.mint(f"user{number}", site, UNIX, 86_400.0)
    return await aioice.turn.create_turn_endpoint(Ear, SERVER, username=login[0], password=login[1])


async def talk(loop: VirtualLoop):
    """Frames both ways, on time, for half an hour; returns what each side heard."""
    ends = [await dial(number, site) for number, site in enumerate(("beijing", "hefei"))]
    addresses = [transport.get_extra_info("sockname") for transport, _ in ends]
    started = loop.time()
    for number in range(int(MINUTES * 60 / FRAME)):
        await asyncio.sleep(started + number * FRAME - loop.time())
        for place, (transport, _) in enumerate(ends):
            transport.sendto(b"%d" % number, addresses[1 - place])
    await asyncio.sleep(1.0)
    for transport, _ in ends:
        transport.close()
    await asyncio.sleep(1.0)
    return started, [ear.heard for _, ear in ends]


def test_half_an_hour_keeps_its_audio(loop):
    started, heard = loop.run_until_complete(talk(loop))
    count = int(MINUTES * 60 / FRAME)
    for frames in heard:
        numbers = [number for number, _ in frames]
        # What was said before both had bound their channels is lost, as TURN has it.
        assert numbers == list(range(numbers[0], count))
        assert numbers[0] <= 1
        late = [at - started - number * FRAME for number, at in frames[1:]]
        assert 0.0049 <= min(late) <= max(late) < 0.006
    assert loop.time() - started > MINUTES * 60
    assert loop.world.machine.counters.allocations == 0
    if isinstance(loop.world, FastWorld):
        assert loop.world.slow < count / 10, "the machine sees refreshes and little else"
        assert loop.world.buffers.free == 64
