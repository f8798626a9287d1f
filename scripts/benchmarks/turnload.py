"""Load for a TURN server: clients with allocations and channels, and as many datagrams as a core makes.

Packets leave in bursts that the kernel cuts up (UDP_SEGMENT) and come back by recvmmsg with nothing copied
but their first bytes, so that the generator is not what is measured. In a closed loop every flow keeps a
number of packets on their way; paced, they leave by the clock whatever happens to them.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from relay.turn.attributes import (
    CHANNEL_NUMBER,
    ERROR_CODE,
    LIFETIME,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Address,
    Value,
)
from relay.turn.credentials import long_term_key
from relay.turn.message import Integrity, Message, MessageClass, Method, encode, parse

PAYLOAD = 172
"""Bytes: 20 ms of G.711-sized media, which is what relays are usually measured with."""
CHANNEL = 0x4000
SOURCE_HOST = "127.0.0.2"
"""Clients and peers live at an address of their own, and leave the server's whole range of ports to it."""
HEAD = 16
"""Bytes of a received packet that are kept: enough for its time of sending and its number in the flow."""
MOST = 64
"""Packets that one read takes, and one burst has (the kernel's limit for UDP_SEGMENT)."""
BURSTS_PER_SECOND = 25_000
BUFFER = 1 << 20
"""Bytes of a receiver's socket, so that the generator's own pauses lose nothing."""
_UDP_SEGMENT = 103
_TRUNC, _DONTWAIT = 0x20, 0x40
_SO_TIMESTAMPNS = 35
_C = ctypes.CDLL(None, use_errno=True)
_IOVEC = np.dtype([("base", "<u8"), ("length", "<u8")])
_FIELDS = ("name", "name_length", "vectors", "count", "control", "control_length", "flags", "length")
_MMSGHDR = np.dtype([(name, "<u8") for name in _FIELDS])


@dataclass(frozen=True)
class Login:
    """Who a client is."""

    username: str
    password: str


def source_host(number: int) -> str:
    """A loopback address of client ``number``'s own: servers answer strangers only so often by address."""
    return f"127.1.{number // 250}.{1 + number % 250}"


def udp(host: str = SOURCE_HOST) -> socket.socket:
    """A socket on a port of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


class Client:
    """One TURN client over UDP; answers are awaited for a second and asked for again."""

    def __init__(self, server: Address, login: Login, host: str = SOURCE_HOST) -> None:
        self.socket = udp(host)
        self.socket.connect(server)
        self.socket.settimeout(1.0)
        self.login = login
        self.relayed: Address = ("", 0)
        self._nonce = b""
        self._realm = ""
        self._asked: tuple[Method, tuple[Value, ...]] = (Method.BINDING, ())
        self._data = b""
        self._transaction = b""

    def ask(self, method: Method, *values: Value) -> None:
        """Send a request, authenticated once the server has given a nonce; ``answer`` is what comes of it."""
        self._asked = (method, values)
        self._transaction = os.urandom(12)
        asked, integrity = list(values), None
        if self._nonce:
            asked += [USERNAME(self.login.username), REALM(self._realm), NONCE(self._nonce)]
            integrity = Integrity(long_term_key(self.login.username, self._realm, self.login.password))
        self._data = encode(method, MessageClass.REQUEST, self._transaction, asked, integrity=integrity)
        self.socket.send(self._data)

    def answer(self) -> Message | None:
        """The answer; None when it was a challenge, which has been met and asked for again."""
        answer = self._next()
        if answer.message_class is MessageClass.SUCCESS:
            return answer
        error, nonce, realm = answer.get(ERROR_CODE), answer.get(NONCE), answer.get(REALM)
        if nonce is None or nonce == self._nonce or error is None or error.code not in (401, 438):
            raise RuntimeError(f"{self._asked[0].name}: {error}")
        self._nonce, self._realm = nonce, realm or ""
        self.ask(self._asked[0], *self._asked[1])
        return None

    def request(self, method: Method, *values: Value) -> Message:
        """Ask, and wait for the answer."""
        self.ask(method, *values)
        while (answer := self.answer()) is None:
            pass
        return answer

    def _next(self) -> Message:
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                while (answer := parse(self.socket.recv(2048))).transaction_id != self._transaction:
                    pass
                return answer
            self.socket.send(self._data)
        raise RuntimeError(f"{self._asked[0].name}: no answer")

    def allocate(self) -> None:
        """Get a relayed address."""
        self._allocated(self.request(Method.ALLOCATE, REQUESTED_TRANSPORT(17), LIFETIME(3600)))

    def _allocated(self, answer: Message) -> None:
        relayed = answer.get(XOR_RELAYED_ADDRESS)
        assert relayed is not None
        self.relayed = relayed

    def bind(self, peer: Address) -> None:
        """Bind the channel to ``peer``."""
        self.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(CHANNEL), XOR_PEER_ADDRESS(peer))


def allocate_all(clients: Sequence[Client], at_once: int = 50) -> None:
    """Let every client get its relayed address, some of them at a time."""
    for client, answer in ask_all(
        clients, Method.ALLOCATE, lambda _: (REQUESTED_TRANSPORT(17), LIFETIME(3600)), at_once
    ):
        client._allocated(answer)


def pair_all(clients: Sequence[Client]) -> None:
    """Let neighbours bind channels to each other and say something, so that each has all that a call has."""
    peers = dict(zip(clients[::2], clients[1::2], strict=True))
    peers |= {other: one for one, other in peers.items()}
    for _ in ask_all(
        clients,
        Method.CHANNEL_BIND,
        lambda client: (CHANNEL_NUMBER(CHANNEL), XOR_PEER_ADDRESS(peers[client].relayed)),
    ):
        pass
    packet = (CHANNEL << 16 | PAYLOAD).to_bytes(4, "big") + bytes(PAYLOAD)
    for client in clients:
        client.socket.send(packet)
        peers[client].socket.recv(2048)


def ask_all(
    clients: Sequence[Client],
    method: Method,
    values: Callable[[Client], Sequence[Value]],
    at_once: int = 50,
) -> Iterator[tuple[Client, Message]]:
    """The same request of every client, some of them at a time, with the answer."""
    for start in range(0, len(clients), at_once):
        waiting = list(clients[start : start + at_once])
        for client in waiting:
            client.ask(method, *values(client))
        while waiting:
            answered = [(client, client.answer()) for client in waiting]
            yield from ((client, answer) for client, answer in answered if answer is not None)
            waiting = [client for client, answer in answered if answer is None]


@dataclass
class End:
    """A socket that load leaves from or arrives at. ``size``: bytes of a packet that it sends."""

    socket: socket.socket
    size: int
    burst: bytearray = field(default_factory=bytearray)


class Load:
    """Packets from each sender to its receiver; ``routes`` are pairs of places in ``ends``."""

    def __init__(self, ends: Sequence[End], routes: Sequence[tuple[int, int]]) -> None:
        self._ends = ends
        self._routes = routes
        for end in ends:
            end.socket.setblocking(False)
            end.socket.setsockopt(socket.SOL_UDP, _UDP_SEGMENT, end.size)
            end.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            header = (CHANNEL << 16 | PAYLOAD).to_bytes(4, "big") if end.size == PAYLOAD + 4 else b""
            end.burst = bytearray((header + bytes(PAYLOAD)) * MOST)
        self._heads = np.zeros((MOST, HEAD), np.uint8)
        self._vectors = np.zeros(MOST, _IOVEC)
        self._vectors["base"] = self._heads.ctypes.data + HEAD * np.arange(MOST)
        self._vectors["length"] = HEAD
        self._control = np.zeros((MOST, 4), np.int64)
        self._messages = np.zeros(MOST, _MMSGHDR)
        self._messages["vectors"] = self._vectors.ctypes.data + 16 * np.arange(MOST)
        self._messages["count"] = 1
        self._messages["control"] = self._control.ctypes.data + 32 * np.arange(MOST)
        self._messages["control_length"] = 32
        self._address = self._messages.ctypes.data

    def receive(self, end: End) -> int:
        """Take up to ``MOST`` packets off a socket; returns how many there were."""
        count: int = _C.recvmmsg(
            end.socket.fileno(), ctypes.c_void_p(self._address), MOST, _TRUNC | _DONTWAIT, None
        )
        return max(0, count)

    def send(self, end: End, count: int) -> None:
        """Let ``count`` packets leave at once."""
        try:
            end.socket.send(memoryview(end.burst)[: count * end.size])
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            raise RuntimeError("the server is gone") from None

    def drain(self) -> None:
        """Wait until nothing comes any more."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.05:
            if any(self.receive(self._ends[target]) for _, target in self._routes):
                quiet_since = time.monotonic()

    def closed(self, seconds: float, window: int) -> tuple[int, float]:
        """Keep ``window`` packets of every flow on their way; returns packets received, and seconds."""
        pairs = [(self._ends[source], self._ends[target]) for source, target in self._routes]
        for source, _ in pairs:
            self.send(source, min(window, MOST))
        for _ in range(window // MOST):
            for source, _ in pairs:
                self.send(source, min(window % MOST, MOST) or MOST)
        received, started = 0, time.monotonic()
        moved = started
        while (now := time.monotonic()) < started + seconds:
            before = received
            for source, target in pairs:
                count = self.receive(target)
                if count:
                    received += count
                    self.send(source, count)
            if received > before:
                moved = now
            elif now > moved + 0.05:  # everything on its way was lost
                for source, _ in pairs:
                    self.send(source, min(window, MOST))
                moved = now
        elapsed = time.monotonic() - started
        self.drain()
        return received, elapsed

    def paced(self, seconds: float, rate: float) -> Paced:
        """Send ``rate`` packets a second, evenly over time and flows, each with the time of the wall clock.

        At high rates a flow sends a few at once, or the generator would not keep up.
        """
        pairs = [(self._ends[source], self._ends[target]) for source, target in self._routes]
        each = max(1, round(rate / BURSTS_PER_SECOND))
        bursts = int(rate * seconds / each)
        kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in pairs]
        sent = received = 0
        polls = itertools.cycle(range(len(pairs)))
        started = time.monotonic()
        ends = started + seconds + 0.1
        while (now := time.monotonic()) < ends:
            due = min(bursts, int((now - started) * rate / each))
            while sent < due:
                source = pairs[sent % len(pairs)][0]
                stamp = time.time_ns().to_bytes(8, "little")
                number = sent // len(pairs) * each
                for at in range(source.size - PAYLOAD, each * source.size, source.size):
                    source.burst[at : at + 12] = stamp + number.to_bytes(4, "little")
                    number += 1
                self.send(source, each)
                sent += 1
                received += self._keep(pairs, next(polls), kept)
            received += self._keep(pairs, next(polls), kept)
        return Paced(bursts * each, received, *self._transits(pairs, kept))

    def _keep(
        self,
        pairs: list[tuple[End, End]],
        place: int,
        kept: list[list[tuple[np.ndarray, np.ndarray]]],
    ) -> int:
        count = self.receive(pairs[place][1])
        if count:
            kept[place].append((self._heads[:count].copy(), self._control[:count, 2:].copy()))
        return count

    def _transits(
        self, pairs: list[tuple[End, End]], kept: list[list[tuple[np.ndarray, np.ndarray]]]
    ) -> tuple[int, np.ndarray]:
        """How many packets came after a later one of their flow, and the time that each was on its way."""
        out_of_order, transits = 0, [np.zeros(0)]
        for (_, target), parts in zip(pairs, kept, strict=True):
            if not parts:
                continue
            heads = np.concatenate([head for head, _ in parts])
            control = np.concatenate([stamp for _, stamp in parts])
            at = target.size - PAYLOAD
            stamps = heads[:, at : at + 8].copy().view("<i8")[:, 0]
            numbers = heads[:, at + 8 : at + 12].copy().view("<u4")[:, 0].astype(np.int64)
            out_of_order += int((np.diff(numbers) < 0).sum())
            transits.append((control[:, 0] * 1_000_000_000 + control[:, 1] - stamps) * 1e-9)
        return out_of_order, np.concatenate(transits)


@dataclass(frozen=True)
class Paced:
    """What became of paced packets. ``transits``: seconds from sending to the receiver's socket."""

    sent: int
    received: int
    out_of_order: int
    transits: np.ndarray

    @property
    def loss(self) -> float:
        """Share of packets that never came."""
        return 1 - self.received / self.sent


def between_clients(clients: Sequence[Client]) -> Load:
    """Neighbours talk to each other through the relay: one flow each way."""
    for one, other in zip(clients[::2], clients[1::2], strict=True):
        one.bind(other.relayed)
        other.bind(one.relayed)
    ends = [End(client.socket, PAYLOAD + 4) for client in clients]
    return Load(ends, [(place, place ^ 1) for place in range(len(ends))])


def to_peers(clients: Sequence[Client], *, back: bool = False) -> Load:
    """Each client talks to a peer of its own; ``back``: the peers do."""
    peers = [udp() for _ in clients]
    for client, peer in zip(clients, peers, strict=True):
        client.bind(peer.getsockname())
        peer.connect(client.relayed)
    ends = [End(client.socket, PAYLOAD + 4) for client in clients] + [End(peer, PAYLOAD) for peer in peers]
    count = len(clients)
    there = [(place, place + count) for place in range(count)]
    return Load(ends, [(target, source) for source, target in there] if back else there)


def echo(server: Address, count: int) -> Load:
    """``count`` sockets whose packets come back to them."""
    sockets = [udp() for _ in range(count)]
    for each in sockets:
        each.connect(server)
    return Load([End(each, PAYLOAD + 4) for each in sockets], [(place, place) for place in range(count)])


def anonymous_bytes(pid: int) -> int:
    """Memory of a process that no file backs (proc(5), smaps_rollup); the kernel's sockets are not in it."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def cpu_seconds(pid: int) -> float:
    """Time on the processor of all threads of a process (proc(5), schedstat), to the nanosecond."""
    return _scheduled(pid, 0)


def waited_seconds(pid: int) -> float:
    """Time for which threads of a process were ready and something else had their core."""
    return _scheduled(pid, 1)


def _scheduled(pid: int, field: int) -> float:
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[field])
    return total * 1e-9
