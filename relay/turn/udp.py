"""The TURN server: runs the machine's effects, keeps its one timer, and feeds the fast path.

Sockets are read in the event loop without transports: binding one is then done at once, which is what an
Allocate waits for, and an allocation costs the kernel's socket and little else. Where the platform has
recvmmsg, datagrams come in batches, and those that the machine has told a ``Shortcut`` for never reach it;
elsewhere, and under a wiretap, it sees each of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.errors import UsageError
from relay.path.routes import Routes

from . import mmsg
from .admission import LATE_AFTER, PERIOD, Admission
from .allocating import Opened
from .allocation import Quotas
from .attributes import Address
from .counters import RELEASE_ERROR_BOUNDS, Counters
from .credentials import Credentials
from .effects import CloseRelay, Effect, FiveTuple, OpenRelay, Send, SendFromRelay
from .fastpath import BATCH, FastPath
from .machine import CHALLENGES_PER_SECOND, Settings, TurnMachine
from .message import is_request
from .overflow import Overflows
from .pacing import Pacing
from .peers import IPNetwork
from .sockets import (
    address_from,
    bind_listeners,
    bind_relayed,
    canonical,
    descriptors_left,
    set_dont_fragment,
)
from .streams import Streams
from .timerfd import Alarm

MAX_DATAGRAM: Final = 65_535
AT_ONCE: Final = 64
"""Datagrams read one by one from one socket before the others get their turn."""


class WireEvent(NamedTuple):
    """A message that crossed the server's client side. ``time``: seconds of the monotonic clock."""

    direction: Literal["in", "out"]
    five_tuple: FiveTuple
    time: float
    data: bytes


Wiretap: TypeAlias = Callable[[WireEvent], None]


class TurnServer:
    """A running TURN server; made by :meth:`start`."""

    def __init__(
        self,
        machine: TurnMachine,
        listener: socket.socket,
        wiretap: Wiretap | None,
        fast: FastPath | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._machine = machine
        self._wiretap = wiretap
        self._listener = listener
        self._streams = Streams(self, machine.counters)
        self._relayed: dict[Address, socket.socket] = {}
        self._fast = fast
        self._pacing = Pacing()
        self._ready: dict[Address, None] = {}
        self._read_at: float | None = None  # the listener's next turn, while its readiness is not watched
        self._released_at = 0.0
        self._alarm = Alarm(self._wake)
        self._overflows = Overflows(machine.counters)
        self.admission = Admission()
        """How busy the server is, and whether it is full."""
        self.draining = False
        self._empty = asyncio.Event()
        self._answering = 0.0  # seconds of the processor that requests have taken
        self._measuring = self._loop.call_later(PERIOD, self._measure)
        machine.counters.receive_buffer = listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.address: Address = address_from(listener.getsockname())
        """Where clients reach the server, over UDP and TCP."""
        self.tls_address: Address | None = None
        """Where clients reach the server over TLS."""
        self._loop.add_reader(listener, self._client_readable)

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
        batches: bool = True,
    ) -> TurnServer:
        """Listen on ``host``:``port`` (0: any free port) over UDP and TCP, and on ``tls``'s port over TLS.

        ``relay_hosts``: what relayed sockets are bound to, one address of a family at most; default ``host``.
        ``wiretap`` sees every message between clients and server. ``batches``: use the fast path where the
        platform has one. Raises ``AddressInUse`` and ``UsageError``.
        """
        hosts = tuple(map(canonical, relay_hosts or (host,)))
        for relay_host in hosts:
            if ipaddress.ip_address(relay_host).is_unspecified:
                raise UsageError(f"relayed addresses cannot be {relay_host}; name an address of this machine")
        bound = bind_listeners(host, port, None if tls is None else tls[0])
        listener = bound[0]
        try:
            settings = Settings(
                realm=realm,
                relay_hosts=hosts,
                listeners=(address_from(listener.getsockname()),),
                allow_peers=tuple(allow_peers),
                quotas=quotas or Quotas(),
                challenges_per_second=challenges_per_second,
            )
            batches = batches and wiretap is None and mmsg.available()
            machine = TurnMachine(
                settings, credentials, secrets.token_bytes(32), routes=routes, shortcuts=batches
            )
            fast = FastPath(listener, machine.counters) if batches else None
            server = cls(machine, listener, wiretap, fast)
            await server._streams.listen("tcp", bound[1], None)
            if tls is not None:
                server.tls_address = await server._streams.listen("tls", bound[2], tls[1])
            return server
        except BaseException:
            for opened in bound:
                opened.close()
            raise

    @property
    def counters(self) -> Counters:
        """What the server has counted since it started."""
        if self._fast is not None:
            self._fast.settle()
        return self._machine.counters

    @property
    def shortcuts(self) -> int:
        """Flows that the fast path carries."""
        return 0 if self._fast is None else len(self._fast)

    def drain(self, alternate: Address | None = None) -> None:
        """Refuse new allocations, sending clients to ``alternate`` where it is given; keep the live ones."""
        self.draining = True
        self._machine.drain(alternate)
        self._tell_if_empty()

    def expel(self, user: str, until: float) -> None:
        """As :meth:`TurnMachine.expel`."""
        self._run(self._machine.expel(user, until))
        self._tell_if_empty()

    async def emptied(self) -> None:
        """Wait until a server that drains has no allocation left."""
        await self._empty.wait()

    async def close(self) -> None:
        """Close every socket at once; allocations end with the process that held them."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        self._alarm.close()
        self._measuring.cancel()
        self._listener.close()
        await self._streams.close()
        for relayed in list(self._relayed):
            self._close_relayed(relayed)

    def receive(self, data: bytes, five_tuple: FiveTuple) -> None:
        """One message of a client's connection."""
        now = time.monotonic()
        self._machine.wall_offset = time.time() - now
        self._receive(data, five_tuple, now)
        self._arm()

    def disconnected(self, five_tuple: FiveTuple) -> None:
        """A client's connection is gone, and what it had allocated."""
        self._run(self._machine.disconnected(five_tuple))

    def serves(self, five_tuple: FiveTuple) -> bool:
        """Whether that client has an allocation."""
        return self._machine.serves(five_tuple)

    def _client_readable(self) -> None:
        try:
            self._read_clients(time.monotonic())
        finally:
            self._arm()

    def _read_clients(self, now: float) -> None:
        offset = self._machine.wall_offset = time.time() - now
        if self._fast is None:
            for _ in range(AT_ONCE):
                try:
                    data, source = self._listener.recvfrom(MAX_DATAGRAM)
                except OSError:  # nothing more to read, or an ICMP error of an earlier datagram
                    break
                self._from_client(data, address_from(source), time.monotonic())
            return
        count = self._fast.read_clients(now, offset, self._pacing.release_lead, self._from_client)
        read_at = self._pacing.read(count, now, self._fast.patience)
        if (read_at is None) is not (self._read_at is None):
            if read_at is None:
                self._loop.add_reader(self._listener, self._client_readable)
            else:
                self._loop.remove_reader(self._listener)
        self._read_at = now if read_at is not None and count == BATCH else read_at

    def _from_client(self, data: bytes, source: Address, arrived: float) -> None:
        self._receive(data, FiveTuple("udp", source, self.address), arrived)

    def _relayed_readable(self, relayed: Address, opened: socket.socket) -> None:
        if self._fast is not None:
            if not self._ready:  # those that are readable now are read together
                self._loop.call_soon(self._read_peers, self._fast)
            self._ready[relayed] = None  # in the order in which they became so
            return
        for _ in range(AT_ONCE):
            try:
                data, source = opened.recvfrom(MAX_DATAGRAM)
            except OSError:
                break
            self._from_peer(relayed, data, address_from(source), time.monotonic())
        self._arm()

    def _read_peers(self, fast: FastPath) -> None:
        ready, self._ready = self._ready, {}
        if self._listener.fileno() < 0:  # closed since
            return
        try:
            self._ready = dict.fromkeys(fast.read_peers(ready, time.monotonic(), self._from_peer))
            if self._ready:
                self._loop.call_soon(self._read_peers, fast)
        finally:
            self._arm()

    def _from_peer(self, relayed: Address, data: bytes, source: Address, arrived: float) -> None:
        self._run(self._machine.from_peer(relayed, source, data, arrived))

    def _measure(self) -> None:
        """See whether there is room for more."""
        counters = self.counters
        in_time = sum(
            count
            for bound, count in zip(RELEASE_ERROR_BOUNDS, counters.release_errors, strict=False)
            if bound <= LATE_AFTER
        )
        released = sum(counters.release_errors)
        self.admission.measure(
            time.monotonic(), time.thread_time(), self._answering, released, released - in_time
        )
        self._overflows.look(self._listener)
        self._overflows.look_at_some(self._relayed)
        self.admission.count_descriptors(descriptors_left())
        self._machine.full = self.admission.full
        if self._fast is not None:
            self._fast.purge(time.monotonic())
        self._measuring = self._loop.call_later(PERIOD, self._measure)

    def _tell_if_empty(self) -> None:
        if self.draining and not self._machine.counters.allocations:
            self._empty.set()

    def _receive(self, data: bytes, five_tuple: FiveTuple, now: float) -> None:
        if self._wiretap is not None:
            self._wiretap(WireEvent("in", five_tuple, now, data))
        began = time.thread_time() if is_request(data) else None
        self._run(self._machine.receive(data, five_tuple, now))
        if began is not None:
            self._answering += time.thread_time() - began

    def _arm(self) -> None:
        """Have the alarm ring no later than anything is due."""
        at, read_at = self._machine.deadline, self._read_at
        if read_at is not None and (at is None or read_at < at):
            at = read_at
        if self._fast is not None and (due := self._fast.deadline) is not None:
            due = max(due, self._released_at + self._pacing.release_tick)
            at = due if at is None or due < at else at
        self._alarm.set(at)

    def _wake(self) -> None:
        now = time.monotonic()
        try:
            self._release(now)
            if self._read_at is not None and self._read_at <= now + self._pacing.release_lead:
                self._read_clients(time.monotonic())
        finally:
            self._arm()

    def _release(self, now: float) -> None:
        """Do what is due, or about to be, in the order of its times, whether it waited here or on the fast
        path."""
        until = now + self._pacing.release_lead
        while (due := self._machine.deadline) is not None and due <= until:
            if self._fast is not None:  # not what is due with it: a flow's first datagrams are the machine's
                self._fast.release(math.nextafter(due, 0.0))
            self._run(self._machine.timer(time.monotonic(), until=due))
        if self._fast is not None:
            self._fast.release(until)
        self._released_at = now

    def _run(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect)
            elif isinstance(effect, SendFromRelay):
                self._send_from_relay(effect)
            elif isinstance(effect, OpenRelay):
                self._open(effect)
            elif isinstance(effect, CloseRelay):
                self._close_relayed(effect.relayed)
            elif self._fast is not None:
                self._fast.learn(effect)

    def _send(self, effect: Send) -> None:
        if self._wiretap is not None:
            self._wiretap(WireEvent("out", effect.to, time.monotonic(), effect.data))
        if effect.to.transport != "udp":
            if not self._streams.send(effect.to, effect.data):
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
                set_dont_fragment(sender, True)
            sender.sendto(effect.data, effect.peer)
        except OSError:
            self.counters.drops["send-failed"] += 1
        finally:
            if effect.dont_fragment:
                set_dont_fragment(sender, False)

    def _open(self, effect: OpenRelay) -> None:
        sockets: list[socket.socket] = []
        reserved: socket.socket | None = None
        for host in effect.hosts:
            primary = not sockets
            found = bind_relayed(host, effect.even and primary, effect.reserve and primary)
            if found is None:
                break
            sockets.append(found[0])
            reserved = reserved or found[1]
        for opened in (*sockets, reserved):
            if opened is not None:
                relayed = address_from(opened.getsockname())
                self._relayed[relayed] = opened
                if self._fast is not None:
                    self._fast.opened(relayed, opened)
                self._loop.add_reader(opened.fileno(), self._relayed_readable, relayed, opened)
        self.admission.count_descriptors(descriptors_left(*sockets[-1:]))
        self._machine.full = self.admission.full
        addresses = tuple(address_from(opened.getsockname()) for opened in sockets)
        reserved_address = None if reserved is None else address_from(reserved.getsockname())
        token = secrets.token_bytes(8)
        self._run(
            self._machine.opened(
                effect.five_tuple, Opened(addresses, reserved_address), token, time.monotonic()
            )
        )

    def _close_relayed(self, relayed: Address) -> None:
        self._tell_if_empty()
        opened = self._relayed.pop(relayed)
        if self._fast is not None:
            self._fast.closed(relayed)
        self._loop.remove_reader(opened.fileno())
        self._overflows.close(opened)
        opened.close()
