"""How much an outgoing stream is protected against loss, from what the far phone reports of it.

    not known yet      the last frame travels once more (RFC 2198)
    hardly any loss    nothing: every bit for the sound
    a little           in-band FEC, which costs no rate
    more, or bursts    an older frame travels once more, and FEC is off: the copy is better
    very much          both, side by side

How much older the copy is follows from the reports too: ``lag`` is where a packet is most likely to arrive,
given that the one ``lag`` before it was lost. With random loss that is the next; with bursts of three it is
the third. Every frame of lag costs the listener a frame of delay, and has to be worth it.

A copy takes the rate of the voice once more. Where there is none for it, in-band FEC stands in for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .xr import LossReport

FORGET = 0.998
"""Weight that a packet keeps from one to the next: ten seconds of memory at 50 packets/s."""
SOME_LOSS = 0.004
MUCH_LOSS = 0.02
"""Shares of packets lost from which FEC, and from which copies, are sent."""
HEAVY_LOSS = 0.12
"""Share from which two different repairs for one frame are better than one."""
PROBATION = 100
"""Packets that must be reported before a path counts as clean."""
RELIEF = 0.35
"""A protection that is on goes off at this share of where it went on."""
BURSTY = 0.3
"""Chance that a loss follows a loss from which losses count as bursts; random loss has its own share."""
LONGEST_LAG = 5
"""Frames."""
WORTH = 0.08
"""What a frame of lag must add to the chance that the copy arrives."""
LIKELY_LOSS = 0.05
"""Share that FEC is made for on a path that is not known yet, where there are no copies."""
EVIDENCE = 2.0
"""Losses, as far as remembered, below which bursts are not concluded from."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What the sender shall do."""

    expected_loss: float = 0.0
    """For the encoder's in-band FEC; 0 is off."""
    lag: int = 0
    """Frames by which the copy is older; 0 is no copy."""


class LossModel:
    """Learns from loss reports, and decides. ``copies``: whether frames may travel twice."""

    def __init__(self, *, copies: bool = True) -> None:
        self.protection = Protection(lag=1) if copies else Protection(expected_loss=LIKELY_LOSS)
        self._copies = copies
        self._packets = 0.0
        self._losses = 0.0
        self._after = np.zeros(LONGEST_LAG)
        """Of packets that followed a lost one by 1, 2, … places: how many arrived."""
        self._tried = np.zeros(LONGEST_LAG)
        self._history: list[bool] = [True] * LONGEST_LAG
        self._next: int | None = None

    @property
    def loss(self) -> float:
        """The share of packets lost lately, 0 to 1."""
        return self._losses / self._packets if self._packets else 0.0

    def report(self, report: LossReport) -> Protection:
        """Take a report in and decide anew. What an earlier report spoke of is passed over."""
        received = report.received
        if self._next is not None:
            known = (self._next - report.begin) & 0xFFFF
            if known < 0x8000:
                received = received[known:]
        for arrived in received:
            self._learn(arrived)
        if received:
            self._next = (report.begin + len(report.received)) & 0xFFFF
            self.protection = self._decide()
        return self.protection

    def _learn(self, arrived: bool) -> None:
        self._packets = FORGET * self._packets + 1
        self._losses = FORGET * self._losses + (not arrived)
        followed = np.array([not before for before in reversed(self._history)], float)
        self._tried = FORGET * self._tried + followed
        self._after = FORGET * self._after + followed * arrived
        self._history = [*self._history[1:], arrived]

    def _decide(self) -> Protection:
        chance = np.where(self._tried > 0, self._after / np.maximum(self._tried, 1e-9), 1 - self.loss)
        bursty = self._losses >= EVIDENCE and 1 - chance[0] >= BURSTY
        was = self.protection
        much = MUCH_LOSS * (RELIEF if was.lag else 1)
        some = SOME_LOSS * (RELIEF if was != Protection() else 1)
        if self._copies and (self.loss >= much or (bursty and self.loss >= some)):
            lag = 1 + int(np.argmax(chance - WORTH * np.arange(LONGEST_LAG)))
            return Protection(self.loss, max(lag, 2)) if self.loss >= HEAVY_LOSS else Protection(lag=lag)
        if self._packets < PROBATION:
            return was
        return Protection(expected_loss=max(self.loss, 0.01) if self.loss >= some else 0.0)
