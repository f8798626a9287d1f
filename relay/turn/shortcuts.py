"""Which shortcut a datagram may take: a batch of senders looked up at once in sorted keys. Pure.

A sender and its channel make one 64-bit key: exactly, for IPv4; for IPv6 as a hash under secret multipliers,
after which the whole address is compared. Who looks up a key that nobody has finds nothing, and asks the
machine.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .packets import NAME, Indices, pack_name

Words: TypeAlias = NDArray[np.uint64]
"""Socket addresses by row, as four words each (``NAME`` bytes)."""
Tags: TypeAlias = NDArray[np.uint32]
"""16 bits that tell apart what comes from one address: a channel's number, or the port it came to."""

_NOBODY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_PORT_AND_HOST: Final = np.uint64(0xFFFFFFFFFFFF0000)
_WORDS: Final = struct.Struct("<4Q")


class Senders:
    """Numbers of flows by sender's address and tag, for one address family.

    ``secret``: 32 random bytes. ``capacity``: one more than the highest number of a flow.
    """

    def __init__(self, is_ipv6: bool, secret: bytes, capacity: int) -> None:
        self._is_ipv6 = is_ipv6
        self._multipliers = tuple(each | 1 for each in _WORDS.unpack(secret))
        self._keys: Words = np.array([_NOBODY])
        self._flows: Indices = np.zeros(1, np.intp)
        self._by_key: dict[int, int] = {}
        self._key_of: dict[int, int] = {}
        self._added: list[tuple[int, int]] = []
        self._words: Words = np.zeros((capacity if is_ipv6 else 0, NAME // 8), np.uint64)

    def __len__(self) -> int:
        return len(self._by_key)

    def known(self, address: tuple[str, int], tag: int) -> int | None:
        """The flow of that sender."""
        flow = self._by_key.get(self._key(pack_name(address), tag))
        return flow if flow is None or self._is_at(flow, pack_name(address)) else None

    def add(self, address: tuple[str, int], tag: int, flow: int) -> bool:
        """Let that sender's datagrams be ``flow``; False where another's key is in the way."""
        name = pack_name(address)
        key = self._key(name, tag)
        if key in self._by_key or key == int(_NOBODY):
            return False
        self._by_key[key] = flow
        self._key_of[flow] = key
        self._added.append((key, flow))
        if self._is_ipv6:
            self._words[flow] = _WORDS.unpack(name)
        return True

    def remove(self, flows: Sequence[int]) -> None:
        """Forget those of ``flows`` that are there."""
        keys = [self._key_of.pop(flow) for flow in flows if flow in self._key_of]
        if not keys:
            return
        for key in keys:
            del self._by_key[key]
        self._merge()
        places = self._keys.searchsorted(np.array(keys, np.uint64))
        self._keys = np.delete(self._keys, places)
        self._flows = np.delete(self._flows, places)

    def find(self, words: Words, tags: Tags) -> tuple[Indices, NDArray[np.bool_]]:
        """The flow of each sender, and whether there is one; where there is none the flow is any number."""
        if self._added:
            self._merge()
        keys = self._keys_of(words, tags)
        places = self._keys.searchsorted(keys)
        flows = self._flows.take(places, mode="clip")
        found = self._keys.take(places, mode="clip") == keys
        if self._is_ipv6:
            found &= (self._words[flows] == words).all(axis=1)
        return flows, found

    def keep_order(self, words: Words, taken: NDArray[np.bool_]) -> None:
        """Clear ``taken`` wherever something of the same sender before it is not taken.

        What is not taken is dealt with after all that is: a Refresh that deletes, and the data after it.
        """
        left = (~taken).nonzero()[0]
        if not 0 < len(left) < len(taken):
            return
        senders = self._keys_of(words, np.uint32(0))  # two that share a key wait for each other: no harm
        those, first = np.unique(senders[left], return_index=True)
        places = those.searchsorted(senders)
        is_left = those.take(places, mode="clip") == senders
        taken &= ~(is_left & (np.arange(len(taken)) > left[first].take(places, mode="clip")))

    def _keys_of(self, words: Words, tags: Tags | np.uint32) -> Words:
        keys: Words = words[:, 0] & _PORT_AND_HOST
        keys |= tags
        if self._is_ipv6:
            keys *= np.uint64(self._multipliers[0])
            for place in (1, 2, 3):
                keys += words[:, place] * np.uint64(self._multipliers[place])
        return keys

    def _merge(self) -> None:
        self._added.sort()
        keys = np.array([key for key, _ in self._added], np.uint64)
        places = self._keys.searchsorted(keys)
        self._keys = np.insert(self._keys, places, keys)
        self._flows = np.insert(self._flows, places, [flow for _, flow in self._added])
        self._added.clear()

    def _key(self, name: bytes, tag: int) -> int:
        words = _WORDS.unpack(name)
        key = (words[0] & int(_PORT_AND_HOST)) | tag
        if self._is_ipv6:
            key *= self._multipliers[0]
            key += sum(a * b for a, b in zip(words[1:], self._multipliers[1:], strict=True))
        return int(key & 0xFFFFFFFFFFFFFFFF)

    def _is_at(self, flow: int, name: bytes) -> bool:
        return not self._is_ipv6 or tuple(self._words[flow].tolist()) == _WORDS.unpack(name)
