"""What the kernel dropped because nobody had read a socket in time: it says so only when asked.

The clients' socket is looked at with every measurement; of the relayed sockets, which may be thousands, some
in turn, and each when it is closed.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Mapping
from typing import Final

from .attributes import Address
from .counters import Counters

AT_ONCE: Final = 64
"""Relayed sockets of one look."""
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")
"""sock_diag(7), SK_MEMINFO: the last is how many datagrams were dropped."""


def dropped(opened: socket.socket) -> int:
    """Datagrams that found no room in the socket since it was opened; 0 where the kernel cannot say."""
    if sys.platform != "linux":
        return 0
    try:
        return int(_MEMINFO.unpack(opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])
    except (OSError, struct.error):  # Linux before 4.12
        return 0


class Overflows:
    """Counts such drops, as ``receive-buffer-full``."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._seen: dict[int, int] = {}  # by descriptor
        self._turns: list[Address] = []

    def look(self, opened: socket.socket) -> None:
        """Count what one socket has lost since the last look."""
        total, descriptor = dropped(opened), opened.fileno()
        if total:
            self._counters.drops["receive-buffer-full"] += total - self._seen.get(descriptor, 0)
            self._seen[descriptor] = total

    def look_at_some(self, relayed: Mapping[Address, socket.socket]) -> None:
        """The same for the next few of ``relayed``."""
        self._turns = self._turns or list(relayed)
        for address in self._turns[:AT_ONCE]:
            if address in relayed:
                self.look(relayed[address])
        del self._turns[:AT_ONCE]

    def close(self, opened: socket.socket) -> None:
        """Count what is left to count of a socket that is about to be closed."""
        self.look(opened)
        self._seen.pop(opened.fileno(), None)
