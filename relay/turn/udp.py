"""The TURN server's sockets: runs the machine's effects and keeps its one timer; ``tcp.py`` cuts streams.

Sockets are read in the event loop without transports: binding one is then done at once, which is what an
Allocate waits for, and an allocation costs the kernel's socket and little else.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.errors import AddressInUse, UsageError
from relay.path.routes import Routes

from .allocating import Opened
from .allocation import Quotas
from .attributes import Address, Family, family_of, packed, text
from .counters import Counters
from .credentials import Credentials
from .effects import Effect, FiveTuple, OpenRelay, Send, SendFromRelay
from .machine import CHALLENGES_PER_SECOND, Settings, TurnMachine
from .peers import IPNetwork
from .tcp import ClientStream
from .timerfd import TimerDescriptor

MAX_DATAGRAM: Final = 65_535
BATCH: Final = 64
"""Datagrams read from one socket before the others get their turn."""
LISTENER_BUFFER: Final = 4 << 20
RELAY_PORTS: Final = (49_152, 65_535)
"""RFC 8656 §7.2 recommends the dynamic range."""
_BIND_ATTEMPTS: Final = 64
MAX_STREAMS: Final = 4096
STREAM_GRACE: Final = 30.0
"""Seconds that a connection may last without an allocation."""

# Linux numbers that the socket module does not name.
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_WANT: Final = 1
_IP_PMTUDISC_DO: Final = 2
_IPV6_DONTFRAG: Final = 62


class WireEvent(NamedTuple):
    """A message that crossed the server's client side. ``time``: seconds of the monotonic clock."""

    direction: Literal["in", "out"]
    five_tuple: FiveTuple
    time: float
    data: bytes


Wiretap: TypeAlias = Callable[[WireEvent], None]


class _Stream(ClientStream, asyncio.Protocol):
    """A client's connection as asyncio knows it."""


class TurnServer:
    """A running TURN server; made by :meth:`start`."""

    def __init__(self, machine: TurnMachine, listener: socket.socket, wiretap: Wiretap | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._machine = machine
        self._wiretap = wiretap
        self._listener = listener
        self._stream_servers: list[asyncio.Server] = []
        self._streams: dict[FiveTuple, ClientStream] = {}
        self._streams_closed = asyncio.Event()
        self._streams_closed.set()
        self._relayed: dict[Address, socket.socket] = {}
        self._armed_for: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._precise_timer = TimerDescriptor.open()
        self.address: Address = _address(listener.getsockname())
        """Where clients reach the server, over UDP and TCP."""
        self.tls_address: Address | None = None
        """Where clients reach the server over TLS."""
        self._loop.add_reader(listener, self._client_readable)
        if self._precise_timer is not None:
            self._loop.add_reader(self._precise_timer.fileno(), self._timer_fired)

    @classmethod
    async def start(
        cls,
        host: str,
        port: int,
        *,
        realm: str,
        credentials: Credentials,
        routes: Routes | None = None,
        allow_peers: Sequence[IPNetwork] = (),
        relay_hosts: Sequence[str] = (),
        quotas: Quotas | None = None,
        challenges_per_second: float = CHALLENGES_PER_SECOND,
        wiretap: Wiretap | None = None,
        tls: tuple[int, ssl.SSLContext] | None = None,
    ) -> TurnServer:
        """Listen on ``host``:``port`` (0: any free port) over UDP and TCP, and on ``tls``'s port over TLS.

        ``relay_hosts``: what relayed sockets are bound to, one address of a family at most; default ``host``.
        ``wiretap`` sees every message between clients and server. Raises ``AddressInUse`` and ``UsageError``.
        """
        hosts = tuple(map(_canonical, relay_hosts or (host,)))
        for relay_host in hosts:
            if ipaddress.ip_address(relay_host).is_unspecified:
                raise UsageError(f"relayed addresses cannot be {relay_host}; name an address of this machine")
        bound = _bind_listeners(host, port, None if tls is None else tls[0])
        listener = bound[0]
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LISTENER_BUFFER)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LISTENER_BUFFER)
            settings = Settings(
                realm=realm,
                relay_hosts=hosts,
                listeners=(_address(listener.getsockname()),),
                allow_peers=tuple(allow_peers),
                quotas=quotas or Quotas(),
                challenges_per_second=challenges_per_second,
            )
            machine = TurnMachine(settings, credentials, secrets.token_bytes(32), routes=routes)
            server = cls(machine, listener, wiretap)
            await server._listen("tcp", bound[1], None)
            if tls is not None:
                server.tls_address = await server._listen("tls", bound[2], tls[1])
            return server
        except BaseException:
            for opened in bound:
                opened.close()
            raise

    @property
    def counters(self) -> Counters:
        """What the server has counted since it started."""
        return self._machine.counters

    def drain(self, alternate: Address | None = None) -> None:
        """Refuse new allocations, sending clients to ``alternate`` where it is given; keep the live ones."""
        self._machine.drain(alternate)

    async def close(self) -> None:
        """Close every socket at once; allocations end with the process that held them."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for server in self._stream_servers:
            server.close()
        for stream in list(self._streams.values()):
            stream.abort()
        await self._streams_closed.wait()
        for relayed in list(self._relayed):
            self._close_relayed(relayed)
        if self._timer is not None:
            self._timer.cancel()
        if self._precise_timer is not None:
            self._loop.remove_reader(self._precise_timer.fileno())
            self._precise_timer.close()

    def stream_opened(self, stream: ClientStream) -> None:
        """A connection stands; it has half a minute to allocate."""
        self._streams[stream.five_tuple] = stream
        self._streams_closed.clear()
        if len(self._streams) > MAX_STREAMS:
            self.counters.drops["too-many-streams"] += 1
            stream.abort()
        else:
            self._loop.call_later(STREAM_GRACE, self._reap, stream)

    def stream_message(self, stream: ClientStream, data: bytes) -> None:
        """One message of a connection."""
        self._machine.wall_offset = time.time() - time.monotonic()
        self._receive(data, stream.five_tuple)
        self._arm()

    def stream_closed(self, stream: ClientStream) -> None:
        """A connection is gone, and what it had allocated."""
        del self._streams[stream.five_tuple]
        if not self._streams:
            self._streams_closed.set()
        self._run(self._machine.disconnected(stream.five_tuple))

    def _reap(self, stream: ClientStream) -> None:
        if self._streams.get(stream.five_tuple) is not stream:
            return
        if self._machine.serves(stream.five_tuple):
            self._loop.call_later(STREAM_GRACE, self._reap, stream)
        else:
            stream.abort()

    async def _listen(
        self, kind: Literal["tcp", "tls"], opened: socket.socket, context: ssl.SSLContext | None
    ) -> Address:
        address = _address(opened.getsockname())
        server = await self._loop.create_server(
            lambda: _Stream(self, kind, address, _address), sock=opened, ssl=context
        )
        self._stream_servers.append(server)
        return address

    def _client_readable(self) -> None:
        self._machine.wall_offset = time.time() - time.monotonic()
        for _ in range(BATCH):
            try:
                data, source = self._listener.recvfrom(MAX_DATAGRAM)
            except OSError:  # nothing more to read, or an ICMP error of an earlier datagram
                break
            self._receive(data, FiveTuple("udp", _address(source), self.address))
        self._arm()

    def _relayed_readable(self, relayed: Address, opened: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, source = opened.recvfrom(MAX_DATAGRAM)
            except OSError:
                break
            self._run(self._machine.from_peer(relayed, _address(source), data, time.monotonic()))
        self._arm()

    def _receive(self, data: bytes, five_tuple: FiveTuple) -> None:
        now = time.monotonic()
        if self._wiretap is not None:
            self._wiretap(WireEvent("in", five_tuple, now, data))
        self._run(self._machine.receive(data, five_tuple, now))

    def _arm(self) -> None:
        """Have the timer go off no later than the machine's deadline."""
        deadline = self._machine.deadline
        if deadline is None or (self._armed_for is not None and self._armed_for <= deadline):
            return
        self._armed_for = deadline
        if self._precise_timer is not None:
            self._precise_timer.set(deadline)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._timer_fired)

    def _timer_fired(self) -> None:
        if self._precise_timer is not None:
            self._precise_timer.acknowledge()
        self._armed_for = None
        self._run(self._machine.timer(time.monotonic()))
        self._arm()

    def _run(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect)
            elif isinstance(effect, SendFromRelay):
                self._send_from_relay(effect)
            elif isinstance(effect, OpenRelay):
                self._open(effect)
            else:
                self._close_relayed(effect.relayed)

    def _send(self, effect: Send) -> None:
        if self._wiretap is not None:
            self._wiretap(WireEvent("out", effect.to, time.monotonic(), effect.data))
        if effect.to.transport != "udp":
            stream = self._streams.get(effect.to)
            if stream is None or not stream.send(effect.data):
                self.counters.drops["slow-client"] += 1
            return
        try:
            self._listener.sendto(effect.data, effect.to.client)
        except OSError:  # full buffer, no route: a datagram may be lost
            self.counters.drops["send-failed"] += 1

    def _send_from_relay(self, effect: SendFromRelay) -> None:
        sender = self._relayed[effect.relayed]
        try:
            if effect.dont_fragment:
                _set_dont_fragment(sender, True)
            sender.sendto(effect.data, effect.peer)
        except OSError:
            self.counters.drops["send-failed"] += 1
        finally:
            if effect.dont_fragment:
                _set_dont_fragment(sender, False)

    def _open(self, effect: OpenRelay) -> None:
        sockets: list[socket.socket] = []
        reserved: socket.socket | None = None
        for host in effect.hosts:
            primary = not sockets
            found = _bind_relayed(host, effect.even and primary, effect.reserve and primary)
            if found is None:
                break
            sockets.append(found[0])
            reserved = reserved or found[1]
        for opened in (*sockets, reserved):
            if opened is not None:
                relayed = _address(opened.getsockname())
                self._relayed[relayed] = opened
                self._loop.add_reader(opened, self._relayed_readable, relayed, opened)
        addresses = tuple(_address(opened.getsockname()) for opened in sockets)
        reserved_address = None if reserved is None else _address(reserved.getsockname())
        token = secrets.token_bytes(8)
        self._run(
            self._machine.opened(
                effect.five_tuple, Opened(addresses, reserved_address), token, time.monotonic()
            )
        )

    def _close_relayed(self, relayed: Address) -> None:
        opened = self._relayed.pop(relayed)
        self._loop.remove_reader(opened)
        opened.close()


def _canonical(host: str) -> str:
    return text(packed(host))


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """The kernel's socket name as an address; IPv6 text is written as in messages."""
    host, port = name[0], name[1]
    return (host if ":" not in host or "%" in host else _canonical(host)), port


def _socket(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    family = socket.AF_INET6 if family_of(host) is Family.IPV6 else socket.AF_INET
    opened = socket.socket(family, kind)
    opened.setblocking(False)
    if family is socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind is socket.SOCK_STREAM:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections in TIME_WAIT
    return opened


def _bind_listeners(host: str, port: int, tls_port: int | None) -> list[socket.socket]:
    """A UDP socket, a TCP socket on the same port, and one for TLS if that has a port."""
    for _ in range(_BIND_ATTEMPTS):
        bound: list[socket.socket] = []
        try:
            bound.append(_bind(host, port, socket.SOCK_DGRAM))
            bound.append(_bind(host, bound[0].getsockname()[1], socket.SOCK_STREAM))
            if tls_port is not None:
                bound.append(_bind(host, tls_port, socket.SOCK_STREAM))
            return bound
        except BaseException as error:
            for opened in bound:
                opened.close()
            if port or len(bound) != 1 or not isinstance(error, AddressInUse):
                raise
    raise AddressInUse(f"no port of {host} is free for both UDP and TCP; choose one for TURN")


def _bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    name = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    opened = _socket(host, kind)
    try:
        opened.bind((host, port))
        if kind is socket.SOCK_STREAM:
            opened.listen(128)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"{name} port {port} of {host} is in use; choose another port for TURN"
            ) from None
        raise UsageError(f"cannot listen on {name} port {port} of {host}: {error.strerror}") from None
    return opened


def _bind_relayed(host: str, even: bool, reserve: bool) -> tuple[socket.socket, socket.socket | None] | None:
    """A socket on a random port, and one on the next if that is to be reserved; None: no port is free."""
    first, last = RELAY_PORTS
    for _ in range(_BIND_ATTEMPTS):
        port = first + secrets.randbelow(last - first + 1)
        if even:
            port &= ~1
        bound: list[socket.socket] = []
        try:
            for number in (port, port + 1) if reserve else (port,):
                bound.append(_socket(host))
                bound[-1].bind((host, number))
        except OSError:
            for opened in bound:
                opened.close()
            continue
        return bound[0], bound[1] if reserve else None
    return None


def _set_dont_fragment(opened: socket.socket, on: bool) -> None:
    """DF on what is sent next (RFC 8656 §14); Linux only, elsewhere the kernel's default stays."""
    if sys.platform != "linux":
        return
    if opened.family is socket.AF_INET:
        mode = _IP_PMTUDISC_DO if on else _IP_PMTUDISC_WANT
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, int(on))
