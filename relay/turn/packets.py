"""Datagrams in arrays: what recvmmsg fills and sendmmsg empties, laid out as the kernel wants it. Pure.

A datagram stays in the buffer that it was received into until it has been sent. All that a send needs beside
the buffer (msghdr, iovec) is kept per buffer as well, so that forwarding writes a header, a length and a
pointer, and copies nothing.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .attributes import Address

Indices = NDArray[np.intp]

BUFFER: Final = 2048
"""Bytes of a datagram that fit into one buffer; what is longer is rare and takes the slow path."""
HEADROOM: Final = 4
"""Bytes before what is received, for a ChannelData header."""
STRIDE: Final = BUFFER + 64
"""Not a power of two, or the beginnings of all datagrams would share a few sets of the processor's cache."""
SPILL: Final = 65_536
NAME: Final = 32
"""Bytes of a socket address: sockaddr_in takes 16, sockaddr_in6 28."""
CONTROL: Final = 32
"""Bytes of one control message with a timespec: cmsg(3)."""

AF_INET: Final = 2
AF_INET6: Final = 10

IOVEC: Final = np.dtype([("base", "<u8"), ("length", "<u8")])
MMSGHDR: Final = np.dtype(
    [
        ("name", "<u8"),
        ("name_length", "<u4"),
        ("_0", "<u4"),
        ("vectors", "<u8"),
        ("vector_count", "<u8"),
        ("control", "<u8"),
        ("control_length", "<u8"),
        ("flags", "<i4"),
        ("_1", "<u4"),
        ("length", "<u4"),
        ("_2", "<u4"),
    ]
)
"""struct mmsghdr of 64-bit Linux, 64 bytes."""
CONTROL_MESSAGE: Final = np.dtype(
    [("length", "<u8"), ("level", "<i4"), ("type", "<i4"), ("seconds", "<i8"), ("nanoseconds", "<i8")]
)


def address_of(array: NDArray[Any]) -> int:
    """Where the array's data begins in memory."""
    return int(array.__array_interface__["data"][0])


def addresses_of(array: NDArray[Any]) -> NDArray[np.uint64]:
    """Where each element (or row) of the array begins in memory."""
    return (address_of(array) + array.strides[0] * np.arange(len(array))).astype(np.uint64)


def pack_name(address: Address) -> bytes:
    """``address`` as sockaddr_in or sockaddr_in6, padded to ``NAME`` bytes."""
    host = ipaddress.ip_address(address[0])
    port = address[1].to_bytes(2, "big")
    if host.version == 4:
        packed = AF_INET.to_bytes(2, "little") + port + host.packed
    else:
        packed = AF_INET6.to_bytes(2, "little") + port + bytes(4) + host.packed
    return packed.ljust(NAME, b"\0")


def name_length(is_ipv6: bool) -> int:
    """Bytes of a socket address of that family."""
    return 28 if is_ipv6 else 16


class Buffers:
    """``count`` buffers of one server, and the message header that sends each.

    ``data`` are bytes by buffer; ``head`` is a big-endian word per buffer, the header of ChannelData, and
    ``channel`` its first half. ``lengths`` are what will be sent from each buffer, in bytes.
    """

    def __init__(self, count: int) -> None:
        self._memory = np.zeros((count, STRIDE), np.uint8)
        self.data = self._memory[:, HEADROOM:]
        self.head = self._field(HEADROOM, np.dtype(">u4"))
        self.channel = self._field(HEADROOM, np.dtype(">u2"))
        self.before = self._field(0, np.dtype(">u4"))
        """The header in the headroom."""
        self.starts = addresses_of(self._memory) + np.uint64(HEADROOM)
        self._vectors = np.zeros(count, IOVEC)
        self._vectors["base"] = self.starts
        self.bases = self._vectors["base"]
        self.lengths = self._vectors["length"]
        self.messages = np.zeros(count, MMSGHDR)
        self.messages["vectors"] = addresses_of(self._vectors)
        self.messages["vector_count"] = 1
        self.names = self.messages["name"]
        self.name_lengths = self.messages["name_length"]
        self._free = np.arange(count)
        self._count = count

    @property
    def free(self) -> int:
        """Buffers that hold nothing."""
        return self._count

    def take(self, wanted: int) -> Indices:
        """Up to ``wanted`` free buffers, those used last first: they are in the processor's cache."""
        count = min(wanted, self._count)
        self._count -= count
        return self._free[self._count : self._count + count].copy()

    def give(self, buffers: Indices) -> None:
        """Buffers that hold nothing any more."""
        self._free[self._count : self._count + len(buffers)] = buffers
        self._count += len(buffers)

    def are_free(self, buffers: Indices) -> NDArray[np.bool_]:
        """Which of ``buffers`` hold nothing."""
        return np.isin(buffers, self._free[: self._count])

    def reset(self, buffers: Indices, name_length: int) -> None:
        """The same, after their message headers were changed."""
        self.bases[buffers] = self.starts[buffers]
        self.name_lengths[buffers] = name_length
        self.give(buffers)

    def _field(self, offset: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.ndarray((len(self._memory),), dtype, self._memory, offset, (STRIDE,))


class Inbox:
    """What one recvmmsg call fills: up to ``size`` datagrams with their senders and times of arrival."""

    def __init__(self, buffers: Buffers, size: int) -> None:
        self._buffers = buffers
        self.size = size
        self._slots: Indices = np.zeros(0, np.intp)  # the buffers that the next datagrams will be in
        self._used = 0  # of these, how many the caller has taken over
        self._vectors = np.zeros((size, 2), IOVEC)
        self._spill = np.empty((size, SPILL), np.uint8)
        self._vectors["length"][:, 0] = BUFFER
        self._vectors["base"][:, 1] = addresses_of(self._spill)
        self._vectors["length"][:, 1] = SPILL
        self.names = np.zeros((size, NAME), np.uint8)
        self.words = self.names.view("<u8")
        """The senders' addresses, as four words each."""
        self._control = np.zeros(size, CONTROL_MESSAGE)
        self.seconds, self.nanoseconds = self._control["seconds"], self._control["nanoseconds"]
        self.messages = np.zeros(size, MMSGHDR)
        self.messages["name"] = addresses_of(self.names)
        self.messages["name_length"] = NAME
        self.messages["vectors"] = addresses_of(self._vectors)
        self.messages["vector_count"] = 2
        self.messages["control"] = addresses_of(self._control)
        self.messages["control_length"] = CONTROL
        self.lengths = self.messages["length"]
        self.address = address_of(self.messages)

    def prepare(self) -> int:
        """Take buffers for the next call; returns how many datagrams it may ask for."""
        used, have = self._used, len(self._slots)
        self._used = 0
        if used == 0 and have == self.size:
            return have
        fresh = self._buffers.take(used + self.size - have)
        if have == self.size and len(fresh) == used:
            self._slots[:used] = fresh
            self._vectors["base"][:used, 0] = self._buffers.starts[fresh]
        else:
            self._slots = np.concatenate((fresh, self._slots[used:]))
            self._vectors["base"][: len(self._slots), 0] = self._buffers.starts[self._slots]
        return len(self._slots)

    def split(self, count: int) -> Indices:
        """The buffers of the first ``count`` datagrams, which are the caller's from now on."""
        self._used = count
        self.messages["name_length"][:count] = NAME
        self.messages["control_length"][:count] = CONTROL
        return self._slots[:count].copy()

    def arrivals(self, count: int) -> NDArray[np.float64]:
        """When the kernel took the datagrams in, in seconds of the wall clock."""
        return self.seconds[:count] + self.nanoseconds[:count] * 1e-9

    def copy(self, place: int, slot: int) -> bytes:
        """The datagram at ``place`` of the batch, which is in buffer ``slot``, whole."""
        length = int(self.lengths[place])
        data = self._buffers.data[slot, : min(length, BUFFER)].tobytes()
        return data if length <= BUFFER else data + self._spill[place, : length - BUFFER].tobytes()
