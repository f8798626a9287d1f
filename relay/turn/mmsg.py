"""Linux's recvmmsg and sendmmsg, through ctypes, on arrays that were laid out once (``packets.py``)."""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from typing import Any, Final

import numpy as np

from .packets import MMSGHDR, Buffers, Inbox, Indices, address_of

_MSG_DONTWAIT: Final = 0x40
_SO_TIMESTAMPNS: Final = 35
MOST: Final = 1024
"""Messages that the kernel takes in one call (UIO_MAXIOV)."""


def available() -> bool:
    """Whether this platform has both calls, and lays their structures out as 64-bit Linux does."""
    if sys.platform != "linux" or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    library = ctypes.CDLL(None)
    return hasattr(library, "recvmmsg") and hasattr(library, "sendmmsg")


def stamp_arrivals(opened: socket.socket) -> None:
    """Have the kernel say when each datagram arrived, to the nanosecond of the wall clock."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


class Calls:
    """The two system calls. One thread only."""

    def __init__(self, buffers: Buffers) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        arguments: list[Any] = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
        self._receive = library.recvmmsg
        self._receive.argtypes = [*arguments, ctypes.c_void_p]
        self._send = library.sendmmsg
        self._send.argtypes = arguments
        self._buffers = buffers
        self._out = np.zeros(MOST, MMSGHDR)
        self._out_at = address_of(self._out)

    def receive(self, descriptor: int, inbox: Inbox, start: int, most: int) -> int:
        """Fill up to ``most`` places of ``inbox`` from ``start`` on, without waiting; returns how many."""
        at = inbox.address + start * MMSGHDR.itemsize
        count = self._receive(descriptor, at, most, _MSG_DONTWAIT, None)
        return max(0, int(count))  # nothing to read, or an ICMP error of an earlier datagram

    def send(self, descriptor: int, slots: Indices) -> int:
        """Send what is in the buffers ``slots``, in order; returns how many the kernel would not take."""
        lost = 0
        for start in range(0, len(slots), MOST):
            some = slots[start : start + MOST]
            self.lay_out(some)
            lost += self.send_part(descriptor, 0, len(some))
        return lost

    def lay_out(self, slots: Indices) -> None:
        """Have the messages of up to ``MOST`` buffers ready for ``send_part``."""
        self._buffers.messages.take(slots, out=self._out[: len(slots)], mode="clip")

    def send_part(self, descriptor: int, start: int, end: int) -> int:
        """Send some of what was laid out; returns how many the kernel would not take."""
        lost = 0
        while start < end:
            sent = self._send(descriptor, self._out_at + start * MMSGHDR.itemsize, end - start, _MSG_DONTWAIT)
            if sent > 0:
                start += sent
            elif ctypes.get_errno() != errno.EINTR:  # full, no route, refused: this datagram is lost
                lost += 1
                start += 1
        return lost
