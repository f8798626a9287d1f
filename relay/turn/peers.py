"""Which peers a relayed socket may exchange datagrams with.

Denied by default: every range of IANA's special-purpose address registries (RFC 6890), multicast, and every
IPv6 address that carries a denied IPv4 address in any of its notations. Ranges compare as integers. The
relay's own relayed addresses are reachable as live allocations only, inside this process.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

from .attributes import Address

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

SPECIAL_IPV4: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
SPECIAL_IPV6: Final = (
    "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
    "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10",
    "ff00::/8",
)  # fmt: skip

_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Reach(Enum):
    """How a peer may be reached."""

    NETWORK = "network"
    """Through the kernel, like any host."""
    HAIRPIN = "hairpin"
    """The relay's own address: only where an allocation lives behind it."""
    DENIED = "denied"


class _Ranges:
    """A set of addresses of one family, as disjoint integer ranges."""

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        merged = sorted((int(n.network_address), int(n.broadcast_address)) for n in networks)
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in merged:
            if self._last and first <= self._last[-1] + 1:
                self._last[-1] = max(self._last[-1], last)
            else:
                self._first.append(first)
                self._last.append(last)

    def __contains__(self, address: int) -> bool:
        at = bisect_right(self._first, address) - 1
        return at >= 0 and address <= self._last[at]


def _by_family(networks: Sequence[IPNetwork]) -> dict[int, _Ranges]:
    return {version: _Ranges(n for n in networks if n.version == version) for version in (4, 6)}


_SPECIAL: Final = _by_family([ipaddress.ip_network(n) for n in SPECIAL_IPV4 + SPECIAL_IPV6])


def faces(address: IPAddress) -> Iterator[IPAddress]:
    """The address itself and every IPv4 address that it carries.

    IPv4-mapped and IPv4-compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056), and Teredo's
    server and client (RFC 4380 §4). A mapped address is nothing but its IPv4 address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if (address in _COMPATIBLE and int(address) > 1) or address in _NAT64:  # :: and ::1 carry nothing
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


class PeerPolicy:
    """The rule for one server.

    ``allow`` lifts the denial of special ranges and of the relay's own hosts. ``own_hosts`` are what relayed
    sockets are bound to; ``listeners`` are the server's own listening addresses, which are never peers.
    """

    def __init__(
        self,
        *,
        allow: Sequence[IPNetwork] = (),
        own_hosts: Iterable[str] = (),
        listeners: Iterable[Address] = (),
    ) -> None:
        self._allowed = _by_family(allow)
        self._own = frozenset(ipaddress.ip_address(host) for host in own_hosts)
        self._listeners = frozenset(listeners)
        self._everywhere = frozenset(
            port for host, port in self._listeners if ipaddress.ip_address(host).is_unspecified
        )
        """Ports of listeners on every address of this machine."""
        self.reach = lru_cache(4096)(self._reach)
        """How ``host`` (canonical text) may be reached."""

    def _reach(self, host: str) -> Reach:
        address = ipaddress.ip_address(host)
        shown = list(faces(address))
        for face in shown:
            if int(face) in self._allowed[face.version]:
                continue
            if face in self._own:
                return Reach.HAIRPIN if face == address else Reach.DENIED
            if int(face) in _SPECIAL[face.version]:
                return Reach.DENIED
        return Reach.NETWORK

    def is_listener(self, peer: Address) -> bool:
        """Whether a datagram to ``peer`` would come back to this server as if from a client."""
        if peer in self._listeners:
            return True
        if peer[1] not in self._everywhere:
            return False
        return any(face in self._own or face.is_loopback for face in faces(ipaddress.ip_address(peer[0])))
