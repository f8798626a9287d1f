"""The sockets of a TURN server, bound and set up: listeners, and relayed addresses on random ports."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
from typing import Final

from relay.config import cannot_listen
from relay.errors import AddressInUse

from .attributes import Address, Family, family_of, packed, text

LISTENER_BUFFER: Final = 4 << 20
RELAY_PORTS: Final = (49_152, 65_535)
"""RFC 8656 §7.2 recommends the dynamic range."""
_BIND_ATTEMPTS: Final = 64

# Linux numbers that the socket module does not name.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_WANT: Final = 1
_IP_PMTUDISC_DO: Final = 2
_IPV6_DONTFRAG: Final = 62


def canonical(host: str) -> str:
    return text(packed(host))


def address_from(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """The kernel's socket name as an address; IPv6 text is written as in messages."""
    host, port = name[0], name[1]
    return (host if ":" not in host or "%" in host else canonical(host)), port


def _socket(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    family = socket.AF_INET6 if family_of(host) is Family.IPV6 else socket.AF_INET
    opened = socket.socket(family, kind)
    opened.setblocking(False)
    if family is socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind is socket.SOCK_STREAM:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections in TIME_WAIT
    return opened


def bind_listeners(host: str, port: int, tls_port: int | None) -> list[socket.socket]:
    """A UDP socket, a TCP socket on the same port, and one for TLS if that has a port."""
    for _ in range(_BIND_ATTEMPTS):
        bound: list[socket.socket] = []
        try:
            bound.append(_bind(host, port, socket.SOCK_DGRAM))
            _enlarge(bound[0])
            bound.append(_bind(host, bound[0].getsockname()[1], socket.SOCK_STREAM))
            if tls_port is not None:
                bound.append(_bind(host, tls_port, socket.SOCK_STREAM))
            return bound
        except BaseException as error:
            for opened in bound:
                opened.close()
            if port or len(bound) != 1 or not isinstance(error, AddressInUse):
                raise
    raise AddressInUse(f"no port of {host} is free for both UDP and TCP")


def _enlarge(opened: socket.socket) -> None:
    """Have the kernel hold ``LISTENER_BUFFER`` both ways, or what net.core.rmem_max and wmem_max allow."""
    for option, forced in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        opened.setsockopt(socket.SOL_SOCKET, option, LISTENER_BUFFER)
        if sys.platform == "linux" and opened.getsockopt(socket.SOL_SOCKET, option) < LISTENER_BUFFER:
            with contextlib.suppress(PermissionError):  # those limits are not for CAP_NET_ADMIN
                opened.setsockopt(socket.SOL_SOCKET, forced, LISTENER_BUFFER)


def _bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    name = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    opened = _socket(host, kind)
    try:
        opened.bind((host, port))
        if kind is socket.SOCK_STREAM:
            opened.listen(128)
    except OSError as error:
        opened.close()
        raise cannot_listen(error, host, port, name) from None
    return opened


def bind_relayed(host: str, even: bool, reserve: bool) -> tuple[socket.socket, socket.socket | None] | None:
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


def descriptors_left(newest: socket.socket | None = None) -> int:
    """How many more descriptors the process may open, about: the kernel gives out the lowest that is free.

    ``newest``: a socket just opened; without it one is opened to see.
    """
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    if newest is not None:
        return limit - 1 - newest.fileno()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return limit - probe.fileno()
    except OSError:
        return 0


def set_dont_fragment(opened: socket.socket, on: bool) -> None:
    """DF on what is sent next (RFC 8656 §14); Linux only, elsewhere the kernel's default stays."""
    if sys.platform != "linux":
        return
    if opened.family is socket.AF_INET:
        mode = _IP_PMTUDISC_DO if on else _IP_PMTUDISC_WANT
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, int(on))
