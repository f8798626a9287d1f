"""The floor under any relay in user space: recvmmsg, sendmmsg, and nothing in between.

``python -m scripts.benchmarks.floor`` sends every datagram back to where it came from and prints its port.
"""

from __future__ import annotations

import ctypes
import select
import socket

import numpy as np

BATCH = 512
_IOVEC = np.dtype([("base", "<u8"), ("length", "<u8")])
_FIELDS = ("name", "name_length", "vectors", "count", "control", "control_length", "flags", "length")
_MMSGHDR = np.dtype([(name, "<u8") for name in _FIELDS])


def main() -> None:
    """Serve until the process is ended."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    opened.bind(("127.0.0.1", 0))
    print(opened.getsockname()[1], flush=True)
    data = np.zeros((BATCH, 2112), np.uint8)
    names = np.zeros((BATCH, 16), np.uint8)
    vectors = np.zeros(BATCH, _IOVEC)
    vectors["base"] = data.ctypes.data + data.strides[0] * np.arange(BATCH)
    messages = np.zeros(BATCH, _MMSGHDR)
    messages["name"] = names.ctypes.data + 16 * np.arange(BATCH)
    messages["name_length"] = 16
    messages["vectors"] = vectors.ctypes.data + 16 * np.arange(BATCH)
    messages["count"] = 1
    lengths, received = vectors["length"], messages["length"]
    library, descriptor = ctypes.CDLL(None), opened.fileno()
    address = ctypes.c_void_p(messages.ctypes.data)
    while True:
        lengths[:] = 2048
        count = library.recvmmsg(descriptor, address, BATCH, 0x40, None)
        if count <= 0:
            select.select([opened], [], [])
            continue
        lengths[:count] = received[:count]
        done = 0
        while done < count:
            at = ctypes.c_void_p(messages.ctypes.data + 64 * done)
            done += max(1, library.sendmmsg(descriptor, at, count - done, 0x40))


if __name__ == "__main__":
    main()
