"""The queue in front of a link of finite rate: first in, first out, and the tail is dropped. Pure."""

from __future__ import annotations

from collections import deque


class TailDrop:
    """Serialisation onto a link of ``rate`` bits a second behind a queue of so many packets and bytes.

    The packet on its way onto the link does not count as waiting. ``None``: no limit.
    """

    def __init__(self, rate: float, packets: int | None = None, octets: int | None = None) -> None:
        self.rate = rate
        self._packets = packets
        self._octets = octets
        self._waiting: deque[tuple[float, int]] = deque()  # (when it starts onto the link, bytes)
        self._waiting_octets = 0
        self._free_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def depart(self, size: int, arrival: float) -> float | None:
        """When the last bit of ``size`` bytes that arrive at ``arrival`` is on the link; ``None``: dropped.

        Packets are served in the order of the calls, also when jitter on earlier hops brought one of another
        flow here before its predecessor: the line in front of the queue is a queue itself.
        """
        while self._waiting and self._waiting[0][0] <= arrival:
            self._waiting_octets -= self._waiting.popleft()[1]
        start = max(arrival, self._free_at)
        if start > arrival:
            if self._packets is not None and len(self._waiting) >= self._packets:
                return None
            if self._octets is not None and self._waiting_octets + size > self._octets:
                return None
            self._waiting.append((start, size))
            self._waiting_octets += size
        self._free_at = start + 8 * size / self.rate
        return self._free_at
