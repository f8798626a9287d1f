"""What a call must have, who decides it, and how often a stranger may try.

Both phones state their policy inside what both sign, and the stricter one holds. What a contact's calls
once had, they keep: a suite or a QKD layer that was seen before is required from then on, until the user
lowers the contact's floor, which is an act *before* dialling.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from enum import StrEnum

ATTEMPTS = 10
"""Uncompleted M1 a source may send in `WINDOW`: each is one guess at 32 bits of words."""
WINDOW = 60.0
"""Seconds."""
SOURCES = 1024
"""Sources remembered at once; the longest silent one is forgotten first."""


class QkdPolicy(StrEnum):
    """Whether a call needs quantum keys."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


class QkdState(StrEnum):
    """What the caller signs about the quantum layer of a call."""

    PRESENT = "present"
    ABSENT = "absent"
    OFF = "off"


_STRICTNESS = {QkdPolicy.OFF: 0, QkdPolicy.PREFER: 1, QkdPolicy.REQUIRE: 2}
_ALLOWED = {
    QkdPolicy.OFF: {QkdState.OFF},
    QkdPolicy.PREFER: {QkdState.PRESENT, QkdState.ABSENT},
    QkdPolicy.REQUIRE: {QkdState.PRESENT},
}


def stricter(one: QkdPolicy, other: QkdPolicy) -> QkdPolicy:
    """The policy that holds when two meet."""
    return max(one, other, key=_STRICTNESS.__getitem__)


def allows(policy: QkdPolicy, state: QkdState) -> bool:
    """Whether a call in ``state`` satisfies the policy that holds."""
    return state in _ALLOWED[policy]


class AttemptLimit:
    """At most `ATTEMPTS` uncompleted first messages per source and `WINDOW`.

    One object per phone, shared by all calls. ``allow`` before an M1 is given to a machine; ``completed``
    when that call was agreed, because it then was no guess.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def allow(self, source: Hashable, now: float) -> bool:
        """Count an attempt of ``source``; false if it has had its share."""
        times = self._times.setdefault(source, deque())
        self._times.move_to_end(source)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if len(self._times) > SOURCES:
            self._times.popitem(last=False)
        if len(times) >= ATTEMPTS:
            return False
        times.append(now)
        return True

    def completed(self, source: Hashable) -> None:
        """The last attempt of ``source`` became a call."""
        if times := self._times.get(source):
            times.pop()
