"""The fast path's shell: batches from the sockets to the forwarder, and from its wheel back into them."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from .attributes import Address, text
from .counters import Counters
from .effects import Shortcut
from .forward import Batch, Forwarder, Outgoing, Times
from .mmsg import Calls, stamp_arrivals
from .packets import NAME, Buffers, Inbox, Indices, name_length

BUFFERS: Final = 16_384
"""Datagrams that may be under way at a time; memory is used for those that are."""
BATCH: Final = 512
CHUNK: Final = 128
"""Datagrams that one system call takes in: what is due on the path in the meantime does not wait for more."""
PEER_SHARE: Final = 64
"""Datagrams of a batch that one relayed address may have."""
LONGEST_WAIT: Final = 1.0
"""Seconds that a datagram may have waited in the socket; more is a step of the wall clock."""

Receive = Callable[[bytes, Address, float], None]
"""A datagram without a shortcut: data, source, and arrival in seconds of the monotonic clock."""
FromPeer = Callable[[Address, bytes, Address, float], None]
"""The same, after the relayed address that it came to."""

log = logging.getLogger(__name__)


class FastPath:
    """Reads and sends in batches for one server. ``listener`` is the socket that clients come to."""

    def __init__(self, listener: socket.socket, counters: Counters) -> None:
        is_ipv6 = listener.family is socket.AF_INET6
        self._listener = listener.fileno()
        self._counters = counters
        self._name_length = name_length(is_ipv6)
        self._buffers = Buffers(BUFFERS)
        self._calls = Calls(self._buffers)
        self._inbox = Inbox(self._buffers, BATCH)
        self._peer_inbox = Inbox(self._buffers, BATCH)
        self._forwarder = Forwarder(self._buffers, is_ipv6, secrets.token_bytes(32), counters)
        self._sockets: dict[Address, int] = {}
        stamp_arrivals(listener)

    def __len__(self) -> int:
        return len(self._forwarder)

    @property
    def deadline(self) -> float | None:
        """When the next datagram leaves the modelled path."""
        return self._forwarder.deadline

    def learn(self, shortcut: Shortcut) -> None:
        """Take ``shortcut`` from the next batch on."""
        self._forwarder.learn(shortcut)

    def purge(self, now: float) -> None:
        """Forget the shortcuts that have run out."""
        self._forwarder.purge(now)

    def opened(self, relayed: Address, opened: socket.socket) -> None:
        """A relayed socket is there; what went to that address before may go another way now."""
        self._forwarder.forget(relayed)
        self._sockets[relayed] = opened.fileno()

    def closed(self, relayed: Address) -> None:
        """A relayed socket is gone, and every shortcut with it."""
        self._forwarder.forget(relayed)
        del self._sockets[relayed]

    @property
    def patience(self) -> float | None:
        """Seconds that datagrams may stay unread without anyone noticing; None: any time is noticed."""
        return self._forwarder.patience

    def read_clients(self, now: float, wall_offset: float, lead: float, receive: Receive) -> int:
        """One batch from the clients; returns how many datagrams there were, ``BATCH`` when more may wait.

        What is due ``lead`` seconds ahead leaves the path in between.
        """
        count, most = 0, self._inbox.prepare()
        while count < most:
            if count:
                now = time.monotonic()
                self.release(now + lead)
            asked = min(CHUNK, most - count)
            got = self._calls.receive(self._listener, self._inbox, count, asked)
            count += got
            if got < asked:
                break
        if count == 0:
            return 0
        arrivals = self._inbox.arrivals(count) - wall_offset
        np.minimum(arrivals, now, out=arrivals)
        np.maximum(arrivals, now - LONGEST_WAIT, out=arrivals)
        batch = self._batch(self._inbox, count, arrivals)
        left = self._forward(batch, lambda: self._forwarder.from_clients(batch, now))
        if len(left):
            for waiting in self._take(self._inbox, batch, left):
                receive(*waiting)
        return count

    def read_peers(self, ready: Iterable[Address], now: float, receive: FromPeer) -> list[Address]:
        """One batch from the peers of relayed addresses, a share of each.

        Returns those that it had no room for: they come first in the next, or the busy would shut them out.
        """
        unread: list[Address] = []
        for is_ipv6 in (False, True):
            relayed = [each for each in ready if (":" in each[0]) is is_ipv6]
            if relayed:
                unread += self._read_peers(relayed, is_ipv6, now, receive)
        return unread

    def _read_peers(
        self, ready: list[Address], is_ipv6: bool, now: float, receive: FromPeer
    ) -> list[Address]:
        """One batch; returns those that were not read for want of room."""
        inbox = self._peer_inbox
        count, most, came = 0, inbox.prepare(), []
        if not most:
            return []
        for relayed in ready:
            if count == most:
                break
            got = 0
            if relayed in self._sockets:  # it may have been closed since
                asked = min(PEER_SHARE, most - count)
                got = self._calls.receive(self._sockets[relayed], inbox, count, asked)
            came.append(got)
            count += got
        ready, unread = ready[: len(came)], ready[len(came) :]
        if count == 0:
            return unread
        batch = self._batch(inbox, count, np.full(count, now))
        ports = np.repeat(np.array([port for _, port in ready], np.uint32), came)
        left = self._forward(batch, lambda: self._forwarder.from_peers(batch, ports, is_ipv6, now))
        if len(left):
            places = np.repeat(np.arange(len(ready)), came)[left].tolist()
            for place, (data, peer, arrived) in zip(places, self._take(inbox, batch, left), strict=True):
                receive(ready[place], data, peer, arrived)
        return unread

    def release(self, until: float) -> None:
        """Send what has come out of the modelled path by ``until``."""
        slots, times = self._forwarder.due(until)
        if len(slots):
            try:
                self._failed(self._calls.send(self._listener, slots))
                self._forwarder.released(time.monotonic() - times)
            finally:
                self._buffers.give(slots)

    def settle(self) -> None:
        """Bring the counters up to date."""
        self._forwarder.settle()

    def _forward(self, batch: Batch, forward: Callable[[], tuple[Indices, list[Outgoing]]]) -> Indices:
        """Forward a batch, and send what leaves at once; returns the places of what has no shortcut.

        Should anything of ours fail on the way, this batch is lost, and nothing else.
        """
        try:
            left, outgoing = forward()
            self._send(outgoing)
        except Exception:
            log.exception("a batch of %d datagrams was lost", len(batch.slots))
            self._counters.drops["fault"] += self._forwarder.recover(batch.slots)
            return batch.slots[:0]
        return left

    def _batch(self, inbox: Inbox, count: int, arrivals: Times) -> Batch:
        return Batch(inbox.split(count), inbox.words[:count], inbox.lengths[:count], arrivals)

    def _send(self, outgoing: list[Outgoing]) -> None:
        for slots, parts in outgoing:
            self._calls.lay_out(slots)
            start, failed = 0, 0
            for relayed, end in parts:
                descriptor = self._listener if relayed is None else self._sockets[relayed]
                failed += self._calls.send_part(descriptor, start, end)
                start = end
            self._failed(failed)
            self._buffers.reset(slots, self._name_length)

    def _failed(self, count: int) -> None:
        if count:
            self._counters.drops["send-failed"] += count

    def _take(self, inbox: Inbox, batch: Batch, left: Indices) -> list[tuple[bytes, Address, float]]:
        """Data, source and arrival of what has no shortcut; its buffers are free again."""
        slots = batch.slots[left]
        try:
            return [
                (inbox.copy(place, slot), _address(inbox.names[place].tobytes()), arrival)
                for place, slot, arrival in zip(
                    left.tolist(), slots.tolist(), batch.arrivals[left].tolist(), strict=True
                )
            ]
        finally:
            self._buffers.give(slots)


def _address(name: bytes) -> Address:
    """A socket address as text and port (ip(7), ipv6(7))."""
    assert len(name) == NAME
    port = int.from_bytes(name[2:4], "big")
    if int.from_bytes(name[:2], "little") == socket.AF_INET:
        return socket.inet_ntoa(name[4:8]), port
    scope = int.from_bytes(name[24:28], "little")
    host = text(name[8:24])
    if scope and ipaddress.IPv6Address(host).is_link_local:
        return f"{host}%{socket.if_indextoname(scope)}", port
    return host, port
